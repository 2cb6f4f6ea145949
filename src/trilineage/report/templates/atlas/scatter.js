// The scatter: log frequency against log mean activation, coloured by relative entropy, on a canvas.

const canvas = document.getElementById("scatter");
const hint = document.getElementById("hint");
const MARGIN = { left: 52, right: 10, top: 10, bottom: 42 };
const REACH = 10;
let inSight = new Uint8Array(nCards);
let marked = null;
let drag = null;

const extent = (values) => {
  const logs = values.filter((value) => value > 0).map(Math.log10);
  if (!logs.length) return [-1, 0];
  const low = logs.reduce((a, b) => Math.min(a, b)), high = logs.reduce((a, b) => Math.max(a, b));
  const spare = Math.max(0.05 * (high - low), 0.08);
  return [low - spare, high + spare];
};
const across = extent(column.frequency), upward = extent(column.mean);

function frame() {
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const wide = width - MARGIN.left - MARGIN.right, high = height - MARGIN.top - MARGIN.bottom;
  return {
    width,
    height,
    x: (value) => MARGIN.left + (wide * (Math.log10(value) - across[0])) / (across[1] - across[0]),
    y: (value) => MARGIN.top + high - (high * (Math.log10(value) - upward[0])) / (upward[1] - upward[0]),
    frequencyAt: (x) => 10 ** (across[0] + ((x - MARGIN.left) / wide) * (across[1] - across[0])),
    meanAt: (y) => 10 ** (upward[0] + ((MARGIN.top + high - y) / high) * (upward[1] - upward[0])),
  };
}

function ramp(style) {
  const stops = [0, 1, 2, 3, 4].map((n) => {
    const text = style.getPropertyValue(`--pure${n}`).trim();
    return text.match(/[\d.]+/g).slice(0, 3).map(Number);
  });
  return Array.from({ length: 33 }, (_, n) => {
    const at = n / 8, low = Math.min(3, Math.floor(at));
    const mixed = stops[low].map((part, i) => Math.round(part + (stops[low + 1][i] - part) * (at - low)));
    return `rgb(${mixed.join(" ")})`;
  });
}

function drawScatter() {
  const form = frame();
  if (!form.width) return;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(form.width * scale);
  canvas.height = Math.round(form.height * scale);
  const ink = canvas.getContext("2d");
  ink.scale(scale, scale);
  const style = getComputedStyle(document.documentElement);
  const isPlotted = (card) => column.frequency[card] > 0 && column.mean[card] > 0;
  drawAxes(ink, form, style);
  ink.fillStyle = style.getPropertyValue("--rule");
  for (let card = 0; card < nCards; card++) if (!inSight[card] && isPlotted(card)) dot(ink, form, card, 1.6);
  const colours = ramp(style);
  const radius = cards.length > 1500 ? 2.1 : cards.length > 300 ? 2.8 : 3.6;
  for (const card of cards) {
    if (!isPlotted(card)) continue;
    ink.fillStyle = colours[Math.round(32 * Math.min(1, Math.max(0, column.relative[card])))];
    dot(ink, form, card, radius);
  }
  if (marked !== null && isPlotted(marked)) ring(ink, form, style);
  if (drag && drag.isWide) drawDrag(ink, style);
}

function dot(ink, form, card, radius) {
  ink.beginPath();
  ink.arc(form.x(column.frequency[card]), form.y(column.mean[card]), radius, 0, 2 * Math.PI);
  ink.fill();
}

function ring(ink, form, style) {
  ink.lineWidth = 2;
  ink.strokeStyle = style.getPropertyValue("--blood");
  ink.beginPath();
  ink.arc(form.x(column.frequency[marked]), form.y(column.mean[marked]), 7, 0, 2 * Math.PI);
  ink.stroke();
}

function drawDrag(ink, style) {
  ink.lineWidth = 1;
  ink.strokeStyle = style.getPropertyValue("--blood");
  ink.strokeRect(drag.x, drag.y, drag.toX - drag.x, drag.toY - drag.y);
}

function drawAxes(ink, form, style) {
  const bottom = form.height - MARGIN.bottom;
  ink.font = "11px system-ui, sans-serif";
  ink.strokeStyle = style.getPropertyValue("--rule");
  ink.fillStyle = style.getPropertyValue("--soft");
  ink.lineWidth = 1;
  ink.textAlign = "center";
  for (const [value, isNamed] of ticks(across)) {
    line(ink, form.x(value), MARGIN.top, form.x(value), bottom, isNamed);
    if (isNamed) ink.fillText(percent(value), form.x(value), bottom + 15);
  }
  ink.fillText("Share of images, log", (MARGIN.left + form.width) / 2, form.height - 8);
  ink.textAlign = "right";
  for (const [value, isNamed] of ticks(upward)) {
    line(ink, MARGIN.left, form.y(value), form.width - MARGIN.right, form.y(value), isNamed);
    if (isNamed) ink.fillText(significant(value, 1), MARGIN.left - 6, form.y(value) + 4);
  }
  ink.save();
  ink.translate(11, (form.height - MARGIN.bottom) / 2);
  ink.rotate(-Math.PI / 2);
  ink.textAlign = "center";
  ink.fillText("Mean activation, log", 0, 0);
  ink.restore();
}

function line(ink, x, y, toX, toY, isNamed) {
  ink.globalAlpha = isNamed ? 1 : 0.4;
  ink.beginPath();
  ink.moveTo(Math.round(x) + 0.5, Math.round(y) + 0.5);
  ink.lineTo(Math.round(toX) + 0.5, Math.round(toY) + 0.5);
  ink.stroke();
  ink.globalAlpha = 1;
}

// Returns 1, 2 and 5 times the powers of ten in sight; with several powers only these are named.
function ticks([low, high]) {
  const found = [];
  const isWide = high - low > 1.6;
  for (let power = Math.floor(low); power <= Math.ceil(high); power++) {
    for (const step of [1, 2, 5]) {
      const value = step * 10 ** power;
      if (Math.log10(value) > low && Math.log10(value) < high) found.push([value, step === 1 || !isWide]);
    }
  }
  return found;
}

function nearest(x, y) {
  const form = frame();
  let best = null, least = REACH ** 2;
  for (const card of cards) {
    if (!(column.frequency[card] > 0 && column.mean[card] > 0)) continue;
    const distance = (form.x(column.frequency[card]) - x) ** 2 + (form.y(column.mean[card]) - y) ** 2;
    if (distance < least) [best, least] = [card, distance];
  }
  return best;
}

function markPoint(card) {
  if (card === marked) return;
  marked = card;
  drawScatter();
}

function showHint(card, x, y) {
  hint.hidden = card === null;
  if (card === null) return;
  hint.textContent = `${titleOf(card)}${isDraft(card) ? " (draft)" : ""}: ${percent(column.frequency[card])} of images`;
  const isRight = x > canvas.clientWidth / 2;
  hint.style.left = isRight ? "" : `${x + 14}px`;
  hint.style.right = isRight ? `${canvas.clientWidth - x + 14}px` : "";
  hint.style.top = `${Math.max(0, y - 14)}px`;
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.pointerType === "mouse" && event.button === 0) {
    drag = { x: event.offsetX, y: event.offsetY, toX: event.offsetX, toY: event.offsetY, isWide: false };
    canvas.setPointerCapture(event.pointerId);
  }
});
canvas.addEventListener("pointermove", (event) => {
  if (drag) {
    [drag.toX, drag.toY] = [event.offsetX, event.offsetY];
    drag.isWide = Math.hypot(drag.toX - drag.x, drag.toY - drag.y) > 8;
    showHint(null);
    drawScatter();
    return;
  }
  const card = nearest(event.offsetX, event.offsetY);
  markPoint(card);
  showHint(card, event.offsetX, event.offsetY);
});
canvas.addEventListener("pointerup", (event) => {
  const done = drag;
  drag = null;
  if (done && done.isWide) chooseRegion(done);
  else {
    const card = nearest(event.offsetX, event.offsetY);
    if (card !== null) openCard(card);
  }
});
canvas.addEventListener("pointerleave", () => {
  if (drag) return;
  markPoint(null);
  showHint(null);
});

function chooseRegion({ x, y, toX, toY }) {
  const form = frame();
  const shortened = (value) => String(Number(value.toPrecision(3)));
  field("frequency-low").value = shortened(100 * form.frequencyAt(Math.min(x, toX)));
  field("frequency-high").value = shortened(Math.min(100, 100 * form.frequencyAt(Math.max(x, toX))));
  field("mean-low").value = shortened(form.meanAt(Math.max(y, toY)));
  field("mean-high").value = shortened(form.meanAt(Math.min(y, toY)));
  showFilters(true);
  choose();
}
