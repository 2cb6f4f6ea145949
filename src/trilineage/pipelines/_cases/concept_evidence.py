"""What concepts show of each patient: barcode, what stands out, its cells and the atlas's, from `concepts explain`."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from trilineage.core.artifacts import Run

FILE = "explain/patients.json"
CARDS = "explain/cards.json"
REMEDY = "trilineage concepts explain RUN --per-patient 3"
N_REFERENCES = 6
"""Cells of the atlas beside those of the patient."""
_SHARED = ("names", "stripes", "n_reference", "tau", "uses_cls")


def read_barcodes_of_patients(run: Run) -> dict[str, dict[str, Any]]:
    """Return what `patients.json` says of each patient, with what all share; empty if it was not asked for."""
    if not run.has(FILE):
        return {}
    found = run.read_json(FILE)
    shared = {key: found[key] for key in _SHARED if key in found}
    return {str(one["patient"]): {**one, "shared": shared} for one in found["patients"]}


def take_pictures(source: Run, found: dict[str, Any], run: Run, folder: str) -> dict[str, Any]:
    """Copy the pictures of a patient's cells into the Run of the cases, those of the atlas beside them."""
    cards = source.read_json(CARDS) if source.has(CARDS) else {"cards": [], "pictures": None}
    by_latent = {int(card["latent"]): card for card in cards["cards"]}
    standing = []
    for one in found.get("standing", ()):
        taken = {**one, "pictures": [], "references": None}
        for picture in one["pictures"]:
            name = f"{folder}/concept_{one['latent']}.png"
            run.write_bytes(name, source.read_bytes(picture["file"]))
            taken["pictures"].append({**picture, "file": name})
        card = by_latent.get(int(one["latent"]))
        drawn = atlas_row(source, cards["pictures"], card) if one["pictures"] and card else None
        if drawn is not None:
            taken["references"] = f"{folder}/atlas_{one['latent']}.png"
            run.write_bytes(taken["references"], drawn)
        standing.append(taken)
    return {**found, "standing": standing}


def atlas_row(source: Run, layout: Mapping[str, Any] | None, card: Mapping[str, Any]) -> bytes | None:
    """Return the first reference cells of a concept as PNG, cut from the sheet of the atlas; None without one."""
    if layout is None or card["sheet"] < 0:
        return None
    name = layout["sheets"][card["sheet"]][0]
    if not source.has(name):
        return None
    height, width = layout["tile"]
    n_shown = min(N_REFERENCES, len(card["references"]), layout["columns"])
    sheet = np.asarray(Image.open(io.BytesIO(source.read_bytes(name))).convert("RGB"))
    row = sheet[card["row"] * height : (card["row"] + 1) * height, : n_shown * width]
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(row)).save(stream, format="PNG", optimize=True)
    return stream.getvalue()
