"""Training speed of the autoencoder with squared error, beside the plain dense PyTorch loop, in one process.

    python benchmarks/bench_autoencoder.py             # about four minutes, 4 GB
    python benchmarks/bench_autoencoder.py --repeats 4

Both sides take the same rows from the same CSR matrix, start from the same weights and use fused Adam and two threads.
They take turns, a step each, so that a neighbour's load falls on both; cells/s are medians over steps, the ratio is
the median of the ratios of neighbouring steps.
"""

import argparse
import itertools
import os
import statistics
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("NUMBA_NUM_THREADS", "2")

import numpy as np
import torch
from scipy import sparse
from torch import nn

from trilineage.core.files import write_atomically
from trilineage.core.seeding import generator
from trilineage.data.expression.rows import ExpressionBatch
from trilineage.models.autoencoder import AutoencoderSettings, ExpressionAutoencoder
from trilineage.models.sparse import SparseBatch
from trilineage.training.objectives.reconstruction import reconstruction_loss

N_THREADS = 2
N_GENES = 29_150
DENSITY = 0.07
RESULTS = Path(__file__).parent / "results"


class Case(NamedTuple):
    """One shape of network and batch."""

    batch: int
    hidden: tuple[int, ...]
    n_latent: int
    goal: float


CASES = (
    Case(2048, (256,), 256, 2.5),
    Case(512, (1024,), 256, 1.0),
    Case(512, (1024, 512), 256, 1.0),
    Case(512, (256,), 256, 1.0),
    Case(4096, (256,), 256, 2.5),
)


def draw_values(n_cells: int, n_genes: int, density: float) -> sparse.csr_matrix:
    """Draw log-normalised values whose genes differ in how often they are seen, as in 10x data."""
    rng = generator(0, "bench_autoencoder")
    rate = rng.gamma(0.3, 1.0, n_genes)
    low, high = 0.0, 1e4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(1 - np.exp(-middle * rate)) < density else (low, middle)
    seen = [sparse.csr_matrix(rng.random((min(512, n_cells - s), n_genes)) < 1 - np.exp(-low * rate))
            for s in range(0, n_cells, 512)]  # fmt: skip
    matrix = sparse.vstack(seen).tocsr().astype(np.float32)
    matrix.data = np.log1p(rng.geometric(0.6, matrix.nnz) * 2.0).astype(np.float32)
    return matrix


def plain_network(case: Case, n_genes: int) -> nn.Sequential:
    """Return the network as one would write it: Linear, BatchNorm, ReLU, and linear at the latent and the output."""
    encoder, decoder = (n_genes, *case.hidden), (case.n_latent, *reversed(case.hidden))
    layers: list[nn.Module] = []
    for widths, last in ((encoder, case.n_latent), (decoder, n_genes)):
        for d_in, d_out in itertools.pairwise(widths):
            layers += [nn.Linear(d_in, d_out), nn.BatchNorm1d(d_out), nn.ReLU()]
        layers.append(nn.Linear(widths[-1], last))
    return nn.Sequential(*layers)


def same_network(case: Case, plain: nn.Sequential, n_genes: int) -> ExpressionAutoencoder:
    """Return ours with the weights of the plain network."""
    settings = AutoencoderSettings(hidden=case.hidden, n_latent=case.n_latent, dropout=0.0)
    model = ExpressionAutoencoder(n_genes, settings)
    first, *inner, last = (layer for layer in plain if isinstance(layer, nn.Linear))
    ours = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        model.input_weight.copy_(first.weight.T)
        model.output_weight.copy_(last.weight)
        model.output_bias.copy_(last.bias)
        for mine, theirs in zip(ours, inner, strict=True):
            mine.weight.copy_(theirs.weight)
            if mine.bias is not None:
                mine.bias.copy_(theirs.bias)
    return model


class Plain:
    """The plain loop: rows made dense, dense layers, mean squared error."""

    def __init__(self, case: Case, matrix: sparse.csr_matrix):
        torch.manual_seed(0)
        self.matrix = matrix
        self.network = plain_network(case, matrix.shape[1])
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, fused=True)

    def step(self, rows: np.ndarray) -> float:
        x = torch.from_numpy(self.matrix[rows].toarray())
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.network(x), x)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class Ours:
    """The same through sparse rows and the exact fast paths."""

    def __init__(self, case: Case, matrix: sparse.csr_matrix, network: nn.Sequential):
        self.matrix = matrix
        self.model = same_network(case, network, matrix.shape[1])
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)

    def step(self, rows: np.ndarray) -> float:
        x = self.matrix[rows]
        ones = np.ones(len(rows), np.float32)
        batch = ExpressionBatch(x.indptr.astype(np.int64), x.indices, x.data, None, ones, rows, x.shape[1])
        self.optimizer.zero_grad()
        loss_sum, n_cells = reconstruction_loss(self.model, SparseBatch.from_rows(batch))
        loss = loss_sum / (n_cells * x.shape[1])
        loss.backward()
        self.optimizer.step()
        return loss.item()


class Result(NamedTuple):
    """What a case gave."""

    plain_cells_per_s: float
    our_cells_per_s: float
    ratio: float
    plain_losses: list[float]
    our_losses: list[float]


def measure(case: Case, matrix: sparse.csr_matrix, repeats: int) -> Result:
    """Let both sides take turns; the first two steps of each warm up and are not timed."""
    plain = Plain(case, matrix)
    ours = Ours(case, matrix, plain.network)
    rng = generator(1, "bench_autoencoder", str(case.batch))
    times: tuple[list[float], list[float]] = ([], [])
    losses: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 2):
        rows = rng.choice(matrix.shape[0], case.batch, replace=False)
        for side, step in enumerate((plain.step, ours.step)):
            start = time.perf_counter()
            losses[side].append(step(rows))
            times[side].append(time.perf_counter() - start)
    first, second = times[0][2:], times[1][2:]
    ratio = statistics.median(a / b for a, b in zip(first, second, strict=True))
    speeds = (case.batch / statistics.median(side) for side in (first, second))
    return Result(*speeds, ratio, *losses)


def table(results: dict[Case, Result], n_genes: int) -> str:
    """Return the page."""
    lines = [
        "# Training the autoencoder: squared error",
        "",
        f"{n_genes:,} genes, {DENSITY:.0%} non-zero, float32, {N_THREADS} threads, fused Adam on both sides, taking",
        "rows from the CSR matrix included. Sides take turns step by step; ratio: median over neighbouring steps.",
        "",
        "| Batch | Widths | Plain dense, cells/s | trilineage, cells/s | Ratio | Goal | Largest difference of a loss |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, result in results.items():
        widths = "-".join(str(w) for w in (*case.hidden, case.n_latent, *reversed(case.hidden)))
        differences = (abs(a - b) for a, b in zip(result.plain_losses, result.our_losses, strict=True))
        lines.append(
            f"| {case.batch:,} | {widths} | {result.plain_cells_per_s:,.0f} | {result.our_cells_per_s:,.0f} "
            f"| {result.ratio:.2f} | {case.goal} | {max(differences):.1e} |"
        )
    case, result = next(iter(results.items()))
    lines += ["", f"Losses of the first steps (mean per cell and gene), batch {case.batch:,}:", ""]
    lines += ["| Step | Plain dense | trilineage |", "|---|---|---|"]
    pairs = zip(result.plain_losses[:6], result.our_losses[:6], strict=True)
    lines += [f"| {i + 1} | {a:.6f} | {b:.6f} |" for i, (a, b) in enumerate(pairs)]
    return "\n".join([*lines, ""])


def main(results_dir: Path, *, repeats: int = 8, n_genes: int = N_GENES) -> None:
    """Run every case and write `autoencoder.md`."""
    torch.set_num_threads(N_THREADS)
    matrix = draw_values(8192, n_genes, DENSITY)
    results = {}
    for case in CASES:
        results[case] = measure(case, matrix, repeats)
        print(case, results[case], flush=True)
    page = table(results, n_genes)
    write_atomically(results_dir / "autoencoder.md", page.encode())
    print(page)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=8, help="timed steps of each side and case")
    parser.add_argument("--n-genes", type=int, default=N_GENES, help="genes")
    arguments = parser.parse_args()
    main(RESULTS, repeats=arguments.repeats, n_genes=arguments.n_genes)
