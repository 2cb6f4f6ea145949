"""Training speed with count likelihoods beside scVI 1.4.2, on the same 20,000 cells x 20,000 genes.

    python benchmarks/bench_likelihood.py                    # about ten minutes, and 3 GB of disk for scvi-tools
    python benchmarks/bench_likelihood.py --scvi-python P    # with an environment that has scvi-tools already

scvi-tools is installed into a virtual environment of its own in the temporary folder. Both sides have the same widths
(scVI's defaults: one hidden layer of 128, latent 10, dropout 0.1) and two threads, and take turns epoch by epoch; the
first epoch of each is a warm-up. scVI's defaults are the ZINB likelihood and batches of 128.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("NUMBA_NUM_THREADS", "2")

import anndata
import numpy as np
import torch
from bench_autoencoder import draw_values
from scipy import sparse

from trilineage.core.files import write_atomically
from trilineage.core.seeding import generator
from trilineage.data.expression.open import Expression, from_anndata
from trilineage.models.autoencoder import AutoencoderSettings, ExpressionAutoencoder
from trilineage.models.sparse import SparseBatch
from trilineage.training.objectives.reconstruction import reconstruction_loss

N_THREADS = 2
N_CELLS = N_GENES = 20_000
DENSITY = 0.07
GOAL = 8.0
SCVI = ("torch==2.13.0", "scvi-tools==1.4.2")
RESULTS = Path(__file__).parent / "results"


class Case(NamedTuple):
    """A likelihood and a batch size."""

    loss: str
    batch: int


OURS = (Case("nb", 2048), Case("zinb", 2048), Case("nb", 128), Case("zinb", 128))
THEIRS = {Case("zinb", 128): 4, Case("nb", 2048): 2}
"""Epochs of scVI for each case, the first a warm-up; the first case is its defaults."""


def scvi_python() -> Path:
    """Return the interpreter of the environment with scvi-tools; make the environment if it is not there."""
    folder = Path(tempfile.gettempdir()) / "trilineage-bench-scvi-1.4.2"
    python, finished = folder / "bin" / "python", folder / "finished"
    if not finished.exists():
        print(f"Installing {' '.join(SCVI)} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *SCVI], check=True)
        finished.touch()
    return python


def draw_counts(n_cells: int, n_genes: int) -> sparse.csr_matrix:
    """Draw counts with 7 % non-zero, mostly 1 to 3, one in five hundred large."""
    counts = draw_values(n_cells, n_genes, DENSITY)
    rng = generator(0, "bench_likelihood")
    counts.data = rng.geometric(0.6, counts.nnz).astype(np.float32)
    counts.data[rng.integers(0, counts.nnz, counts.nnz // 500)] += 100
    return counts


class Ours:
    """A network of scVI's widths, trained by our likelihoods."""

    def __init__(self, case: Case, expression: Expression):
        torch.manual_seed(0)
        settings = AutoencoderSettings(hidden=(128,), n_latent=10, dropout=0.1, loss=case.loss)
        self.case, self.expression = case, expression
        self.rows = np.arange(int(np.ceil(0.9 * expression.n_obs)))
        self.model = ExpressionAutoencoder(expression.n_vars, settings)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        self.n_epochs = 0

    def epoch(self) -> float:
        """Train one epoch; return cells/s."""
        start, total = time.perf_counter(), 0.0
        order = self.expression.order(self.rows, seed=0, epoch=self.n_epochs)
        for first in range(0, len(order), self.case.batch):
            batch = SparseBatch.from_rows(self.expression.take(order[first : first + self.case.batch]))
            self.optimizer.zero_grad()
            loss_sum, n_cells = reconstruction_loss(self.model, batch)
            (loss_sum / n_cells).backward()
            self.optimizer.step()
            total += loss_sum.item()
        self.n_epochs += 1
        seconds = time.perf_counter() - start
        print(
            self.case,
            f"loss per cell {total / len(order):.1f}, {len(order) / seconds:.0f} cells/s",
            flush=True,
        )
        return len(order) / seconds


class Theirs:
    """scVI in a process of its own, one epoch at a time."""

    def __init__(self, case: Case, n_epochs: int, python: Path, counts: Path):
        script = Path(__file__).parent / "scvi_side.py"
        self.case = case
        self.process = subprocess.Popen(
            [python, script, counts, case.loss, str(case.batch), str(n_epochs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(N_THREADS)},
        )
        self.wait_for("ready")

    def wait_for(self, start: str) -> str:
        for line in self.process.stdout:
            if line.startswith(start):
                return line
        raise SystemExit(f"scVI ended early (exit code {self.process.wait()})")

    def epoch(self) -> float:
        """Let it train one epoch; return cells/s."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        answer = json.loads(self.wait_for("{"))
        speed = answer["cells"] / answer["seconds"]
        print("scVI", self.case, f"{speed:.0f} cells/s", flush=True)
        return speed

    def close(self) -> None:
        self.process.communicate()


def measure(
    expression: Expression, counts: Path, python: Path
) -> tuple[dict[Case, float], dict[Case, float]]:
    """Return the median cells/s of each of our cases and of each of theirs."""
    ours = {case: Ours(case, expression) for case in OURS}
    our_speeds: dict[Case, list[float]] = {case: [] for case in OURS}
    their_speeds: dict[Case, list[float]] = {case: [] for case in THEIRS}
    for case, n_epochs in THEIRS.items():
        theirs = Theirs(case, n_epochs, python, counts)
        for epoch in range(n_epochs):
            if epoch:
                theirs.wait_for("ready")
            their_speeds[case].append(theirs.epoch())
            for mine, side in ours.items():
                our_speeds[mine].append(side.epoch())
        theirs.close()
    return (
        {case: statistics.median(speeds[1:]) for case, speeds in our_speeds.items()},
        {case: statistics.median(speeds[1:]) for case, speeds in their_speeds.items()},
    )


def table(ours: dict[Case, float], theirs: dict[Case, float], shape: tuple[int, int]) -> str:
    """Return the page."""
    reference = theirs[next(iter(THEIRS))]
    lines = [
        "# Training with count likelihoods, beside scVI 1.4.2",
        "",
        f"{shape[0]:,} cells x {shape[1]:,} genes, {DENSITY:.0%} non-zero, same counts and widths (128, latent 10),",
        f"{N_THREADS} threads. Training epochs in turns after a warm-up, medians; reading the rows included on both",
        "sides. scVI is variational (it samples its latent and adds a divergence); ours is a plain autoencoder.",
        f"Goal: {GOAL:.0f} times scVI with its defaults.",
        "",
        "| | Likelihood | Batch | Cells/s | Times scVI's defaults |",
        "|---|---|---|---|---|",
    ]
    names = ("scVI, defaults", *["scVI"] * (len(theirs) - 1))
    rows = [(name, case, speed) for name, (case, speed) in zip(names, theirs.items(), strict=True)]
    rows += [("trilineage", case, speed) for case, speed in ours.items()]
    lines += [
        f"| {name} | {case.loss} | {case.batch:,} | {speed:,.0f} | {speed / reference:.1f} |"
        for name, case, speed in rows
    ]
    return "\n".join([*lines, ""])


def main(results_dir: Path, *, python: Path | None = None, n_cells: int = N_CELLS) -> None:
    """Measure both sides and write `likelihood.md`."""
    torch.set_num_threads(N_THREADS)
    python = scvi_python() if python is None else python
    counts = draw_counts(n_cells, N_GENES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "counts.npz"
        parts = {"data": counts.data, "indices": counts.indices, "indptr": counts.indptr}
        np.savez(path, shape=np.array(counts.shape), **parts)
        ours, theirs = measure(from_anndata(anndata.AnnData(counts)), path, python)
    page = table(ours, theirs, counts.shape)
    write_atomically(results_dir / "likelihood.md", page.encode())
    print(page)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--scvi-python", type=Path, help="interpreter of an environment with scvi-tools 1.4.2"
    )
    parser.add_argument("--n-cells", type=int, default=N_CELLS, help="cells")
    arguments = parser.parse_args()
    sys.exit(main(RESULTS, python=arguments.scvi_python, n_cells=arguments.n_cells))
