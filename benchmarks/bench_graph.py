"""Cell graph and SIGN classifier: cost per cell and memory above the data, from 50,000 to 1,000,000 cells."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from trilineage.core.files import write_atomically
from trilineage.core.progress import set_quiet
from trilineage.core.seeding import seed_everything
from trilineage.models.classifiers import ClassifierSettings, build_classifier
from trilineage.training.loop import train
from trilineage.training.objectives.classification import classification_batches, classification_step
from trilineage.training.settings import TrainingSettings

SIZES = (50_000, 200_000, 1_000_000)
N_LATENT, N_CLASSES, N_PATIENTS, N_EPOCHS = 256, 7, 60, 2


def main(results_dir: Path, sizes: tuple[int, ...] = SIZES) -> None:
    """Measure each size in a process of its own and write `graph.md`."""
    rows = []
    for n_cells in sizes:
        command = [sys.executable, __file__, str(n_cells)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        write_atomically(results_dir / "graph.md", table(rows).encode())


def table(rows: list[dict[str, float]]) -> str:
    """Lay out the measurements, each cost relative to the first size."""
    lines = [
        "# Cell graph and SIGN classifier",
        "",
        f"{N_LATENT} latent units, {torch.get_num_threads()} threads; clustered latents. Graph: reference, neighbours "
        "and two propagations. Memory: peak of the process above imports and latents.",
        "",
        "| Cells | Graph, µs per cell | Epoch, µs per cell | Both, relative | Memory above the data, GB |",
        "|---|---|---|---|---|",
    ]
    first = rows[0]["graph_us"] + rows[0]["epoch_us"]
    for row in rows:
        both = (row["graph_us"] + row["epoch_us"]) / first
        cells = [f"{row['n_cells']:,.0f}", f"{row['graph_us']:.1f}", f"{row['epoch_us']:.1f}", f"{both:.2f}"]
        lines.append(f"| {' | '.join([*cells, format(row['above_gb'], '.2f')])} |")
    return "\n".join(lines) + "\n"


def measure(n_cells: int) -> dict[str, float]:
    """Fit a SIGN classifier on clustered latents."""
    set_quiet(True)
    seed_everything(0)
    latent, labels, patients = clustered(n_cells)
    before = peak_gb()
    classifier = build_classifier(ClassifierSettings(kind="sign"), N_LATENT, N_CLASSES)
    start = time.perf_counter()
    inputs = classifier.fit_inputs(latent, patients=patients)
    graph_s = time.perf_counter() - start
    settings = TrainingSettings(epochs=N_EPOCHS, batch_size=2048)
    start = time.perf_counter()
    batches = classification_batches(inputs, labels)
    train(classifier.head, classification_step, batches, settings, seed=0, device=torch.device("cpu"))
    epoch_s = (time.perf_counter() - start) / N_EPOCHS
    per_cell = 1e6 / n_cells
    return {
        "n_cells": n_cells,
        "graph_us": graph_s * per_cell,
        "epoch_us": epoch_s * per_cell,
        "above_gb": peak_gb() - before,
    }


def clustered(n_cells: int) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Draw latents around 100 centres; the class of a cell goes with its centre."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((100, N_LATENT), dtype=np.float32)
    of_cell = rng.integers(0, len(centres), n_cells)
    latent = rng.standard_normal((n_cells, N_LATENT), dtype=np.float32)
    latent *= 0.7
    for start in range(0, n_cells, 65_536):
        latent[start : start + 65_536] += centres[of_cell[start : start + 65_536]]
    return torch.from_numpy(latent), of_cell % N_CLASSES, rng.integers(0, N_PATIENTS, n_cells)


def peak_gb() -> float:
    """Return the largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
