// The page's side of the model: hands the text to the worker, shows what comes back.
import { describe, drawPattern, drawStream, signed, visible } from "./drawing.mjs";

const root = document.querySelector(".page-model");
root.classList.add("scripted");
const part = (name) => root.querySelector(`[data-part="${name}"]`);
const [text, example, more, head] = ["text", "example", "more", "head"].map(part);

const worker = new Worker(URL.createObjectURL(new Blob([WORKER_SOURCE], { type: "text/javascript" })));
let ready = false, busy = false, changed = false, position = null, shown = null;

worker.onmessage = ({ data }) => {
  busy = false;
  if (data.ready) start(data.ready);
  else show(data);
  if (changed) ask();
};
worker.onerror = ({ message }) => fail(message);

/** Ask the worker about what the controls say now; while it is at work, only the last change is remembered. */
function ask() {
  root.setAttribute("aria-busy", "true");
  changed = busy || !ready;
  if (changed) return;
  busy = true;
  worker.postMessage({ text: text.value, position, head: head.value });
}

/** The files come in a script of their own, fetched once the section is near. */
function load() {
  const script = document.createElement("script");
  script.src = root.dataset.weights;
  script.onload = () => worker.postMessage(globalThis.PAGE_MODEL);
  script.onerror = () => fail(`${script.src} is missing`);
  document.head.append(script);
}

function fail(message) {
  part("prediction").textContent = `The model cannot run (${message}): reload the page.`;
}

function start({ n_layers, n_heads }) {
  for (let layer = 0; layer < n_layers; layer++)
    for (let index = 0; index < n_heads; index++) head.add(new Option("", `${layer}.${index}`));
  ready = changed = true;
}

function show(found) {
  shown = found;
  showWords(found);
  showNext(found);
  showComponents(found);
  for (const option of [...head.options].slice(1)) {
    const [layer, index] = option.value.split(".");
    option.text = `layer ${layer} head ${index} (${signed(found.heads[layer][index], 2)})`;
  }
  showPictures();
  root.setAttribute("aria-busy", changed);
}

function showWords({ words, position: at, dropped, pattern }) {
  const list = part("tokens"), chosen = position ?? at;
  while (list.children.length > words.length) list.lastChild.remove();
  while (list.children.length < words.length) {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "page-model-token", value: list.children.length });
    label.append(input, document.createElement("span"));
    list.append(label);
  }
  words.forEach((word, i) => {
    const { firstChild: input, lastChild: span } = list.children[i];
    if (span.textContent !== visible(word)) span.textContent = visible(word);
    input.checked = i === chosen;
    span.style.setProperty("--looked", pattern[at][i] ?? 0);
  });
  const { offsetTop: top, offsetHeight: height } = list.children[chosen];
  list.scrollTop = Math.min(top - 4, Math.max(list.scrollTop, top + height + 4 - list.clientHeight));
  part("count").textContent = `${words.length} tokens`
    + (dropped ? `: as many as this model reads. The last ${dropped} of yours are left out.` : ".");
}

function showNext({ words, position, next }) {
  const [{ word, probability }] = next;
  part("prediction").textContent = `After “${visible(words[position])}” the model expects “${visible(word)}” most, `
    + `with probability ${probability.toFixed(2)}.`;
  part("next").replaceChildren(...next.map(({ word, probability }) => {
    const row = document.createElement("li");
    row.append(cell("span", visible(word)), bar("unembed", 0, probability), cell("span", probability.toFixed(2)));
    return row;
  }));
  more.textContent = `Write “${visible(word)}”`;
}

function showComponents({ components, next, bias, over }) {
  const word = `“${visible(next[0].word)}”`;
  const longest = Math.max(...components.flatMap(({ norm, stream }) => [norm, stream]));
  const strongest = Math.max(Math.abs(bias), ...components.map(({ adds }) => Math.abs(adds)));
  part("adds").textContent = `adds to ${word}`;
  const row = (name, kind, norm, stream, adds) => {
    const line = document.createElement("tr"), header = cell("th", name);
    header.scope = "row";
    header.className = `mark ${kind}`;
    const lengths = [[norm, kind], [stream, "lane"]].map(([x, colour]) =>
      x === null ? cell("td", "") : withBar(x.toFixed(1), bar(colour, 0, x / longest)));
    const share = adds / strongest / 2;
    const added = bar(kind, 0.5 + Math.min(0, share), Math.abs(share), adds < 0);
    line.append(header, ...lengths, withBar(signed(adds, 2), added));
    return line;
  };
  part("components").replaceChildren(
    ...components.map(({ name, norm, stream, adds }) => {
      const { words, kind } = describe(name);
      return row(words, kind, norm, stream, adds);
    }),
    row("bias", "unembed", null, null, bias),
  );
  part("sum").textContent = signed(over, 2);
  const most = components.reduce((best, other) => (other.adds > best.adds ? other : best));
  part("attribution").textContent = `${capital(describe(most.name).words)} adds most, directly, to the logit of ${word}: `
    + `${signed(most.adds, 2)} of ${signed(over, 2)} over the average token.`;
}

function showPictures() {
  const { pattern, words, position, layer, index, headNorm, heads, next } = shown;
  part("stream").innerHTML = drawStream(shown, Math.round(part("stream").clientWidth));
  const canvas = part("pattern"), names = ["attn", "paper", "rule", "ink", "quiet"];
  const colour = (name) => { canvas.style.color = `var(--${name})`; return getComputedStyle(canvas).color; };
  drawPattern(canvas, shown, Object.fromEntries(names.map((name) => [name, colour(name)])));
  const row = pattern[position], most = row.reduce((best, weight, i) => (weight > row[best] ? i : best), 0);
  const sentence = `Layer ${layer} head ${index}: “${visible(words[position])}” looks most at `
    + `“${visible(words[most])}” (position ${most}), ${row[most].toFixed(2)}. `
    + `It writes a vector ${headNorm.toFixed(1)} long, which adds ${signed(heads[layer][index], 2)} to “${visible(next[0].word)}”.`;
  part("looks").textContent = sentence;
  canvas.setAttribute("aria-label", `Attention pattern. ${sentence}`);
}

function cell(kind, content) {
  const element = document.createElement(kind);
  element.textContent = content;
  return element;
}

/** A bar from `start`, as long as `share`, both in parts of its column. */
function bar(kind, start, share, against = false) {
  const element = document.createElement("span");
  element.className = `bar ${kind}${against ? " against" : ""}`;
  element.style.marginInlineStart = `${100 * start}%`;
  element.style.width = `${100 * share}%`;
  const track = document.createElement("span");
  track.className = "track";
  track.setAttribute("aria-hidden", "true");
  track.append(element);
  return track;
}

function withBar(number, track) {
  const element = document.createElement("td");
  element.append(cell("span", number), track);
  return element;
}

const capital = (words) => words[0].toUpperCase() + words.slice(1);

/** A new text is looked at from its last token. */
function edited() {
  position = null;
  ask();
}

text.addEventListener("input", () => {
  example.selectedIndex = 0;
  edited();
});
example.addEventListener("change", () => {
  if (example.value) text.value = example.value;
  edited();
});
more.addEventListener("click", () => {
  if (!shown) return;
  text.value += shown.next[0].word;
  text.scrollTop = text.scrollHeight;
  example.selectedIndex = 0;
  edited();
});
part("tokens").addEventListener("change", ({ target }) => {
  position = Number(target.value);
  ask();
});
head.addEventListener("change", ask);
new ResizeObserver(() => shown && showPictures()).observe(part("stream"));
// Another theme, by the system's wish or the page's: the canvas has to be told, the rest follows by itself.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown && showPictures());
new MutationObserver(() => shown && showPictures())
  .observe(document.documentElement, { attributeFilter: ["data-theme"] });

const near = new IntersectionObserver((entries) => {
  if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
  near.disconnect();
  load();
}, { rootMargin: "600px" });
near.observe(root);
