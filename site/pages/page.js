// The page around a chapter: its colours, and a search over all chapters.
"use strict";

const root = document.documentElement;
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a page opened from a disk may not remember */ }
});

// Paper is white.
let onScreen;
addEventListener("beforeprint", () => { onScreen = root.dataset.theme; root.dataset.theme = "light"; });
addEventListener("afterprint", () => { root.dataset.theme = onScreen; });

// What scrolls is reached by the keyboard too.
for (const each of document.querySelectorAll("pre, .scroll, .formula")) {
  const fits = () => each.scrollWidth <= each.clientWidth && each.scrollHeight <= each.clientHeight;
  new ResizeObserver(() => each.toggleAttribute("tabindex", !fits()) && each.setAttribute("tabindex", 0)).observe(each);
}

// Beside the text the contents are open; above it, on a narrow window, they would push it away.
const contents = document.querySelector(".contents details");
if (contents) contents.open = matchMedia("(min-width: 1101px)").matches;

const find = document.getElementById("find");
const found = document.getElementById("found");
find.addEventListener("input", () => {
  const asked = find.value.trim().toLowerCase().split(/\s+/);
  const hits = find.value.trim().length < 2 ? [] : SECTIONS.filter(
    ({ title, text }) => asked.every((word) => `${title} ${text}`.toLowerCase().includes(word)));
  found.replaceChildren(...hits.slice(0, 12).map(({ href, chapter, title }) => {
    const item = document.createElement("li");
    const link = Object.assign(document.createElement("a"), { href, textContent: `${chapter}: ${title}` });
    item.append(link);
    return item;
  }));
  document.getElementById("hits").textContent = hits.length ? `${hits.length} sections` : "";
});
