"""Pictures of the Run: the worst mistakes, each with what it is and what it was called."""

from typing import Any

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.explain.overlays import captioned, png_bytes
from trilineage.pipelines._images.material import Material


def write_mistakes(run: Run, material: Material) -> None:
    """Draw the images of `mistakes.json` to `figures/mistakes/` and enter their files there."""
    rows: list[dict[str, Any]] = run.read_json("mistakes.json")
    places = {str(name): place for place, name in enumerate(material.cohort.samples)}
    names = run.predictions().samples
    for number, row in enumerate(rows):
        sample = str(names[row["position"]])
        pixels = material.table.read_sized(places[sample])
        row["sample"], row["picture"] = sample, f"figures/mistakes/{number:02d}.png"
        caption = f"{row['label']} called {row['decision']}"
        run.write_bytes(row["picture"], png_bytes(captioned(np.ascontiguousarray(pixels), caption)))
    run.write_json("mistakes.json", rows)
