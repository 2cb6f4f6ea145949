"""How well a second expert finds what the first one saw: the ceiling of what any latent can reach."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped
from scipy.sparse import csr_array

from trilineage.core.errors import ColumnError, FormatError
from trilineage.evaluation.concepts.selection import ScoredImages, held_out_score
from trilineage.evaluation.concepts.targets import split_target
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.material import Material

SUBJECT = "second reader"
"""Name among the dictionaries."""


def reader_rows(material: Material, targets: dict[str, np.ndarray], config: Config) -> list[dict[str, Any]]:
    """Score the second reader's calls against the first one's as those of a latent, on all images that both have read.

    The area under the curve of a call that is yes or no is the mean of its sensitivity and specificity.

    Raises
    ------
    FormatError
        The table cannot be read.
    ColumnError
        No column of it names images of the cohort, or it has none of the attributes.
    """
    if not config.second_reader:
        return []
    calls = _read(Path(config.second_reader), material)
    patients = material.cohort.patients if material.has_patients else None
    rows = []
    for target, truth in targets.items():
        attribute, value = split_target(target)
        if attribute not in calls:
            continue
        given = calls[attribute]
        both = np.flatnonzero((given != "") & (truth >= 0))
        images = ScoredImages(
            csr_array((given[both] == value).astype(np.float32)[:, None]),
            {target: truth[both]},
            None if patients is None else patients[both],
        )
        score = held_out_score(images.scores, 0, images, target, level=config.evaluation.level)
        rows.append(
            {
                "target": target,
                "subject": SUBJECT,
                "latent": -1,
                "train_auroc": None,
                **{name: getattr(score, name) for name in ("value", "low", "high", "note")},
                "n_images": len(both),
                "n_patients": score.n_patients,
            }
        )
    return rows


def _read(path: Path, material: Material) -> dict[str, Shaped[np.ndarray, " image"]]:
    """Return the calls of each attribute in the order of the images, empty where an image was not read."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            lines = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(
            f"{path} is no table of a second reader",
            seen=error,
            allowed="a CSV in UTF-8",
            remedy="check the path",
        ) from None
    place = {Path(name).name: row for row, name in enumerate(material.table.names.tolist())}
    columns = list(lines[0]) if lines else []
    names = next((key for key in columns if any(Path(row[key] or "").name in place for row in lines)), None)
    attributes = [name for name in material.attributes if name in columns]
    if names is None or not attributes:
        raise ColumnError(
            f"{path} cannot be matched with the images",
            seen=", ".join(columns) or "no column",
            allowed=f"a column of image names, and {', '.join(material.attributes) or 'attributes'}",
            remedy="name the attributes as in the table of images, in `attributes`",
        )
    found = {name: np.full(len(material.table), "", dtype=object) for name in attributes}
    for row in lines:
        image = place.get(Path(row[names] or "").name)
        if image is not None:
            for name in attributes:
                found[name][image] = (row[name] or "").strip()
    return {name: calls.astype(str) for name, calls in found.items()}
