"""Barcodes of 1,000,000 synthetic cells x 49,152 latents: cells per second, and the memory of the whole process.

    python benchmarks/bench_barcodes.py     # about a minute

The codes of a million cells are not held: portions of 2,000 cells are drawn, counted and forgotten, as they come from
an encoder. The same portions are counted several times over for other patients, so that drawing them takes little of
the time. One thread; seconds are those of the processor.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import numpy as np
import scipy.sparse as sp

from trilineage.core.files import write_atomically
from trilineage.core.seeding import generator
from trilineage.data.barcodes.files import read_barcodes, write_barcodes
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.evaluation.barcodes.make import BarcodeTally
from trilineage.evaluation.barcodes.resampling import cell_interval
from trilineage.evaluation.barcodes.settings import SubtypeSettings
from trilineage.evaluation.barcodes.subtype import predict_subtypes, subtype_folds

N_CELLS, N_LATENTS, N_PATIENTS, N_CLASSES = 1_000_000, 49_152, 200, 5
CELLS_AT_ONCE, N_DRAWN, LATENTS_PER_CELL = 2000, 10, 300
MEMORY_GOAL_GB = 4.0
RESULTS = Path(__file__).parent / "results"


def draw_codes(number: int) -> ImageCodes:
    """Draw the codes of a portion of cells: some latents are far more frequent than others."""
    rng = generator(0, "bench_barcodes", number)
    latents = (N_LATENTS * rng.beta(0.5, 2.0, size=(CELLS_AT_ONCE, LATENTS_PER_CELL))).astype(np.int32)
    latents.sort(axis=1)
    is_first = np.diff(latents, axis=1, prepend=-1) > 0
    indptr = np.concatenate([[0], np.cumsum(is_first.sum(axis=1))])
    chosen = latents[is_first]
    counts = rng.integers(0, 40, len(chosen), dtype=np.int32)
    peaks = (0.2 + rng.random(len(chosen))).astype(np.float32)
    return ImageCodes(
        positions=np.arange(CELLS_AT_ONCE) + number * CELLS_AT_ONCE,
        indptr=indptr,
        latents=chosen,
        sums=counts * np.float32(0.3),
        counts=counts,
        peaks=peaks,
        peak_patches=np.zeros(len(chosen), np.int32),
        cls=peaks,
        n_latents=N_LATENTS,
        n_patches=256,
        has_cls=True,
        tau=0.2,
    )


def measure() -> dict[str, float]:
    """Return seconds, sizes and peaks of making, writing and reading the barcodes of a million cells."""
    portions = [draw_codes(number) for number in range(N_DRAWN)]
    n_pairs = sum(portion.n_pairs for portion in portions) / N_DRAWN * (N_CELLS / CELLS_AT_ONCE)
    names = np.array([f"patient {number:03d}" for number in range(N_PATIENTS)])
    tally, rng = BarcodeTally(names, N_LATENTS), generator(0, "patients")
    start = time.process_time()
    for number in range(N_CELLS // CELLS_AT_ONCE):
        tally.add(portions[number % N_DRAWN], rng.integers(0, N_PATIENTS, CELLS_AT_ONCE))
    labels = np.array([f"class {number % N_CLASSES}" for number in range(N_PATIENTS)])
    barcodes = tally.barcodes(labels=labels)
    seconds = time.process_time() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "barcodes.h5ad"
        start = time.process_time()
        write_barcodes(path, barcodes)
        again = read_barcodes(path)
        file_seconds, megabytes = time.process_time() - start, path.stat().st_size / 1e6
    assert again.values.nnz == barcodes.values.nnz
    making_gb = peak_gb()
    one = sp.csr_array(portions[0].matrix("above")[:400])
    start = time.process_time()
    interval = cell_interval(one)
    interval_seconds = time.process_time() - start
    settings = SubtypeSettings(n_repeats=1)
    start = time.process_time()
    predict_subtypes(barcodes.values, subtype_folds(names, labels, settings=settings), weighting="log1p")
    return {
        "pairs": n_pairs,
        "seconds": seconds,
        "nonzero": barcodes.values.nnz,
        "file_seconds": file_seconds,
        "megabytes": megabytes,
        "gb": making_gb,
        "interval_seconds": interval_seconds,
        "interval_latents": len(interval.latents),
        "subtype_seconds": time.process_time() - start,
        "gb_all": peak_gb(),
    }


def peak_gb() -> float:
    """Return the largest memory this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def page(found: dict[str, float]) -> str:
    """Return the page."""
    rate = N_CELLS / found["seconds"]
    return "\n".join(
        [
            "# Barcodes of patients",
            "",
            f"{N_CELLS:,} synthetic cells x {N_LATENTS:,} latents of {N_PATIENTS} patients in any order, about",
            f"{found['pairs'] / N_CELLS:,.0f} active latents per cell ({found['pairs'] / 1e6:,.0f} M pairs), in",
            f"portions of {CELLS_AT_ONCE:,}. One thread; seconds are those of the processor.",
            "",
            "| | |",
            "|---|---|",
            f"| Counting, seconds | {found['seconds']:.1f} |",
            f"| Cells per second | {rate:,.0f} |",
            f"| Non-zero values of the barcodes | {found['nonzero'] / 1e6:.1f} M |",
            f"| Writing and reading the h5ad file, seconds | {found['file_seconds']:.1f} |",
            f"| File, MB | {found['megabytes']:.0f} |",
            f"| Peak memory of the process, GB (goal: at most {MEMORY_GOAL_GB:g}) | {found['gb']:.2f} |",
            "| Intervals of one patient of 400 cells (1,000 resamples, "
            f"{found['interval_latents']:,.0f} latents), seconds | {found['interval_seconds']:.1f} |",
            f"| Subtypes out of fold, 5 folds, 5 penalties, seconds | {found['subtype_seconds']:.1f} |",
            f"| Peak memory with these two, GB | {found['gb_all']:.2f} |",
            "",
        ]
    )


def main(results_dir: Path) -> None:
    """Measure in a process of its own and write `barcodes.md`."""
    command = [sys.executable, __file__, "--measure"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names_and_values = (line.split("=") for line in done.stdout.splitlines() if "=" in line)
    text = page({name: float(value) for name, value in names_and_values})
    write_atomically(results_dir / "barcodes.md", text.encode())
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args().measure:
        print("\n".join(f"{name}={value}" for name, value in measure().items()))
    else:
        main(RESULTS)
