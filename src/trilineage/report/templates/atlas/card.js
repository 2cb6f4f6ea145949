// One card: everything that is known of a concept, its pictures, and the form in which an expert judges it.

const dialog = document.getElementById("card");
let open = null;
let isBlind = false;

function openCard(card) {
  open = card;
  dialog.classList.toggle("blind", isBlind);
  dialog.replaceChildren(top(card), body(card));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  markPoint(card);
  address(`#${deck.latents[card]}`);
}

function address(hash) {
  try {
    history.replaceState(null, "", hash || location.pathname + location.search);
  } catch {
    // Some browsers do not let a file change its address; links to cards then work only by typing them.
  }
}

function step(by) {
  const position = cards.indexOf(open);
  const next = cards[position + by];
  if (position >= 0 && next !== undefined) {
    focused = position + by;
    openCard(next);
  }
}

function top(card) {
  const position = cards.indexOf(card);
  const button = (text, label, by) =>
    make(
      "button",
      { type: "button", "aria-label": label, disabled: position < 0 || cards[position + by] === undefined, onclick: () => step(by) },
      text,
    );
  const blind = make("button", { type: "button", "aria-pressed": String(isBlind) }, isBlind ? "Show labels" : "Hide labels");
  blind.addEventListener("click", () => {
    isBlind = !isBlind;
    openCard(card);
  });
  const heading = make("h2", { id: "card-title", tabindex: -1, autofocus: true });
  if (deck.names[card] || reviewOf(card).name) heading.append(make("span", { class: "number" }, String(deck.latents[card])), " ");
  heading.append(make("span", { class: "tells" }, titleOf(card)), " ");
  if (isDraft(card)) heading.append(make("span", { class: "draft" }, "draft name"));
  const close = make("button", { type: "button", onclick: () => dialog.close() }, "Close");
  return make("div", { class: "card-top" }, heading, make("div", {}, blind, button("\u2190", "Previous concept", -1), button("\u2192", "Next concept", 1), close));
}

function body(card) {
  return make(
    "div",
    { class: "card-body" },
    cells(card),
    judgement(card),
    facts(card),
    deck.tests.length ? tests(card) : null,
    table("Classes", "Class", findings(deck.classFindings[card]), sharesOf(card)),
    deck.attributes.length ? table("Attributes", "Attribute", findings(deck.attributeFindings[card])) : null,
  );
}

function cells(card) {
  const scale = deck.full[card];
  const figures = references(card).map((reference, rank) => {
    const lines = [reference.label, reference.patient && `patient ${reference.patient}`].filter(Boolean);
    const where = reference.patch < 0 ? ", in the class token only" : "";
    const caption = make("figcaption", { title: reference.image });
    caption.append(...lines.map((line, n) => make(n ? "span" : "strong", { class: "tells" }, line)));
    caption.append(make("span", { class: "faint" }, `mean ${significant(reference.score)}${where}`));
    return make("figure", {}, tile(card, rank, reference, 0), caption);
  });
  const said = scale > 0 ? `Heat: activation in each patch, the strongest colour from ${significant(scale)} on, the same in all pictures.` : "";
  const how = make("p", { class: "support" }, `Cells that activate it most, strongest first. ${said}`);
  return make("section", { class: "all" }, make("h3", {}, "References"), overlaySwitch(), make("div", { class: "cells" }, ...figures), how);
}

function overlaySwitch() {
  const now = document.querySelector("input[name=overlay]:checked").value;
  const options = [["plain", "Nothing"], ["outline", "Patch"], ["heat", "Heat"]].map(([value, text]) => {
    const input = make("input", { type: "radio", name: "card-overlay", value, onchange: () => showOverlay(value) });
    input.checked = value === now;
    return make("label", {}, input, make("span", {}, text));
  });
  const set = make("fieldset", { class: "switch" }, make("legend", {}, "On the cells"), ...options);
  set.hidden = !pictures;
  set.style.marginBottom = "0.8rem";
  return set;
}

function facts(card) {
  const rows = [
    ["Frequency", `${percent(column.frequency[card])} of images`],
    ["Mean activation", significant(column.mean[card])],
    ["Entropy of classes", `${fixed(deck.entropy[card])} nats; ${fixed(column.relative[card])} of the largest possible`],
    ...deck.figures.map((figure, n) => [figure.title, fixed(deck.figureValues[n][card]), figure.meaning]),
    ...focusRows(card),
  ];
  const reasons = deck.reasons[card];
  if (reasons.length) rows.push([isDraft(card) ? "Draft made from" : "Name from", reasons.join("; ")]);
  const entries = rows.flatMap(([name, value, meaning]) => [
    make("dt", {}, name),
    make("dd", { class: /^(Draft|Name)/.test(name) ? "tells" : "" }, value, meaning ? make("small", {}, ` ${meaning}`) : null),
  ]);
  return make("section", {}, make("h3", {}, "Figures"), make("dl", {}, ...entries));
}

function focusRows(card) {
  return deck.regions
    .filter((region) => !region.endsWith("_by_chance"))
    .map((region) => {
      const share = deck.focusValues[deck.regions.indexOf(region)][card];
      const chance = deck.focusValues[deck.regions.indexOf(`${region}_by_chance`)]?.[card] ?? null;
      const beside = chance === null ? "" : `, ${percent(chance)} by chance`;
      return share === null ? null : [`In the ${region.replaceAll("_", " ")}`, `${percent(share)} of its activation${beside}`];
    })
    .filter(Boolean);
}

function tests(card) {
  const items = deck.tests.map((test, n) => {
    const outcome = deck.outcomes[n][card];
    const state = outcome === null ? ["undone", "not done"] : outcome ? ["passed", "passed"] : ["failed", "not passed"];
    return make("li", { class: state[0] }, `${test.title}: ${state[1]}`, make("small", {}, test.rule));
  });
  return make("section", {}, make("h3", {}, "Tests"), make("ul", { class: "tests" }, ...items));
}

function sharesOf(card) {
  const shares = new Map();
  const flat = deck.shares[card];
  for (let i = 0; i < flat.length; i += 2) shares.set(deck.classes[flat[i]], flat[i + 1]);
  return shares;
}

function table(title, noun, found, shares = null) {
  const names = new Set(found.map((one) => one.target));
  const rest = shares ? [...shares.keys()].filter((name) => !names.has(name)) : [];
  const rows = [...found, ...rest.map((target) => ({ target, auroc: null, q: null, isDiscovery: false }))].map((one) =>
    make(
      "tr",
      { class: one.isDiscovery ? "" : "faint" },
      make("td", { class: "name" }, readable(one.target)),
      make("td", { class: "n" }, fixed(one.auroc)),
      make("td", { class: "n" }, one.q === null ? UNKNOWN : one.q < 0.001 ? "< 0.001" : fixed(one.q, 3)),
      shares ? make("td", { class: "n" }, shares.has(one.target) ? percent(shares.get(one.target)) : UNKNOWN) : null,
    ),
  );
  const heads = [noun, "AUROC", "q", ...(shares ? ["References"] : [])].map((text, n) =>
    make("th", { scope: "col", class: n ? "n" : "" }, text),
  );
  const said = `Grey: no discovery at a false discovery rate of ${deck.alpha}.`;
  const content = rows.length
    ? [make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)), make("p", { class: "support" }, said)]
    : [make("p", { class: "faint" }, "None was tested.")];
  return make("section", { class: "tells" }, make("h3", {}, title), ...content);
}

function judgement(card) {
  const review = reviewOf(card);
  const name = make("input", { type: "text", maxlength: 120, placeholder: isBlind ? "" : deck.names[card] });
  name.value = review.name;
  const verdict = make("select", {});
  for (const [value, text] of [["", "not judged"], ["yes", "a concept"], ["no", "no concept"], ["unsure", "unsure"]]) {
    verdict.append(make("option", { value }, text));
  }
  verdict.value = review.verdict;
  name.addEventListener("input", () => setReview(card, { name: name.value.trim() }));
  verdict.addEventListener("change", () => setReview(card, { verdict: verdict.value }));
  return make(
    "section",
    { class: "all judge", "aria-label": "Your judgement" },
    make("label", { class: "wide" }, make("span", {}, "Your name for it"), name),
    make("label", {}, make("span", {}, "Is it one thing that can be seen?"), verdict),
  );
}

dialog.addEventListener("close", () => {
  open = null;
  address("");
  markPoint(null);
  drawList(true);
  focusOn(focused);
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
dialog.addEventListener("keydown", (event) => {
  if (/^(INPUT|SELECT)$/.test(event.target.tagName)) return;
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});
