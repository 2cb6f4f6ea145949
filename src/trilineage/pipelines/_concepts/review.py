"""Blinded review: sheets and pictures for people who must not know which is a concept, and what they answered."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from trilineage.core.artifacts import Run
from trilineage.core.errors import ConfigError
from trilineage.core.files import write_atomically
from trilineage.evaluation.concepts.review import Review, ReviewSheet, read_review, review_sheet
from trilineage.explain.concepts.cards import latents_to_show
from trilineage.explain.concepts.crops import strip
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.explain import read_known
from trilineage.pipelines._concepts.material import Material, gather
from trilineage.pipelines._concepts.store import KIND

SHEET, ITEMS = "sheet.csv", "items"
"""What reviewers get: a table to fill in, and a folder with a picture of each item."""
KEY, FOUND, SCORES = "review/key.json", "review/review.json", "review/scores.json"
"""What stays with the Run: which item is what, and what was found out."""
MOST_IMAGES = 8
"""Images of an item."""


def export_review(
    run: Run | Path | str, out: Path, *, n_concepts: int, n_controls: int, overwrite: bool
) -> ReviewSheet:
    """Write sheet and pictures of a review; see `trilineage.concepts.export_review`."""
    opened = run if isinstance(run, Run) else Run.open(run, kind=KIND)
    if opened.has(KEY) and not overwrite:
        raise ConfigError(
            f"{opened.path} has a review already, whose sheets may be under way",
            seen=KEY,
            allowed="one review at a time",
            remedy="read it first, or add --overwrite to give it up",
        )
    config, known = opened.config(Config), read_known(opened)
    material = gather(config)
    references = known.references.first(MOST_IMAGES)
    sheet = review_sheet(
        references,
        latents_to_show(known.statistics, known.table, limit=n_concepts).tolist(),
        n_controls=n_controls,
        candidates=np.flatnonzero(np.isin(material.split.parts, ("train", "valid"))),
        seed=config.seed,
    )
    opened.write_json(KEY, sheet.key())
    write_atomically(out / SHEET, sheet.to_csv(material.table.names).encode())
    for item, images in zip(sheet.items, sheet.images.tolist(), strict=True):
        write_atomically(out / ITEMS / f"{item}.png", _picture(material, images))
    return sheet


def read_sheets(run: Run | Path | str, sheets: Sequence[Path]) -> Review:
    """Read filled sheets, a reviewer each; see `trilineage.concepts.read_review`."""
    opened = run if isinstance(run, Run) else Run.open(run, kind=KIND)
    names = [path.stem for path in sheets]
    if len(set(names)) < len(names):
        raise ConfigError(
            "two sheets have the same name, which names the reviewer",
            seen=", ".join(names),
            allowed="a name for each reviewer, such as dr_a.csv",
            remedy="rename one of them",
        )
    sheet = ReviewSheet.from_key(opened.read_json(KEY))
    review = read_review(sheet, dict(zip(names, sheets, strict=True)), seed=opened.config(Config).seed)
    votes = [{"latent": latent, "yes": yes, "of": n} for latent, (yes, n) in review.votes.items()]
    opened.write_json(FOUND, {"reviewers": names, "p_values": dict(review.p_values), "votes": votes})
    opened.add_scores([*review.confirmed, *review.agreement], SCORES)
    return review


def _picture(material: Material, images: Sequence[int]) -> bytes:
    """Return the images of an item side by side, as a PNG."""
    row = strip([material.table.read_sized(image) for image in images if image >= 0])
    stream = io.BytesIO()
    Image.fromarray(row).save(stream, format="PNG")
    return stream.getvalue()
