// The start: joins the parts, draws, and answers to the form, the window and the address.

const PRINTED = 100;

function choose() {
  cards = chosen();
  inSight = new Uint8Array(nCards);
  for (const card of cards) inSight[card] = 1;
  focused = 0;
  field("count").textContent =
    cards.length === nCards ? counted(nCards, "concept") : `${cards.length.toLocaleString("en")} of ${counted(nCards, "concept")}`;
  field("direction").textContent = isRising ? "\u2191 rising" : "\u2193 falling";
  field("direction").setAttribute("aria-pressed", String(!isRising));
  field("none").hidden = cards.length > 0;
  drawHeads();
  drawList(true);
  drawScatter();
}

function showOverlay(value) {
  document.querySelector(`input[name=overlay][value=${value}]`).checked = true;
  document.body.classList.toggle("show-heat", value === "heat");
  document.body.classList.toggle("show-outline", value === "outline");
}

function showFilters(isOpen) {
  field("filters").hidden = !isOpen;
  field("more").setAttribute("aria-expanded", String(isOpen));
  measure();
}

function openAddressed() {
  const card = cardOfLatent.get(Number(location.hash.slice(1)));
  if (/^#\d+$/.test(location.hash) && card !== undefined && card !== open) openCard(card);
}

function measure() {
  document.documentElement.style.setProperty("--choice-height", `${field("choice").offsetHeight}px`);
  drawList(true);
  drawScatter();
}

function once(work) {
  // At most once per picture the screen shows.
  let isWaiting = false;
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      work();
    });
  };
}

fillChoices();
countReviews();
field("overlays").hidden = !pictures;
document.body.classList.toggle("no-stability", stabilityFigure < 0);
field("choice").addEventListener("input", (event) => {
  if (event.target.name === "overlay") showOverlay(event.target.value);
  else if (event.target.name === "layout") {
    layout = event.target.value;
    choose();
  } else {
    if (event.target.id === "order") isRising = RISING.has(event.target.value);
    if (event.target.id === "class" && event.target.value) {
      field("order").value = "class";
      isRising = false;
    }
    choose();
  }
});
field("choice").addEventListener("submit", (event) => event.preventDefault());
field("direction").addEventListener("click", () => {
  isRising = !isRising;
  choose();
});
for (const name of ["reset", "reset-too"]) {
  field(name).addEventListener("click", () => {
    resetChoice();
    choose();
  });
}
field("more").addEventListener("click", () => showFilters(field("filters").hidden));
window.addEventListener("scroll", once(() => drawList(false)), { passive: true });
window.addEventListener("resize", once(measure));
window.addEventListener("hashchange", openAddressed);
window.addEventListener("beforeprint", () => {
  const n = Math.min(cards.length, PRINTED);
  field("printed").textContent = n < cards.length ? `The first ${n} of ${counted(cards.length, "concept")}.` : "";
  showRange(0, n, geometry());
});
window.addEventListener("afterprint", () => drawList(true));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawScatter);
window.addEventListener("themechange", drawScatter);
choose();
measure();
openAddressed();
document.documentElement.dataset.readyMs = Math.round(performance.now());
window.addEventListener("load", () => {
  document.documentElement.dataset.loadedMs = Math.round(performance.now());
});
