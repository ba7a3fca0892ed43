// The page around a chapter: its colours, and a search over all chapters.
"use strict";

const root = document.documentElement;
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a page opened from a disk may not remember */ }
});

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
