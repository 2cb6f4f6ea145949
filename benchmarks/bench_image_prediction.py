"""Prediction of images on a CPU beside timm's plain eager loop, and what each step brings.

    python benchmarks/bench_image_prediction.py                      # about five minutes, 2 GB
    python benchmarks/bench_image_prediction.py --compile            # with torch.compile: minutes more per network
    python benchmarks/bench_image_prediction.py --images 32 --rounds 5

Both sides read the same JPEG files, have the same weights and give the same probabilities (checked: 1e-3, same top-1).
The plain loop decodes an image with Pillow, resizes it and runs the network on it in float32, one after the other, with
torch's own number of threads. The variants take turns on the same images, so that a neighbour's load falls on all of
them; a ratio is the median of the ratios of one round.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from trilineage.core.files import write_atomically
from trilineage.core.seeding import generator
from trilineage.models import inference
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.image_classifier import ImageClassifier
from trilineage.models.inference import InferenceSettings, predict_images

RESULTS = Path(__file__).parent / "results"
N_CLASSES = 8
TOLERANCE = 1e-3


class Case(NamedTuple):
    """One network at one size."""

    name: str
    size: int
    images_factor: int
    """How many times as many images as for the slowest."""


CASES = (
    Case("small_cnn", 28, 16),
    Case("small_vit", 96, 4),
    Case("convnext_tiny.in12k_ft_in1k_384", 384, 1),
    Case("vit_small_patch16_384", 384, 1),
)


class Head(nn.Module):
    """A linear softmax head."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(width, N_CLASSES)
        nn.init.normal_(self.linear.weight, std=0.1)  # neither even nor saturated: an error would show

    def node_log_probabilities(self, features: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(self.linear(features), dim=1)


def image_files(folder: Path, n_images: int) -> list[Path]:
    """Return originals of the PBC set if they are there, else JPEG files of the same size drawn here."""
    found = sorted(
        (Path(os.environ.get("TRILINEAGE_DATA", "")) / "images/pbc_barcelona/images").rglob("*.jpg")
    )
    if len(found) >= n_images:
        return found[:: len(found) // n_images][:n_images]
    rng = generator(0, "bench_image_prediction")
    paths = []
    for number in range(n_images):
        coarse = rng.integers(0, 256, (45, 45, 3), dtype=np.uint8)
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(coarse).resize((360, 363), Image.Resampling.BICUBIC).save(paths[-1], quality=95)
    return paths


def decode(path: Path, size: int) -> torch.Tensor:
    """Return the pixels of a file, resized."""
    with Image.open(path) as image:
        pixels = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float().div_(255.0)


def plain_loop(model: ImageClassifier, paths: list[Path], size: int) -> np.ndarray:
    """Predict as one would write it with timm."""
    net, spec = model.backbone.net, model.backbone.spec
    mean, std = torch.tensor(spec.mean).view(3, 1, 1), torch.tensor(spec.std).view(3, 1, 1)
    rows = []
    with torch.no_grad():
        for path in paths:
            pixels = (decode(path, size) - mean) / std
            rows.append(torch.softmax(model.head.linear(net(pixels[None])), dim=1))
    return torch.cat(rows).numpy()


def batched(model: ImageClassifier, paths: list[Path], size: int) -> np.ndarray:
    """Decode serially, in batches of eight, in inference mode."""
    rows = []
    with torch.inference_mode():
        for start in range(0, len(paths), 8):
            pixels = torch.stack([decode(path, size) for path in paths[start : start + 8]])
            rows.append(model(pixels).exp())
    return torch.cat(rows).numpy()


def ours(model: ImageClassifier, paths: list[Path], size: int, settings: InferenceSettings) -> np.ndarray:
    """Predict with `predict_images`."""

    def load(positions: np.ndarray) -> torch.Tensor:
        return torch.stack([decode(paths[position], size) for position in positions])

    return np.concatenate([b.probabilities for b in predict_images(model, load, len(paths), settings)])


def variants(
    case: Case, paths: list[Path], *, with_compile: bool
) -> tuple[ImageClassifier, dict[str, Callable[[], np.ndarray]]]:
    """Return the network and what takes turns: the plain loop, then one step more each time."""
    torch.manual_seed(0)
    backbone = build_backbone(BackboneSettings(name=case.name), case.size)
    model = ImageClassifier(backbone, Head(backbone.spec.width)).eval()
    last = ImageClassifier(
        build_backbone(BackboneSettings(name=case.name), case.size), Head(backbone.spec.width)
    )
    last.load_state_dict(model.state_dict())  # its own copy: the memory format changes for good
    channels_last = last.eval().to(memory_format=torch.channels_last)
    chosen = InferenceSettings()

    def whole() -> np.ndarray:
        with mock.patch.object(inference, "lean", lambda network, **options: network):
            return ours(last, paths, case.size, chosen)

    found: dict[str, Callable[[], np.ndarray]] = {
        "plain loop": lambda: plain_loop(model, paths, case.size),
        "batches, inference mode": lambda: batched(model, paths, case.size),
        "and channels last": lambda: batched(channels_last, paths, case.size),
        "predict_images, whole network": whole,
        "predict_images (lean network)": lambda: ours(last, paths, case.size, chosen),
    }
    if with_compile:
        compiled = chosen.replace(compile=True)
        found["predict_images, compiled"] = lambda: ours(last, paths, case.size, compiled)
    return model, found


def measure(case: Case, paths: list[Path], arguments: argparse.Namespace) -> tuple[list[str], str]:
    """Return the rows of a case, and what bounds it."""
    model, tried = variants(case, paths, with_compile=arguments.compile)
    expected = tried["plain loop"]()
    differences = {}
    for name, predict in tried.items():
        found = predict()
        differences[name] = float(np.abs(found - expected).max())
        assert differences[name] < TOLERANCE, (case.name, name, differences[name])
        assert (found.argmax(1) == expected.argmax(1)).all(), (case.name, name)
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    times: dict[tuple[str, str], list[float]] = {(clock, name): [] for clock in clocks for name in tried}
    for _ in range(arguments.rounds):
        for name, predict in tried.items():
            starts_s = {clock: read() for clock, read in clocks.items()}
            predict()
            for clock, read in clocks.items():
                times[clock, name].append((read() - starts_s[clock]) / len(paths))
    rows = []
    for name in tried:
        cells = []
        for clock in clocks:
            values, plain = times[clock, name], times[clock, "plain loop"]
            ratio = statistics.median(p / v for p, v in zip(plain, values, strict=True))
            cells.append(f"{1e3 * statistics.median(values):,.1f} | {ratio:.2f}")
        rows.append(
            f"| {case.name}, {case.size} px | {name} | {' | '.join(cells)} | {differences[name]:.0e} |"
        )
        print(rows[-1], flush=True)
    return rows, bound(case, model, 1e3 * statistics.median(times["processor", "plain loop"]))


def giga_operations(model: ImageClassifier, size: int) -> float:
    """Return the additions and multiplications of all matrix products and convolutions for one image, in 1e9."""
    attentions = [module for module in model.modules() if getattr(module, "fused_attn", False)]
    with ExitStack() as stack:
        for attention in attentions:  # the fused one is not counted
            stack.enter_context(mock.patch.object(attention, "fused_attn", False))
        stack.enter_context(torch.inference_mode())
        counter = stack.enter_context(FlopCounterMode(display=False))
        model.backbone(torch.zeros(1, 3, size, size))
    return float(counter.get_total_flops()) / 1e9


def giga_operations_per_s() -> float:
    """Return how many of these torch's matrix product does in a second on one core, at the shape of a hidden layer."""
    n_tokens, width, hidden = 577, 384, 1536
    tokens, weight = torch.rand(n_tokens, width), torch.rand(hidden, width)
    times_s = []
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(30):
        start_s = time.thread_time()
        torch.nn.functional.linear(tokens, weight)
        times_s.append(time.thread_time() - start_s)
    torch.set_num_threads(n_threads)
    return 2e-9 * n_tokens * width * hidden / statistics.median(times_s)


def bound(case: Case, model: ImageClassifier, plain_ms: float) -> str:
    """Return what no float32 network gets below: the time of its matrix products alone."""
    needed, rate = giga_operations(model, case.size), giga_operations_per_s()
    least_ms = 1e3 * needed / rate
    return (
        f"* {case.name}: {needed:.1f} GFLOP per image in matrix products and convolutions, at {rate:.0f} GFLOP/s "
        f"of one core: {least_ms:.0f} of the plain loop's {plain_ms:.0f} ms of processor. Were all else free, "
        f"{plain_ms / least_ms:.2f} times as fast."
    )


def page(rows: list[str], bounds: list[str], arguments: argparse.Namespace) -> str:
    """Return the table with what it was measured with."""
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return "\n".join(
        [
            "# Prediction of images on a CPU",
            "",
            f"{torch.get_num_threads()} thread(s) in the plain loop, {len(os.sched_getaffinity(0))} cores, load "
            f"{os.getloadavg()[0]:.1f} at the end, torch {torch.__version__}; {arguments.images} images "
            f"(for the networks at 384 px; more for the small ones), {arguments.rounds} rounds "
            "in which the variants take turns.",
            "Each row adds one step to the one above: the plain loop decodes and computes one image after the other.",
            f"Peak memory of the whole benchmark: {peak_gb:.1f} GB.",
            "",
            "Times are medians; `x` is how many times as fast as the plain loop, by the clock on the wall and by the",
            "processor's own, which neighbours hardly disturb and which counts all cores together.",
            "",
            "| Network | Step | ms per image | x | processor ms per image | x | Largest difference of a probability |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "Steps of `predict_images`: every core decodes and computes a batch of its own; then the lean network,",
            "in which the last block of a transformer computes its class token only, and bias and GELU are one pass.",
            "",
            "What bounds it in float32:",
            "",
            *bounds,
            "",
        ]
    )


def main(results: Path = RESULTS) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=16, help="images for the largest networks")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the medians over them are reported")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    parser.add_argument("--only", default="", help="networks whose name begins with this")
    parser.add_argument(
        "--threads", type=int, default=0, help="threads of the plain loop; 0: torch's own choice"
    )
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rows, bounds = [], []
    with tempfile.TemporaryDirectory() as folder:
        for case in (case for case in CASES if case.name.startswith(arguments.only)):
            paths = image_files(Path(folder), arguments.images * case.images_factor)
            found, limit = measure(case, paths, arguments)
            rows, bounds = [*rows, *found], [*bounds, limit]
    write_atomically(results / "image_prediction.md", page(rows, bounds, arguments).encode())


if __name__ == "__main__":
    main()
