// Figures and explorers of a page: what a kernel would draw was drawn before, at every setting of the controls.
"use strict";

const PAPER = 660; // pixels: what a sheet of A4 or letter has beside its margins
const template = JSON.parse(document.getElementById("template").textContent);

for (const explorer of document.querySelectorAll(".explorer")) {
  // A page holds many: each is drawn when it comes near; its controls are there at once, for who comes by the keyboard.
  const show = addControls(explorer);
  const seen = new IntersectionObserver(([entry]) => {
    if (entry.isIntersecting) { seen.disconnect(); show(); }
  }, { rootMargin: "600px" });
  seen.observe(explorer);
  for (const event of ["beforeprint", "afterprint"]) addEventListener(event, show);
}

// Returns how to draw what the controls say.
function addControls(explorer) {
  const { controls, figures, start } = JSON.parse(explorer.querySelector("script").textContent);
  const choice = start ? start.split("/").map(Number) : [];
  const inputs = controls.map((control, i) => addControl(explorer, control, i, choice, move));
  const [stage, words, problem] = ["stage", "words", "problem"].map((name) => explorer.querySelector(`.${name}`));
  document.getElementById("theme").addEventListener("click", () => setTimeout(show));
  return show;

  function move() {
    // What a control offers may depend on the ones before it.
    controls.forEach((control, i) => {
      const labels = control.labels[choice.slice(0, i).join("/")];
      choice[i] = Math.min(choice[i], labels.length - 1);
      inputs[i](labels, choice[i]);
    });
    show();
  }

  function show(event) {
    const figure = figures[choice.join("/")];
    problem.textContent = figure.error ?? "";
    if (figure.error) return;
    // The page's own ink: a notebook's figures have one for light and dark, pale on either.
    const font = { ...figure.layout.font, color: getComputedStyle(document.body).color };
    const size = event?.type === "beforeprint" ? { width: PAPER } : { autosize: true };
    const layout = { ...figure.layout, template, font, ...size };
    Plotly.react(stage, figure.data, layout, { responsive: true, displaylogo: false, displayModeBar: false });
    words.textContent = figure.words;
    explorer.dataset.shown = choice.join("/");
  }
}

// Returns how to show other labels and another choice.
function addControl(explorer, { name, kind, labels }, i, choice, move) {
  const label = document.createElement("label");
  const input = document.createElement(kind === "range" ? "input" : "select");
  const value = document.createElement("output");
  label.append(`${name} `, input, " ");
  if (kind === "range") { input.type = "range"; label.append(value); }
  explorer.querySelector(".controls").append(label);
  const set = (texts, place) => {
    if (kind === "range") {
      [input.min, input.max, input.value] = [0, texts.length - 1, place];
      input.setAttribute("aria-valuetext", texts[place]);
      value.textContent = texts[place];
    } else {
      if (input.dataset.texts !== texts.join("\n")) {
        input.replaceChildren(...texts.map((text, k) => new Option(text, k)));
        input.dataset.texts = texts.join("\n");
      }
      input.value = place;
    }
  };
  set(labels[choice.slice(0, i).join("/")], choice[i]);
  input.addEventListener("input", () => { choice[i] = Number(input.value); move(); });
  return set;
}
