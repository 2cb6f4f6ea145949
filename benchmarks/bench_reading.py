"""Reading speed and memory: shuffled epochs from disk, and the compact form in memory, beside anndata and cell by cell.

    python benchmarks/bench_reading.py                  # 200,000 cells x 29,150 genes at 7 %, about 3.3 GB of disk
    python benchmarks/bench_reading.py --n-cells 20000  # a minute

Every part runs in a process of its own, so that its peak memory is its own. "Cold" means that the pages of the file
were given back to the operating system first. The table goes to benchmarks/results/reading.md.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata
import h5py
import numpy as np

from trilineage.core.seeding import generator
from trilineage.data.expression.open import ExpressionSettings, open_expression

BATCH = 2048
RESULTS = Path(__file__).parent / "results"


def write_file(path: Path, n_cells: int, n_genes: int, density: float, compression: str | None) -> None:
    """Write counts row block by row block in AnnData's layout: float32 counts, int32 columns, int64 row starts."""
    rng = generator(0, "bench_reading")
    block = min(1000, n_cells)
    patterns = [np.flatnonzero(rng.random((block, n_genes)).ravel() < density) for _ in range(4)]
    n_blocks = n_cells // block
    lengths = [np.bincount(p // n_genes, minlength=block) for p in patterns]
    n_values = sum(len(patterns[i % 4]) for i in range(n_blocks))
    with h5py.File(path, "w") as file:
        anndata.AnnData(obs=_obs(n_cells), var=_var(n_genes)).write_h5ad(path.with_suffix(".empty"))
        with h5py.File(path.with_suffix(".empty")) as empty:
            for name in ("obs", "var"):
                empty.copy(name, file)
            file.attrs.update(empty.attrs)
        path.with_suffix(".empty").unlink()
        group = file.create_group("X")
        attributes = {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n_cells, n_genes]}
        group.attrs.update(attributes)
        options = {"chunks": True, "compression": compression} if compression else {}
        data = group.create_dataset("data", (n_values,), "f4", **options)
        indices = group.create_dataset("indices", (n_values,), "i4", **options)
        start = 0
        for i in range(n_blocks):
            pattern = patterns[i % 4]
            stop = start + len(pattern)
            data[start:stop] = _counts(rng, len(pattern))
            indices[start:stop] = pattern % n_genes
            start = stop
        rows = np.concatenate([lengths[i % 4] for i in range(n_blocks)])
        group["indptr"] = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)


def _counts(rng: np.random.Generator, n: int) -> np.ndarray:
    """Mostly 1 to 3, one in five hundred above 255, as in 10x data."""
    counts = rng.geometric(0.6, n).astype(np.float32)
    counts[rng.integers(0, n, n // 500)] = 400
    return counts


def _obs(n_cells: int):
    import pandas as pd

    donors = np.arange(n_cells) * 40 // n_cells
    return pd.DataFrame(
        {"donor_id": pd.Categorical(donors.astype(str))}, index=np.arange(n_cells).astype(str)
    )


def _var(n_genes: int):
    import pandas as pd

    return pd.DataFrame(index=[f"ENSG{i:011d}" for i in range(n_genes)])


def forget(path: Path) -> None:
    """Give the pages of a file back, so that the next read comes from the disk."""
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def epoch(data, n_cells: int) -> dict[str, float]:
    """Take one shuffled epoch in batches, with normalised values."""
    data.take(np.arange(8))  # compiles
    start = time.perf_counter()
    order = data.order(np.arange(n_cells), seed=0, epoch=0)
    for place in range(0, n_cells, BATCH):
        data.take(order[place : place + BATCH])
    return {"cells_per_s": n_cells / (time.perf_counter() - start)}


def part_disk(path: Path) -> dict[str, float]:
    start = time.perf_counter()
    data = open_expression(ExpressionSettings(path=str(path), backed="yes"))
    opened = time.perf_counter() - start
    result = epoch(data, data.n_obs) | {"open_s": opened}
    data.close()
    return result


def part_disk_cold(path: Path) -> dict[str, float]:
    forget(path)
    return part_disk(path)


def part_memory(path: Path) -> dict[str, float]:
    start = time.perf_counter()
    data = open_expression(ExpressionSettings(path=str(path), backed="no"))
    opened = time.perf_counter() - start
    peak_open = _peak_gb()
    return epoch(data, data.n_obs) | {
        "open_s": opened,
        "matrix_gb": data.nbytes / 1e9,
        "peak_open_gb": peak_open,
    }


def part_hashes(path: Path) -> dict[str, float]:
    data = open_expression(ExpressionSettings(path=str(path), backed="yes"))
    start = time.perf_counter()
    data.content_hashes()
    rate = data.n_obs / (time.perf_counter() - start)
    data.close()
    return {"cells_per_s": rate}


def part_cell_by_cell(path: Path) -> dict[str, float]:
    data = anndata.read_h5ad(path, backed="r")
    cells = np.random.default_rng(0).permutation(data.n_obs)[:1000]
    start = time.perf_counter()
    for cell in cells:
        data.X[int(cell)]
    return {"cells_per_s": len(cells) / (time.perf_counter() - start)}


def part_anndata_batches(path: Path) -> dict[str, float]:
    data = anndata.read_h5ad(path, backed="r")
    cells = np.random.default_rng(0).permutation(data.n_obs)[: 2 * BATCH]
    start = time.perf_counter()
    for place in range(0, len(cells), BATCH):
        data[np.sort(cells[place : place + BATCH])].to_memory()
    return {"cells_per_s": len(cells) / (time.perf_counter() - start)}


PARTS = {
    "ours, shuffled blocks from disk (cold)": part_disk_cold,
    "ours, shuffled blocks from disk": part_disk,
    "ours, compact in memory": part_memory,
    "ours, content hash of every cell, from disk": part_hashes,
    "anndata backed, random batches of 2,048": part_anndata_batches,
    "anndata backed, cell by cell": part_cell_by_cell,
}


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def run_part(name: str, path: Path) -> dict[str, float]:
    """Run one part in a fresh process and return its figures."""
    command = [sys.executable, "-W", "ignore", __file__, "--part", name, "--file", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(results: dict[str, dict[str, float]], title: str) -> str:
    reference = results["ours, shuffled blocks from disk"]["cells_per_s"]
    lines = [
        title,
        "",
        "| way | cells/s | ours from disk is faster by | to open, s | peak memory, GB |",
        "|---|---|---|---|---|",
    ]
    for name, row in results.items():
        opened = f"{row['open_s']:.1f}" if "open_s" in row else ""
        ratio = f"{reference / row['cells_per_s']:.1f}x"
        lines.append(f"| {name} | {row['cells_per_s']:,.0f} | {ratio} | {opened} | {row['peak_gb']:.2f} |")
    memory = results["ours, compact in memory"]
    lines += [
        "",
        f"Compact matrix: {memory['matrix_gb']:.2f} GB; peak while it was built {memory['peak_open_gb']:.2f} GB.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-cells", type=int, default=200_000)
    parser.add_argument("--n-genes", type=int, default=29_150)
    parser.add_argument("--density", type=float, default=0.07)
    parser.add_argument("--compression", default=None, help="gzip or lzf; none by default, as anndata writes")
    parser.add_argument("--folder", type=Path, default=None, help="where the file is made (and removed)")
    parser.add_argument("--part", default=None)
    parser.add_argument("--file", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.part:
        figures = PARTS[arguments.part](arguments.file)
        print(json.dumps(figures | {"peak_gb": _peak_gb()}))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "cells.h5ad"
        write_file(path, arguments.n_cells, arguments.n_genes, arguments.density, arguments.compression)
        size = path.stat().st_size / 1e9
        results = {}
        for name in PARTS:
            results[name] = run_part(name, path)
            print(name, results[name], flush=True)
    threads = os.environ.get("NUMBA_NUM_THREADS", str(os.cpu_count()))
    title = (
        f"# Reading {arguments.n_cells:,} cells x {arguments.n_genes:,} genes at {arguments.density:.0%} "
        f"({size:.1f} GB on disk, compression {arguments.compression or 'none'})\n\n"
        f"{threads} threads of {platform.machine()}, Python {platform.python_version()}, batches of {BATCH:,}."
    )
    RESULTS.mkdir(exist_ok=True)
    suffix = f"_{arguments.compression}" if arguments.compression else ""
    (RESULTS / f"reading{suffix}.md").write_text(table(results, title))
    print(table(results, title))


if __name__ == "__main__":
    main()
