"""Small images of cells that a network of a few hundred weights can tell apart, of patients at two sites."""

import csv

import numpy as np
from PIL import Image

LABELS = ("ALL", "AML", "CLL", "normal")
COLOURS = {"ALL": (90, 40, 150), "AML": (150, 40, 60), "CLL": (40, 60, 170), "normal": (200, 120, 160)}
SIZE = 16


def draw_cell(label, random):
    """A disc of the label's colour on a light ground, with noise; its mask."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    centre = SIZE / 2 + random.uniform(-1.5, 1.5, 2)
    is_cell = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < random.uniform(14, 22)
    pixels = np.full((SIZE, SIZE, 3), 225.0)
    pixels[is_cell] = COLOURS[label]
    pixels += random.normal(0, 12, pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8), is_cell


def write_smears(folder, *, n_patients=5, n_images=4, seed=0, labels=LABELS):
    """Write images, masks and manifest.csv (path, label, patient, site); return the folder."""
    random = np.random.default_rng(seed)
    (folder / "cells").mkdir(parents=True)
    (folder / "masks").mkdir()
    rows = []
    for label in labels:
        for patient in range(n_patients):
            for number in range(n_images):
                name = f"{label}_{patient}_{number}.png".lower()
                pixels, is_cell = draw_cell(label, random)
                Image.fromarray(pixels).save(folder / "cells" / name)
                Image.fromarray(is_cell).save(folder / "masks" / name)
                site = "north" if patient % 2 else "south"
                rows.append(
                    {"path": f"cells/{name}", "label": label, "patient": f"{label}{patient}", "site": site}
                )
    with open(folder / "manifest.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder
