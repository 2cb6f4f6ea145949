"""Extraction of tokens to disk beside the bare forward pass of the same backbone on the same cores.

    python benchmarks/bench_tokens.py                    # about two minutes on two cores, 1 GB
    python benchmarks/bench_tokens.py --only small_vit --rounds 7

The bare pass gets pixels that lie ready in memory and throws its tokens away; it runs as extraction does, one thread
with one core per worker, each with batches of its own, and stops at the same block. Extraction decodes JPEG files,
resizes, computes, checks every token, halves it, writes shards, their digests and marks, and flushes them to the disk.
The sides take turns on the same images, so that a neighbour's load falls on both; a ratio is the median of the ratios
of one round. `whole pass` is the bare pass to the features, which extraction at a block before the last never pays for.
"""

import argparse
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from bench_image_prediction import image_files

from trilineage.core.files import write_atomically
from trilineage.core.progress import set_quiet
from trilineage.data.images.batches import ImageBatches
from trilineage.data.images.open import open_images
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.tokens.store import TokenStore
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.encoder import EncoderSettings, TokenEncoder, build_encoder
from trilineage.models.extraction import extract_tokens
from trilineage.models.streaming import images_per_batch, in_batches, stream_batches

RESULTS = Path(__file__).parent / "results"
GOAL = 0.9


class Case(NamedTuple):
    """One network at one size."""

    name: str
    size: int
    n_images: int
    is_cached: bool = False
    """Whether images lie decoded on disk, as they do where several encoders or runs read the same ones."""


CASES = (
    Case("small_vit", 96, 192),
    Case("small_vit", 96, 192, is_cached=True),
    Case("convnext_tiny", 224, 16),
    Case("vit_small_patch14_dinov2", 224, 16),
    Case("vit_base_patch14_dinov2", 224, 6),
)


def bare(encoder: TokenEncoder, pixels: torch.Tensor, *, is_whole: bool) -> None:
    """Run the backbone over pixels in memory and forget what it gives."""

    def compute(part: torch.Tensor) -> None:
        with torch.inference_mode():
            encoder.backbone(part) if is_whole else encoder.backbone.tokens(part, encoder.block)

    def load(positions: np.ndarray) -> torch.Tensor:
        return pixels[positions[0] : positions[-1] + 1]

    step = images_per_batch(encoder.image_size)
    for _ in stream_batches(compute, load, in_batches(0, len(pixels), step)):
        pass


def sides(case: Case, folder: Path) -> tuple[dict[str, Callable[[], object]], str]:
    """Return what takes turns, and the size of the tokens of an image."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderSettings(backbone=BackboneSettings(name=case.name)), case.size)
    images = folder / f"images_{case.n_images}"
    if not images.is_dir():
        images.mkdir()
        for number, path in enumerate(image_files(folder, case.n_images)):
            shutil.copy(path, images / f"{number:05d}.jpg")
    cache = str(folder / f"cache_{case.size}") if case.is_cached else None
    settings = ImageDataSettings(path=str(images), size=case.size, verify="header", cache_dir=cache)
    table = open_images(settings)
    pixels = ImageBatches(table).take(np.arange(len(table))).pixels
    store = folder / "tokens"

    def extract() -> None:
        shutil.rmtree(store, ignore_errors=True)
        extract_tokens(encoder, table, store)

    extract()  # once before the clock runs: compiled loops, pages of the files
    assert np.isfinite(TokenStore.open(store).norms()).all()
    found: dict[str, Callable[[], object]] = {
        "bare": lambda: bare(encoder, pixels, is_whole=False),
        "extraction": extract,
        "whole": lambda: bare(encoder, pixels, is_whole=True),
    }
    return found, f"{encoder.n_tokens} x {encoder.width}"


def measure(case: Case, folder: Path, rounds: int) -> str:
    """Return the row of a case."""
    tried, shape = sides(case, folder)
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    times: dict[tuple[str, str], list[float]] = {(clock, name): [] for clock in clocks for name in tried}
    tried["bare"]()
    for turn in range(rounds):
        for name, work in tried.items():
            if name == "whole" and turn:
                continue  # once is enough for what is only told
            starts_s = {clock: read() for clock, read in clocks.items()}
            work()
            for clock, read in clocks.items():
                times[clock, name].append(read() - starts_s[clock])
    rates = [
        case.n_images / statistics.median(times["wall", name]) for name in ("whole", "bare", "extraction")
    ]
    ratios = [
        statistics.median(
            b / e for b, e in zip(times[clock, "bare"], times[clock, "extraction"], strict=True)
        )
        for clock in clocks
    ]
    name = f"{case.name}, {case.size} px" + (", decoded before" if case.is_cached else "")
    cells = [name, shape, *(f"{rate:,.2f}" for rate in rates), *(f"{ratio:.2f}" for ratio in ratios)]
    row = f"| {' | '.join(cells)} |"
    print(row, flush=True)
    return row


def page(rows: list[str], rounds: int) -> str:
    """Return the table with what it was measured with."""
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return "\n".join(
        [
            "# Extraction of tokens on a CPU",
            "",
            f"{len(os.sched_getaffinity(0))} cores, one thread on each, load {os.getloadavg()[0]:.1f} at the end, "
            f"torch {torch.__version__}; {rounds} rounds in which the sides take turns; peak memory {peak_gb:.1f} GB.",
            "Second last block, all tokens, float16. Rates are images per second (medians); the ratio is the time of",
            "the bare pass to the same block over that of extraction, by the clock on the wall and by the processor's",
            f"own, which neighbours hardly disturb (goal: at least {GOAL}).",
            "",
            "| Backbone | Tokens of an image | Whole pass | Bare pass to the block | Extraction | Ratio (wall) "
            "| Ratio (processor) |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def main(results: Path = RESULTS) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the medians over them are reported")
    parser.add_argument("--only", default="", help="networks whose name begins with this")
    arguments = parser.parse_args()
    set_quiet(True)
    with tempfile.TemporaryDirectory() as folder:
        cases = [case for case in CASES if case.name.startswith(arguments.only)]
        rows = [measure(case, Path(folder), arguments.rounds) for case in cases]
    write_atomically(results / "tokens.md", page(rows, arguments.rounds).encode())


if __name__ == "__main__":
    main()
