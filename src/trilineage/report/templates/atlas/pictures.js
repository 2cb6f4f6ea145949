// Pictures: one tile of a sheet, the heat over it, the outline of the patch; a sheet is loaded when a tile is shown.

const pictures = deck.pictures;

function place(node, file, total, offset) {
  // Shows the part of a sheet that begins at `offset` (in tiles); `total` is the sheet in tiles, in both directions.
  const at = (along) => (total[along] === 1 ? 0 : (100 * offset[along]) / (total[along] - 1));
  node.style.backgroundImage = `url("${file}")`;
  node.style.backgroundSize = `${100 * total[0]}% ${100 * total[1]}%`;
  node.style.backgroundPosition = `${at(0)}% ${at(1)}%`;
}

function tile(card, rank, reference, width) {
  const sheet = pictures ? pictures.sheets[deck.sheets[card]] : undefined;
  const node = make("span", { class: "tile" });
  if (width) node.style.width = `${width}px`;
  node.style.aspectRatio = pictures ? `${pictures.tile[1]} / ${pictures.tile[0]}` : "1";
  if (!sheet || !reference || rank >= pictures.columns) {
    node.classList.add("empty");
    return node;
  }
  const row = deck.rows[card];
  const nRows = Math.min(pictures.rows, deck.onSheet[deck.sheets[card]]);
  const [nHigh, nWide] = pictures.grid;
  const padding = pictures.heat_padding;
  const wide = (nWide + 2 * padding) / nWide, high = (nHigh + 2 * padding) / nHigh;
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", reference.label ? `Cell: ${reference.label}` : "Cell");
  const cell = make("u"), heat = make("i");
  place(cell, sheet[0], [pictures.columns, nRows], [rank, row]);
  const offset = [rank * wide + padding / nWide, row * high + padding / nHigh];
  place(heat, sheet[1], [pictures.columns * wide, nRows * high], offset);
  node.append(cell, heat);
  if (reference.patch >= 0) node.append(outline(reference.patch, nHigh, nWide));
  return node;
}

function outline(patch, nHigh, nWide) {
  const box = make("b");
  box.style.left = `${(100 * (patch % nWide)) / nWide}%`;
  box.style.top = `${(100 * Math.floor(patch / nWide)) / nHigh}%`;
  box.style.width = `${100 / nWide}%`;
  box.style.height = `${100 / nHigh}%`;
  return box;
}
