"""Which images an encoder has learned from, so that held-out images that it knows can be counted."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt64

from trilineage.core.artifacts import Run
from trilineage.models.backbones.bundled import BUNDLED, bundled_run
from trilineage.models.encoder import EncoderSettings

LEARNED = "learned.npz"
"""Array `contents` of a Run with an encoder: first 64 bits of the digest of each image it learned from, ascending."""


def write_learned(run: Run, *contents: UInt64[np.ndarray, " _"]) -> None:
    """Write down which images an encoder has learned from, each by its `ImageTable.content_numbers`."""
    run.write_arrays(LEARNED, contents=np.unique(np.concatenate(contents)))


def learned_contents(settings: EncoderSettings) -> UInt64[np.ndarray, " learned"]:
    """Return the contents of the images that an encoder has learned from; none where nothing is known."""
    is_unnamed = settings.backbone.name == "auto" and settings.backbone.weights == "none"
    whose = settings.run or (BUNDLED if is_unnamed else settings.backbone.weights)
    if whose == BUNDLED:
        with bundled_run() as run:
            return _learned_by(run)
    if not (Path(whose) / "run.json").is_file():
        return np.zeros(0, np.uint64)
    return _learned_by(Run.open(whose))


def is_learned(
    settings: EncoderSettings, contents: UInt64[np.ndarray, " image"]
) -> Bool[np.ndarray, " image"]:
    """Tell of each image, by its content, whether the encoder has learned from it; False where nothing is known.

    The same file under another name is known; a copy that was resized or saved again is another image.
    """
    return np.isin(contents, learned_contents(settings))


def _learned_by(run: Run) -> UInt64[np.ndarray, " learned"]:
    known = run.read_arrays(LEARNED) if run.has(LEARNED) else {}
    return known.get("contents", np.zeros(0, np.uint64))
