"""Grad-CAM of one node and of a whole path, beside one forward and beside pytorch-grad-cam 1.5.7, at 384 pixels.

    python benchmarks/bench_saliency.py                       # some minutes, and 2 GB of disk for the other environment
    python benchmarks/bench_saliency.py --gradcam-python P    # with an environment that has grad-cam already

grad-cam is installed into a virtual environment of its own in the temporary folder. Both sides have the same weights
(random: speed does not depend on them), image, layer and targets, and one thread, and take turns.
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
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from safetensors.torch import save_file

from trilineage.core.files import write_atomically
from trilineage.core.seeding import seed_everything
from trilineage.data.taxonomy import load_taxonomy
from trilineage.explain.saliency.gradcam import path_maps
from trilineage.explain.saliency.maps import enlarged, unit_range
from trilineage.explain.saliency.targets import Targets, path_targets
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.hierarchy import HierarchySettings, build_head
from trilineage.models.image_classifier import ImageClassifier

SIZE = 384
NETWORKS = {"ViT-S": "vit_small_patch16_384", "ConvNeXt-T": "convnext_tiny"}
LEAF = "ALL"
GRADCAM = ("torch==2.13.0", "torchvision==0.28.0", "timm==1.0.31", "grad-cam==1.5.7")
GOAL_FORWARDS, GOAL_PEER, GOAL_DIFFERENCE = 1.5, 2.0, 1e-3
N_ROUNDS = 7
RESULTS = Path(__file__).parent / "results"


class Result(NamedTuple):
    """What was measured on one network."""

    seconds: dict[str, list[float]]
    """Of every round, by what was done."""
    difference: float
    """Largest difference of the maps of the path, each stretched to [0, 1] on the pixels."""


def gradcam_python() -> Path:
    """Return the interpreter of the environment with grad-cam; make the environment if it is not there."""
    folder = Path(tempfile.gettempdir()) / "trilineage-bench-gradcam-1.5.7"
    python, finished = folder / "bin" / "python", folder / "finished"
    if not finished.exists():
        print(f"Installing {' '.join(GRADCAM)} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *GRADCAM], check=True)
        finished.touch()
    return python


class Ours:
    """A classifier of the leukemia tree with random weights, one image, and the targets of the path to a leaf."""

    def __init__(self, name: str):
        seed_everything(0)
        tree = load_taxonomy("leukemia")
        backbone = build_backbone(BackboneSettings(name=name), SIZE)
        head = build_head(HierarchySettings(variant="flat"), tree, backbone.spec.width)
        self.classifier = ImageClassifier(backbone, head).eval()
        self.tree, self.pixels = tree, torch.rand(1, 3, SIZE, SIZE)
        self.path = Targets.same(path_targets(tree, tree.index(LEAF)), 1, tree.nodes)
        self.leaf = Targets.same(path_targets(tree, tree.index(LEAF))[-1:], 1, tree.nodes)

    def forward(self) -> None:
        with torch.inference_mode():
            self.classifier(self.pixels)

    def maps(self, targets: Targets) -> np.ndarray:
        maps = path_maps(self.classifier, self.pixels, targets, empty="nan")
        return unit_range(enlarged(maps, (SIZE, SIZE))).numpy()[0]

    def write(self, folder: Path) -> None:
        """Write what the other side needs."""
        tensors = {f"net.{key}": value for key, value in self.classifier.backbone.net.state_dict().items()}
        linear = self.classifier.head.logits.linear.state_dict()
        save_file(
            {**tensors, **{f"head.{key}": value for key, value in linear.items()}},
            folder / "weights.safetensors",
        )
        np.savez(
            folder / "case.npz",
            pixels=self.pixels.numpy(),
            leaf_sets=self.tree.leaf_sets,
            nodes=self.path.nodes[0],
            against=self.path.against[0],
        )


class Theirs:
    """pytorch-grad-cam in a process of its own."""

    def __init__(self, name: str, python: Path, folder: Path):
        self.folder = folder
        self.process = subprocess.Popen(
            [python, Path(__file__).parent / "gradcam_side.py", folder, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.wait_for("ready")

    def wait_for(self, start: str) -> str:
        for line in self.process.stdout:
            if line.startswith(start):
                return line
        raise SystemExit(f"pytorch-grad-cam ended early (exit code {self.process.wait()})")

    def seconds(self, places: range) -> float:
        """Let it make the maps of the targets at some places of the path."""
        self.process.stdin.write(f"go {' '.join(map(str, places))}\n")
        self.process.stdin.flush()
        return json.loads(self.wait_for("{"))["seconds"]

    def maps(self) -> np.ndarray:
        return np.load(self.folder / "maps.npy", allow_pickle=False)

    def close(self) -> None:
        self.process.communicate()


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(name: str, python: Path, n_rounds: int) -> Result:
    """Let both sides take turns; the first round is a warm-up."""
    ours = Ours(name)
    n_targets = ours.path.nodes.shape[1]
    with tempfile.TemporaryDirectory() as folder:
        ours.write(Path(folder))
        theirs = Theirs(name, python, Path(folder))
        tasks = {
            "forward": lambda: timed(ours.forward),
            "our leaf": lambda: timed(lambda: ours.maps(ours.leaf)),
            "their leaf": lambda: theirs.seconds(range(n_targets - 1, n_targets)),
            "our path": lambda: timed(lambda: ours.maps(ours.path)),
            "their path": lambda: theirs.seconds(range(n_targets)),
        }
        rounds = [{task: measured() for task, measured in tasks.items()} for _ in range(n_rounds + 1)][1:]
        difference = float(np.abs(ours.maps(ours.path) - theirs.maps()).max())
        theirs.close()
    return Result({task: [each[task] for each in rounds] for task in tasks}, difference)


def ratio(result: Result, above: str, below: str) -> str:
    """Return the median over rounds of a ratio, and the ratio of the fastest of either."""
    first, second = result.seconds[above], result.seconds[below]
    median = statistics.median(a / b for a, b in zip(first, second, strict=True))
    return f"{median:.2f} ({min(first) / min(second):.2f})"


def table(results: dict[str, Result], n_targets: int) -> str:
    """Return the page."""
    n_rounds = len(next(iter(results.values())).seconds["forward"])
    lines = [
        "# Grad-CAM, beside one forward and beside pytorch-grad-cam 1.5.7",
        "",
        f"One image of {SIZE} x {SIZE}, one thread, random weights; targets: the {n_targets} nodes on the path to",
        f"{LEAF}, each against its siblings. Seconds: fastest of {n_rounds} rounds. Ratios: median over the rounds, in",
        "which all took turns, and in brackets fastest to fastest; the machine was shared (load",
        f"{os.getloadavg()[1]:.1f} on {os.cpu_count()} cores). Bringing the maps to the pixels and stretching them is",
        "included on both sides.",
        "",
        f"Goals: the path at most {GOAL_FORWARDS} forwards; at least {GOAL_PEER:.0f} times faster than",
        f"pytorch-grad-cam; maps that differ by less than {GOAL_DIFFERENCE}.",
        "",
        "| Network | Forward, s | One node, s | Path, s | Theirs: one node, s | Theirs: path, s |",
        "|---|---|---|---|---|---|",
    ]
    tasks = ("forward", "our leaf", "our path", "their leaf", "their path")
    for name, result in results.items():
        lines.append(f"| {name} | {' | '.join(f'{min(result.seconds[task]):.3f}' for task in tasks)} |")
    lines += [
        "",
        "| Network | One node / forward | Path / forward | Times faster: one node | Times faster: path | Difference |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        pairs = [("our leaf", "forward"), ("our path", "forward"), ("their leaf", "our leaf")]
        ratios = " | ".join(ratio(result, *pair) for pair in [*pairs, ("their path", "our path")])
        lines.append(f"| {name} | {ratios} | {result.difference:.1e} |")
    return "\n".join([*lines, ""])


def main(results_dir: Path, *, python: Path | None = None, n_rounds: int = N_ROUNDS) -> None:
    """Measure both networks and write `saliency.md`."""
    torch.set_num_threads(1)
    python = gradcam_python() if python is None else python
    results = {title: measure(name, python, n_rounds) for title, name in NETWORKS.items()}
    tree = load_taxonomy("leukemia")
    page = table(results, len(path_targets(tree, tree.index(LEAF))))
    write_atomically(results_dir / "saliency.md", page.encode())
    print(page)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--gradcam-python", type=Path, help="interpreter of an environment with grad-cam 1.5.7"
    )
    parser.add_argument("--rounds", type=int, default=N_ROUNDS, help="rounds after the warm-up")
    arguments = parser.parse_args()
    sys.exit(main(RESULTS, python=arguments.gradcam_python, n_rounds=arguments.rounds))
