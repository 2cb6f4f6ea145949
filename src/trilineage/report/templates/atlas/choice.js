// The choice: which cards are shown and in which order, from the form at the top.

const field = (name) => document.getElementById(name);
const RANGES = ["frequency", "mean", "relative"];
const ORDERS = [
  ["first", "as they come"],
  ["class", "AUROC of the class"],
  ["latent", "number"],
  ["frequency", "frequency"],
  ["mean", "mean activation"],
  ["relative", "relative entropy"],
  ...deck.figures.map((figure) => [figure.name, figure.title.toLowerCase()]),
];
const RISING = new Set(["first", "latent", "relative"]);
let isRising = true;

function fillChoices() {
  const options = (names) => names.map(([value, text]) => make("option", { value }, text));
  const same = (names) => names.map((name) => [name, readable(name)]);
  field("class").append(...options([["", "any"], ...same(deck.classes)]));
  field("attribute").append(...options([["", "any"], ...same(deck.attributes)]));
  field("attribute").parentElement.hidden = deck.attributes.length === 0;
  field("order").append(...options(ORDERS));
  const each = deck.tests.map((test, n) => [String(n), `passed: ${test.title}`]);
  field("tests").append(...options([["", "any"], ["all", "passed all"], ["some", "passed at least one"], ...each]));
  field("tests").parentElement.hidden = deck.tests.length === 0;
  field("stability-range").hidden = stabilityFigure < 0;
}

function bound(name, scale = 1) {
  const text = field(name).value.trim();
  const value = Number(text);
  return text === "" || !isFinite(value) ? null : value / scale;
}

// Returns the conditions that are set, each from a card to whether it stays.
function conditions() {
  const found = [];
  for (const name of RANGES) {
    const scale = name === "frequency" ? 100 : 1;
    const low = bound(`${name}-low`, scale), high = bound(`${name}-high`, scale);
    if (low !== null) found.push((card) => column[name][card] >= low);
    if (high !== null) found.push((card) => column[name][card] <= high);
  }
  const stable = bound("stability-low");
  if (stable !== null) found.push((card) => column.stability[card] !== null && column.stability[card] >= stable);
  const attribute = field("attribute").value;
  if (attribute) found.push((card) => hasAttribute(card, attribute));
  const test = field("tests").value;
  if (test) found.push((card) => passes(card, test));
  const reviewed = field("reviewed").value;
  if (reviewed) found.push((card) => isReviewed(card, reviewed));
  return found;
}

function passes(card, test) {
  const outcomes = deck.outcomes.map((outcome) => outcome[card]);
  if (test === "all") return outcomes.length > 0 && outcomes.every((outcome) => outcome === 1);
  if (test === "some") return outcomes.some((outcome) => outcome === 1);
  return outcomes[Number(test)] === 1;
}

function isReviewed(card, wanted) {
  const { name, verdict } = reviewOf(card);
  if (wanted === "open") return !name && !verdict;
  if (wanted === "done") return !!(name || verdict);
  return verdict === wanted;
}

function chosen() {
  const extra = conditions();
  field("active").textContent = extra.length ? ` (${extra.length})` : "";
  const every = [...extra];
  const name = field("class").value;
  if (name) every.push((card) => aurocOf(card, name) !== null);
  const words = field("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length) every.push((card) => words.every((word) => matches(card, word)));
  const cards = [];
  for (let card = 0; card < nCards; card++) if (every.every((stays) => stays(card))) cards.push(card);
  return ordered(cards, name);
}

function matches(card, word) {
  return /^\d+$/.test(word) ? String(deck.latents[card]).startsWith(word) : textOf(card).includes(word);
}

function ordered(cards, name) {
  const by = field("order").value;
  const value = by === "class" ? (card) => (name ? aurocOf(card, name) : column.best[card]) : (card) => column[by][card];
  const sign = isRising ? 1 : -1;
  if (by === "first") return isRising ? cards : cards.reverse();
  const values = new Map(cards.map((card) => [card, value(card)]));
  return cards.sort((a, b) => {
    const first = values.get(a), second = values.get(b);
    if (first === null || second === null) return (first === null) - (second === null) || a - b;
    return sign * (first - second) || a - b;
  });
}

function orderBy(name) {
  isRising = field("order").value === name ? !isRising : RISING.has(name);
  field("order").value = name;
}

function resetChoice() {
  field("choice").querySelectorAll("input:not([type=radio]), select").forEach((input) => {
    if (input.tagName === "SELECT") input.selectedIndex = 0;
    else input.value = "";
  });
  isRising = true;
}
