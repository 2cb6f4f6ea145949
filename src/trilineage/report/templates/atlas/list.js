// The list: only the rows in sight exist, whatever the number of concepts; arrow keys walk through all of them.

const list = document.getElementById("list");
const OVERSCAN = 4;
const HEADS = [
  ["", "Cells", "left"],
  ["latent", "Concept", "left"],
  ["frequency", "Frequency", ""],
  ["mean", "Mean activation", ""],
  ["relative", "Relative entropy", ""],
  ["stability", "Stability", ""],
  ["class", "AUROC", ""],
];
let cards = [];
let layout = "list";
let focused = 0;
let shown = new Map();

function geometry() {
  const width = list.clientWidth;
  const isNarrow = window.matchMedia("(max-width: 44rem)").matches;
  const ratio = pictures ? pictures.tile[0] / pictures.tile[1] : 1;
  if (layout === "list") {
    const side = isNarrow ? 84 : 72;
    return { columns: 1, width, height: Math.round(side * ratio) + 18, picture: side, nPictures: isNarrow ? 1 : 3 };
  }
  const columns = Math.max(1, Math.floor((width + 12) / (isNarrow ? 162 : 182)));
  const cell = (width - 12 * (columns - 1)) / columns;
  const picture = cell - 16;
  return { columns, width: cell, height: Math.round(picture * ratio) + 84, picture, nPictures: 1 };
}

function drawList(isNew) {
  const form = geometry();
  if (isNew) {
    shown.forEach((node) => node.remove());
    shown = new Map();
  }
  list.style.height = `${Math.ceil(cards.length / form.columns) * form.height}px`;
  const top = list.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(-top / form.height) - OVERSCAN) * form.columns;
  const last = Math.min(cards.length, (Math.ceil((window.innerHeight - top) / form.height) + OVERSCAN) * form.columns);
  showRange(first, Math.max(first, last), form);
}

function showRange(first, last, form) {
  const hadFocus = list.contains(document.activeElement);
  for (const [position, node] of shown) {
    if ((position < first || position >= last) && position !== focused) {
      node.remove();
      shown.delete(position);
    }
  }
  const wanted = [];
  for (let position = first; position < last; position++) wanted.push(position);
  if (focused < cards.length && (focused < first || focused >= last)) wanted.push(focused);
  for (const position of wanted) {
    if (!shown.has(position)) shown.set(position, addEntry(position, form));
  }
  if (hadFocus && !list.contains(document.activeElement)) linkAt(focused)?.focus({ preventScroll: true });
}

function addEntry(position, form) {
  const node = layout === "list" ? row(cards[position], position, form) : cell(cards[position], position, form);
  node.style.top = `${Math.floor(position / form.columns) * form.height}px`;
  node.style.height = `${form.height - (layout === "list" ? 0 : 12)}px`;
  if (layout === "grid") {
    node.style.left = `${(position % form.columns) * (form.width + 12)}px`;
    node.style.width = `${form.width}px`;
  }
  // In the order of the list, so that Tab and screen readers meet them in that order.
  const after = [...shown.keys()].filter((other) => other > position).sort((a, b) => a - b)[0];
  list.insertBefore(node, after === undefined ? null : shown.get(after));
  return node;
}

function entry(name, card, position, ...children) {
  return make(
    "div",
    {
      class: name,
      role: "listitem",
      "aria-setsize": cards.length,
      "aria-posinset": position + 1,
      onclick: (event) => {
        event.preventDefault();
        focused = position;
        openCard(card);
      },
      onpointerenter: () => markPoint(card),
      onpointerleave: () => markPoint(null),
    },
    ...children,
  );
}

function what(card, position, lines) {
  const review = reviewOf(card);
  const link = make("a", { href: `#${deck.latents[card]}`, tabindex: position === focused ? 0 : -1 }, titleOf(card));
  const title = make("p", { class: "title" });
  if (deck.names[card] || review.name) title.append(make("span", { class: "number" }, `${deck.latents[card]} `));
  title.append(link);
  if (isDraft(card)) title.append(" ", make("span", { class: "draft" }, "draft"));
  if (review.verdict) title.append(" ", make("span", { class: "verdict" }, VERDICTS[review.verdict]));
  return make("div", { class: "what" }, title, ...lines.map((line) => make("p", {}, line)));
}

function describedBy(card) {
  const classes = findings(deck.classFindings[card]).filter((one) => one.isDiscovery).slice(0, 2);
  const attributes = findings(deck.attributeFindings[card]).filter((one) => one.isDiscovery).slice(0, 2);
  const shares = deck.shares[card];
  const mostly = shares.length ? `references: ${percent(shares[1])} ${deck.classes[shares[0]]}` : "";
  return [
    classes.map((one) => `${one.target} ${fixed(one.auroc)}`).join(" · ") || mostly,
    attributes.map((one) => readable(one.target)).join(" · "),
  ];
}

function thumbs(card, form) {
  const shownReferences = references(card);
  const tiles = [];
  for (let rank = 0; rank < form.nPictures; rank++) tiles.push(tile(card, rank, shownReferences[rank], form.picture));
  return make("div", { class: "thumbs", "aria-hidden": "true" }, ...tiles);
}

function meter(value) {
  const bar = make("i");
  bar.style.width = `${100 * Math.min(1, Math.max(0, value))}%`;
  return make("span", { class: "meter", "aria-hidden": "true" }, bar);
}

function row(card, position, form) {
  const name = field("class").value;
  const auroc = name ? aurocOf(card, name) : column.best[card];
  const relative = column.relative[card];
  const narrow = make("small", {}, `in ${percent(column.frequency[card])} of images, entropy ${fixed(relative)}`);
  return entry(
    "row columns",
    card,
    position,
    thumbs(card, form),
    what(card, position, describedBy(card).filter(Boolean)),
    make("span", { class: "n first" }, make("span", { class: "long" }, percent(column.frequency[card])), narrow),
    make("span", { class: "n" }, significant(column.mean[card])),
    make("span", { class: "n" }, meter(relative), fixed(relative)),
    make("span", { class: "n" }, fixed(column.stability[card])),
    make("span", { class: "n" }, fixed(auroc)),
  );
}

function cell(card, position, form) {
  const figures = `in ${percent(column.frequency[card])}, entropy ${fixed(column.relative[card])}`;
  return entry("cell", card, position, thumbs(card, form), what(card, position, [describedBy(card)[0], figures]));
}

function drawHeads() {
  const heads = document.getElementById("heads");
  heads.replaceChildren();
  heads.className = layout === "list" ? "columns" : "";
  if (layout !== "list") return;
  for (const [name, text, side] of HEADS) {
    if (!name) {
      heads.append(make("span", { class: side }, text));
      continue;
    }
    const isBy = field("order").value === name;
    const arrow = isBy ? (isRising ? " \u2191" : " \u2193") : "";
    const onclick = () => {
      orderBy(name);
      choose();
    };
    const label = `Order by ${text.toLowerCase()}`;
    heads.append(
      make("button", { type: "button", class: side, "aria-pressed": String(isBy), "aria-label": label, onclick }, text + arrow),
    );
  }
}

function linkAt(position) {
  return shown.get(position)?.querySelector("a");
}

function focusOn(position) {
  const form = geometry();
  linkAt(focused)?.setAttribute("tabindex", -1);
  focused = Math.max(0, Math.min(cards.length - 1, position));
  const top = list.getBoundingClientRect().top + Math.floor(focused / form.columns) * form.height;
  const covered = window.matchMedia("(max-width: 44rem)").matches ? 0 : field("choice").offsetHeight + 8;
  if (top < covered) window.scrollBy(0, top - covered);
  else if (top + form.height > window.innerHeight) window.scrollBy(0, top + form.height - window.innerHeight + 8);
  drawList(false);
  linkAt(focused)?.setAttribute("tabindex", 0);
  linkAt(focused)?.focus({ preventScroll: true });
}

list.addEventListener("keydown", (event) => {
  const form = geometry();
  const page = form.columns * Math.max(1, Math.floor(window.innerHeight / form.height) - 1);
  const steps = {
    ArrowDown: form.columns,
    ArrowUp: -form.columns,
    ArrowRight: layout === "grid" ? 1 : 0,
    ArrowLeft: layout === "grid" ? -1 : 0,
    PageDown: page,
    PageUp: -page,
    Home: -cards.length,
    End: cards.length,
  };
  if (!steps[event.key]) return;
  event.preventDefault();
  focusOn(focused + steps[event.key]);
});
