// The pictures: the stream of one token as SVG, and one head's pattern on a canvas. They draw what they are handed.

const MINUS = "\u2212";

/** A token as it can be seen: a space as a dot, a line break as an arrow, the token between texts by its short name. */
export function visible(word) {
  const text = word === "<|endoftext|>" ? "<|eot|>" : word.replaceAll("\n", "↵").replaceAll(" ", "·");
  return text.length > 14 ? `${text.slice(0, 13)}…` : text;
}

export const signed = (x, digits) => `${x < 0 ? MINUS : "+"}${Math.abs(x).toFixed(digits)}`;

/** A component's kind, for its colour, and its name in words. */
export function describe(name) {
  const [layer, kind] = name.split("_");
  if (name === "embed") return { kind: "embed", words: "token" };
  if (name === "pos_embed") return { kind: "pos", words: "position" };
  return { kind, words: `${kind === "attn" ? "attention" : "MLP"} ${layer}` };
}

const escape = (text) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

/**
 * The stream of one token through the layers, `width` pixels wide: the lane as thick as the stream is long, a ribbon
 * as wide as what was written, dashed where it points against the final stream.
 */
export function drawStream({ components, words, position, next }, width) {
  const narrow = width < 620, height = narrow ? 290 : 320, middle = height / 2 + 4;
  const left = narrow ? 60 : 96, right = narrow ? 78 : 132, nodes = 58;
  const layers = (components.length - 2) / 2, step = (width - left - right) / layers;
  const widest = Math.max(...components.flatMap(({ norm, stream }) => [norm, stream]));
  const scale = Math.min(50, 0.45 * step) / widest;

  // The lane: where each write lands, and how long the stream is after it.
  const lands = components.map((_, i) =>
    i < 2 ? left : left + step * (Math.floor(i / 2) - 1 + (i % 2 ? 0.88 : 0.42)));
  const points = components.slice(1).map(({ stream }, i) => [lands[i + 1], (stream * scale) / 2]);
  points.push([width - right + 8, points.at(-1)[1]]);
  const edge = (points, side) => points.slice(1).map(([x, half], i) => {
    const [before, was] = points[i], bend = f((before + x) / 2), y = f(middle + side * half);
    return `C${bend},${f(middle + side * was)} ${bend},${y} ${f(x)},${y}`;
  }).join(" ");
  const first = points[0], last = points.at(-1);
  const lane = `M${f(first[0])},${f(middle - first[1])} ${edge(points, -1)} L${f(last[0])},${f(middle + last[1])} `
    + `${edge([...points].reverse(), 1)} Z`;
  const halfAt = (x) => points.findLast(([at]) => at <= x)?.[1] ?? first[1];

  const parts = [`<path class="lane" d="${lane}"/>`];
  const label = (x, y, text, kind = "", anchor = "middle") =>
    parts.push(`<text x="${f(x)}" y="${f(y)}" text-anchor="${anchor}" class="${kind}">${escape(text)}</text>`);
  const ribbon = (from, to, kind, { norm, share }, words) => {
    const [x0, y0] = from, [x1, y1] = to, bend = (y0 + y1) / 2;
    parts.push(
      `<path class="ribbon ${kind}${share < 0 ? " against" : ""}" stroke-width="${f(Math.max(1.5, norm * scale))}" `
      + `d="M${f(x0)},${f(y0)} C${f(x0)},${f(bend)} ${f(x1)},${f(bend)} ${f(x1)},${f(y1)}">`
      + `<title>${escape(words)}</title></path>`,
    );
  };
  const told = ({ norm, share }) => `length ${norm.toFixed(1)}, ${percent(share)} of the final stream`;

  components.forEach((component, i) => {
    const { kind, words: name } = describe(component.name), side = kind === "mlp" || kind === "pos" ? 1 : -1;
    const title = `${name} writes: ${told(component)}`;
    if (i < 2) {
      const x = narrow ? 29 : 46, y = middle + side * 46;
      ribbon([x, y - side * 4], [left + 1, middle], kind, component, title);
      label(x, y + (side > 0 ? 14 : -22), i ? "position" : "token", `${kind} name`);
      label(x, y + (side > 0 ? 29 : -7), i ? `${position}` : visible(words[position]), "quiet");
      return;
    }
    const node = lands[i] - step * 0.12, read = lands[i] - step * 0.38, y = middle + side * (middle - nodes - 4);
    const start = middle + side * (halfAt(read) + 2), tip = f(y - side * 6);
    parts.push(`<path class="reader" d="M${f(read)},${f(start)} V${f(y)}"/>`);
    parts.push(`<path class="reader tip" d="M${f(read - 3.5)},${tip} L${f(read)},${f(y)} L${f(read + 3.5)},${tip}"/>`);
    ribbon([node, y], [lands[i], middle + side * Math.max(0, halfAt(lands[i]) - 2)], kind, component, title);
    label(node, y + (side > 0 ? 17 : -22), component.norm.toFixed(0), `${kind} name`);
    label(node, y + (side > 0 ? 32 : -7), percent(component.share), "quiet");
  });
  for (let layer = 0; layer < layers; layer++)
    label(left + step * (layer + 0.5), 14, narrow ? `${layer}` : `layer ${layer}`, "quiet");
  label(4, 36, narrow ? "attn" : "attention", "attn name", "start");
  label(4, height - 22, "MLP", "mlp name", "start");
  if (narrow) label(4, 14, "layer", "quiet", "start");

  // The end: the unembedding reads the lane, and the likeliest tokens come out.
  const out = width - right + 14;
  parts.push(`<path class="reader" d="M${f(out - 4)},${f(middle)} H${f(out + 8)}"/>`);
  next.slice(0, 3).forEach(({ word, probability }, i) => {
    const y = middle - 30 + 34 * i, length = Math.max(1, probability * (right - 34));
    label(out + 12, y, visible(word).slice(0, narrow ? 8 : 14), "", "start");
    parts.push(`<rect class="unembed" x="${f(out + 12)}" y="${f(y + 4)}" width="${f(length)}" height="5" rx="2"/>`);
  });

  const longest = components.slice(2).reduce((most, other) => (other.norm > most.norm ? other : most));
  const alt = `The residual stream of “${visible(words[position])}” through ${layers} layers: `
    + `${describe(longest.name).words} writes the longest vector, ${told(longest)}. `
    + `The stream ends ${components.at(-1).stream.toFixed(0)} long.`;
  const size = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`;
  return `<svg ${size} role="img" aria-label="${escape(alt)}">${parts.join("")}</svg>`;
}

const f = (x) => x.toFixed(1);
const percent = (share) => `${share < 0 ? MINUS : ""}${Math.abs(100 * share).toFixed(0)}%`;

/** One head's pattern: row = the token that looks, column = the token looked at, the chosen row framed. */
export function drawPattern(canvas, { pattern, words, position }, colours) {
  const n = pattern.length, side = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
  const named = n <= 24, widest = () => Math.max(...words.map((word) => context.measureText(visible(word)).width));
  const context = canvas.getContext("2d");
  canvas.width = canvas.height = Math.round(side * ratio);
  context.scale(ratio, ratio);
  context.font = "12px system-ui, sans-serif";
  const margin = named ? Math.min(90, 10 + widest()) : 26;
  const cell = (side - margin - 2) / n;
  const at = (i) => margin + i * cell;

  // Half a pixel more than a cell, so that no seam shows between two; what is too faint to be seen is not drawn.
  const fill = (key, query, cells) => context.fillRect(at(key), at(query), cells * cell + 0.5, cell + 0.5);
  context.fillStyle = colours.rule;
  context.fillRect(margin, margin, n * cell, n * cell);
  context.fillStyle = colours.paper;
  for (let query = 0; query < n; query++) fill(0, query, query + 1);
  context.fillStyle = colours.attn;
  pattern.forEach((row, query) => row.forEach((weight, key) => {
    context.globalAlpha = weight;
    if (weight > 1 / 255) fill(key, query, 1);
  }));
  context.globalAlpha = 1;
  context.strokeStyle = colours.ink;
  context.lineWidth = 1.5;
  context.strokeRect(margin, at(position), (position + 1) * cell, cell);

  context.fillStyle = colours.quiet;
  context.textBaseline = "middle";
  const upright = (draw, x) => {
    context.save();
    context.translate(x, margin - 6);
    context.rotate(-Math.PI / 2);
    draw();
    context.restore();
  };
  if (named) {
    words.forEach((word, i) => {
      context.textAlign = "right";
      context.fillText(visible(word), margin - 6, at(i + 0.5));
      context.textAlign = "left";
      upright(() => context.fillText(visible(word), 0, 0), at(i + 0.5));
    });
  } else {
    context.textAlign = "left";
    context.fillText("looked at →", margin, margin - 12);
    context.save();
    context.translate(margin - 12, margin);
    context.rotate(Math.PI / 2);
    context.fillText("looks →", 0, 0);
    context.restore();
  }
}
