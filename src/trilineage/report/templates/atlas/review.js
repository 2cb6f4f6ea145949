// The review: what experts say of each card, kept in the browser where it allows that, and exported as CSV.

const STORE = `trilineage atlas ${deck.key}`;
const NOTHING = Object.freeze({ name: "", verdict: "", reviewer: "" });
const VERDICTS = { yes: "confirmed", no: "rejected", unsure: "unsure" };
let reviews = new Map();
let isKept = true;
let isExported = true;

try {
  const stored = JSON.parse(localStorage.getItem(STORE) || "{}");
  reviews = new Map(Object.entries(stored.reviews || {}).map(([latent, review]) => [Number(latent), review]));
  document.getElementById("reviewer").value = stored.reviewer || "";
} catch {
  isKept = false;
}

function reviewOf(card) {
  return reviews.get(deck.latents[card]) || NOTHING;
}

function setReview(card, change) {
  const review = { ...reviewOf(card), ...change, reviewer: document.getElementById("reviewer").value.trim() };
  if (review.name || review.verdict) reviews.set(deck.latents[card], review);
  else reviews.delete(deck.latents[card]);
  isExported = false;
  keep();
}

function keep() {
  try {
    const reviewer = document.getElementById("reviewer").value;
    localStorage.setItem(STORE, JSON.stringify({ reviewer, reviews: Object.fromEntries(reviews) }));
  } catch {
    isKept = false;
  }
  countReviews();
}

function countReviews() {
  const where = isKept ? "" : " This browser keeps nothing: export before you close the page.";
  document.getElementById("reviewed-count").textContent = `${counted(reviews.size, "concept")} reviewed.${where}`;
  document.getElementById("export").disabled = reviews.size === 0;
}

function csvCell(value) {
  // A spreadsheet would run what begins like a formula.
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csvOfReviews() {
  const rows = [...reviews].sort((a, b) => a[0] - b[0]);
  const lines = rows.map(([latent, review]) => {
    // A draft becomes a name only where somebody has said that it is a concept.
    const draft = review.verdict === "yes" ? deck.names[cardOfLatent.get(latent)] : "";
    const name = review.name || draft || "";
    return [String(latent), csvCell(name), csvCell(review.reviewer), csvCell(review.verdict)].join(",");
  });
  return `latent,name,reviewer,verdict\n${lines.join("\n")}${lines.length ? "\n" : ""}`;
}

function exportReviews() {
  const link = make("a", { download: "concept-review.csv" });
  link.href = URL.createObjectURL(new Blob([csvOfReviews()], { type: "text/csv" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  isExported = true;
}

document.getElementById("reviewer").addEventListener("input", keep);
document.getElementById("export").addEventListener("click", exportReviews);
window.addEventListener("beforeunload", (event) => {
  if (!isKept && !isExported && reviews.size) event.preventDefault();
});
