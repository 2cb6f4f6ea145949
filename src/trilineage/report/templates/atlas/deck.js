// The cards: columns of values, read from the page; one function per question that the other parts ask.

const deck = JSON.parse(document.getElementById("deck").textContent);
const nCards = deck.latents.length;
const cardOfLatent = new Map(deck.latents.map((latent, card) => [latent, card]));
const stabilityFigure = deck.figures.findIndex((figure) => figure.name === "stability");
const UNKNOWN = "\u2013";

const column = {
  latent: deck.latents,
  frequency: deck.frequency,
  mean: deck.mean,
  relative: deck.relative,
  stability: stabilityFigure < 0 ? deck.latents.map(() => null) : deck.figureValues[stabilityFigure],
  best: deck.classFindings.map((found) => (found.length && found[3] ? found[1] : null)),
};
deck.figures.forEach((figure, n) => {
  if (!(figure.name in column)) column[figure.name] = deck.figureValues[n];
});

// Findings are four numbers each: target, AUROC, q, and whether it is a discovery.
function findings(flat) {
  const found = [];
  for (let i = 0; i < flat.length; i += 4) {
    found.push({ target: deck.targets[flat[i]], auroc: flat[i + 1], q: flat[i + 2], isDiscovery: !!flat[i + 3] });
  }
  return found;
}

// References are three numbers each: image, score, patch.
function references(card) {
  const flat = deck.references[card];
  const found = [];
  for (let i = 0; i < flat.length; i += 3) {
    const image = flat[i];
    found.push({
      image: deck.images[image],
      patient: deck.texts[deck.imagePatients[image]],
      label: deck.texts[deck.imageLabels[image]],
      score: flat[i + 1],
      patch: flat[i + 2],
    });
  }
  return found;
}

function aurocOf(card, target) {
  const flat = deck.classFindings[card];
  for (let i = 0; i < flat.length; i += 4) if (flat[i + 3] && deck.targets[flat[i]] === target) return flat[i + 1];
  return null;
}

function hasAttribute(card, target) {
  const flat = deck.attributeFindings[card];
  for (let i = 0; i < flat.length; i += 4) if (flat[i + 3] && deck.targets[flat[i]] === target) return true;
  return false;
}

function titleOf(card) {
  const own = reviewOf(card).name;
  return own || deck.names[card] || `Latent ${deck.latents[card]}`;
}

function isDraft(card) {
  return !!deck.names[card] && !!deck.drafts[card] && !reviewOf(card).name;
}

let haystack = null;
function textOf(card) {
  if (haystack === null) {
    haystack = deck.latents.map((latent, n) => {
      const named = findings(deck.classFindings[n]).concat(findings(deck.attributeFindings[n]));
      const targets = named.filter((one) => one.isDiscovery).map((one) => one.target);
      return [deck.names[n], ...targets, ...targets.map(readable)].join("\n").toLowerCase();
    });
  }
  return `${haystack[card]}\n${reviewOf(card).name.toLowerCase()}`;
}

function significant(value, digits = 3) {
  if (value === null || !isFinite(value)) return UNKNOWN;
  if (value === 0) return "0";
  const text = Math.abs(value) < 1e-4 ? value.toExponential(1) : String(Number(value.toPrecision(digits)));
  return text.replace("-", "\u2212");
}

function fixed(value, digits = 2) {
  return value === null || !isFinite(value) ? UNKNOWN : value.toFixed(digits).replace("-", "\u2212");
}

function percent(value) {
  return value === null ? UNKNOWN : `${significant(100 * value, 2)} %`;
}

// Attributes are written as in their table: granule_colour=red.
function readable(target) {
  const [name, ...value] = target.split("=");
  return value.length ? `${name.replaceAll("_", " ")}: ${value.join("=").replaceAll("_", " ")}` : target;
}

function counted(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

// Texts become text nodes, never markup.
function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}
