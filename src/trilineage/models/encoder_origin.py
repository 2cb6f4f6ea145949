"""Which images an encoder has learned from, so that held-out images that it knows can be counted."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt32

from trilineage.core.artifacts import Run
from trilineage.models.backbones.bundled import BUNDLED, bundled_run
from trilineage.models.encoder import EncoderSettings

LEARNED = "learned.npz"
"""Array `names` of a pretraining Run: the digests of the file names it learned from, ascending."""


def name_digests(names: Sequence[str]) -> UInt32[np.ndarray, " image"]:
    """Return 32 bits of the SHA-256 of each file name, its folder left out: enough to count with."""
    found = [hashlib.sha256(Path(name).name.encode()).digest()[:4] for name in names]
    return np.frombuffer(b"".join(found), dtype="<u4").astype(np.uint32)


def write_learned(run: Run, names: Sequence[str]) -> None:
    """Write down which images an encoder has learned from."""
    run.write_arrays(LEARNED, names=np.unique(name_digests(names)))


def is_learned(settings: EncoderSettings, names: Sequence[str]) -> Bool[np.ndarray, " image"]:
    """Tell of each image, by its file name, whether the encoder has learned from it; False where nothing is known."""
    is_unnamed = settings.backbone.name == "auto" and settings.backbone.weights == "none"
    if settings.run == BUNDLED or (not settings.run and is_unnamed):
        with bundled_run() as run:
            return np.isin(name_digests(names), _learned_by(run))
    path = Path(settings.run or settings.backbone.weights)
    if not (path / "run.json").is_file():
        return np.zeros(len(names), dtype=bool)
    return np.isin(name_digests(names), _learned_by(Run.open(path)))


def _learned_by(run: Run) -> UInt32[np.ndarray, " learned"]:
    if run.has(LEARNED):
        return run.read_arrays(LEARNED)["names"]
    if not run.has("split.csv"):
        return np.zeros(0, np.uint32)
    table = run.read_table("split.csv")
    is_whole = len(set(table["fold"])) > 1  # after a cross-validation the weights are those of everyone
    rows = zip(table["sample"], table["part"], strict=True)
    return name_digests([name for name, part in rows if is_whole or part in ("train", "valid")])
