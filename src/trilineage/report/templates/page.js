// What every page can do: light or dark, and sorting its tables. Without it the page says the same.
(() => {
"use strict";
const root = document.documentElement;
const KEY = "trilineage-theme";
const isSystemDark = window.matchMedia("(prefers-color-scheme: dark)");
const remembered = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : isSystemDark.matches);

function remember(theme) {
  try {
    if (theme) localStorage.setItem(KEY, theme); else localStorage.removeItem(KEY);
  } catch { /* A browser that keeps nothing still shows the choice. */ }
}

const first = remembered();
if (first === "light" || first === "dark") root.dataset.theme = first;

function startTheme() {
  const button = document.getElementById("theme");
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  button.hidden = false;
  show();
  isSystemDark.addEventListener("change", show);
  button.addEventListener("click", () => {
    const wanted = isDark() ? "light" : "dark";
    const isSystems = (wanted === "dark") === isSystemDark.matches;
    if (isSystems) delete root.dataset.theme; else root.dataset.theme = wanted;
    remember(isSystems ? null : wanted);
    show();
    window.dispatchEvent(new Event("themechange"));
  });
}

// Rows keep their first place for the third click; a row of totals stays last.

// A cell's own number: the text before what stands small under it. Empty cells and dashes come last either way.
function valueOf(row, column) {
  const cell = row.cells[column];
  const text = (cell.dataset.value ?? [...cell.childNodes].filter((part) => part.nodeName !== "SMALL")
    .map((part) => part.textContent).join("")).trim();
  const plain = text.replace(/[,\u00a0\u202f ](?=\d{3})/g, "").replace(/[\u2212\u2013](?=\d)/, "-").replace(/^[<>\u2264\u2265~]\s*/, "");
  const number = /^[-+]?(\d|\.\d)/.test(plain) ? parseFloat(plain) : NaN;
  return { text, number, isEmpty: text === "" || text === "\u2013" || text === "\u2014" };
}

function compare(a, b, isNumeric) {
  if (isNumeric && a.number === a.number && b.number === b.number) return a.number - b.number;
  return a.text.localeCompare(b.text, "en", { numeric: true });
}

function sortBy(table, heading, order) {
  const body = table.tBodies[0], column = heading.cellIndex;
  const rows = [...body.rows].filter((row) => !("total" in row.dataset)).map((row) => ({ row, ...valueOf(row, column) }));
  const isNumeric = rows.every((one) => one.isEmpty || one.number === one.number);
  const sign = order === "descending" ? -1 : 1;
  rows.sort((a, b) => {
    if (order === "none") return a.row.dataset.place - b.row.dataset.place;
    return a.isEmpty - b.isEmpty || sign * compare(a, b, isNumeric) || a.row.dataset.place - b.row.dataset.place;
  });
  body.append(...rows.map((one) => one.row), ...body.querySelectorAll(":scope > [data-total]"));
  for (const other of table.tHead.querySelectorAll("th")) other.setAttribute("aria-sort", other === heading ? order : "none");
}

function makeSortable(table) {
  [...table.tBodies[0].rows].forEach((row, place) => { row.dataset.place = place; });
  for (const heading of table.tHead.querySelectorAll("th")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const steps = heading.classList.contains("n") ? ["none", "descending", "ascending"] : ["none", "ascending", "descending"];
      sortBy(table, heading, steps[(steps.indexOf(heading.getAttribute("aria-sort")) + 1) % 3]);
    });
  }
}

document.addEventListener("DOMContentLoaded", () => {
  startTheme();
  document.querySelectorAll("table.sortable").forEach(makeSortable);
});
})();
