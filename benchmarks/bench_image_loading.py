"""Loading of cell images: decode, size and vary beside what Pillow's decoding alone takes on the same threads.

    TRILINEAGE_DATA=DATA python benchmarks/bench_image_loading.py     # on PBC images, 360 x 363 pixels
    python benchmarks/bench_image_loading.py --n-images 200           # fewer; drawn images where there are no others

The files are read once before, so that the disk plays no part. Ways take turns, each round compares them, and the
median of the rounds counts, by the clock and by the processor time of all threads: on a machine with busy neighbours
only the second is comparable. The table goes to benchmarks/results/image_loading.md.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from trilineage.core.files import write_atomically
from trilineage.core.seeding import generator
from trilineage.data.images.augmentation import draw_variations, write_varied
from trilineage.data.images.batches import ImageBatches
from trilineage.data.images.open import open_images
from trilineage.data.images.settings import AugmentationSettings, ImageDataSettings
from trilineage.data.images.table import ImageTable
from trilineage.data.images.threads import n_workers

RESULTS = Path(__file__).parent / "results"
GOAL = 0.8
BATCH = 128
N_WAITING = 64
SIZES = (96, 144, 224)


def images_folder(n_images: int, scratch: Path) -> tuple[Path, str]:
    """Return a folder of images and what they are: PBC where it is, else drawn ones."""
    folder = Path(os.environ.get("TRILINEAGE_DATA", "nowhere")) / "images" / "pbc_barcelona"
    if folder.is_dir():
        return folder, "PBC, 360 x 363 JPEG"
    random = generator(0, "bench_image_loading")
    for number in range(n_images):
        small = Image.fromarray(random.integers(60, 255, (45, 45, 3), dtype=np.uint8))
        target = scratch / "drawn" / f"class_{number % 2}" / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        small.resize((360, 363), Image.Resampling.BICUBIC).save(target, quality=90)
    return scratch / "drawn", "drawn, 360 x 363 JPEG"


def pillow_alone(paths: list[str], workers: int, size: int | None = None) -> None:
    """Decode every file with Pillow; with a size, also bring it there and make an array, as a plain loader does."""

    def decode(path: str) -> None:
        with Image.open(path) as image:
            image.load()
            if size is not None:
                np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(decode, paths))


def epoch(batches: ImageBatches, turn: int) -> None:
    """Take one epoch."""
    order = batches.order(seed=0, epoch=turn)
    for start in range(0, len(order), BATCH):
        batches.take(order[start : start + BATCH])


def varying(table: ImageTable, variation: AugmentationSettings, n_images: int) -> Callable[[], None]:
    """Return what only varies: decoded images that wait in memory, one thread."""
    n = min(N_WAITING, len(table))
    images = [table.read_unfitted(position) for position in range(n)]
    contents, epochs = table.content_numbers[:n], np.ones(n, np.uint64)
    variations = draw_variations(variation, contents, epochs, seed=0, shape=table.shape)
    out = np.empty((n, 3, *table.shape), np.float32)

    def vary() -> None:
        for turn in range(n_images):
            write_varied(images[turn % n], variations, turn % n, out[turn % n])

    return vary


def costs(ways: dict[str, Callable[[], None]], n_images: int, rounds: int) -> dict[str, np.ndarray]:
    """Return milliseconds per image of each way in each round (round 2): by the clock, and of processors."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            clock, processor = time.perf_counter(), time.process_time()
            way()
            spent[name].append((time.perf_counter() - clock, time.process_time() - processor))
    return {name: 1e3 * np.array(figures) / n_images for name, figures in spent.items()}


def ways_of(
    folder: Path, scratch: Path, n_images: int, workers: int
) -> tuple[dict[str, Callable[[], None]], int]:
    """Return the ways by name and the number of images."""
    plain = ImageDataSettings(
        path=str(folder), verify="header", workers=workers, limit_per_class=max(n_images // 8, 1)
    )
    varied = AugmentationSettings()
    first = open_images(plain)
    paths = [str(path) for path in first.reader.paths]
    ways: dict[str, Callable[[], None]] = {"Pillow, decoding alone": lambda: pillow_alone(paths, workers)}
    for size in SIZES:
        table = open_images(plain.replace(size=size))
        cached = open_images(plain.replace(size=size, cache_dir=str(scratch / "cache")))
        ways |= {
            f"Pillow, decode and resize to {size} px": partial(pillow_alone, paths, workers, size),
            f"ours, decode to {size} px": partial(epoch, ImageBatches(table), 0),
            f"ours, decode to {size} px and vary": partial(
                epoch, ImageBatches(table, augmentation=varied), 1
            ),
            f"ours, cached at {size} px and vary": partial(
                epoch, ImageBatches(cached, augmentation=varied), 2
            ),
            f"ours, vary to {size} px alone (decoded before)": varying(table, varied, len(paths)),
        }
    return ways, len(paths)


def page(results: dict[str, np.ndarray], n_images: int, kind: str, workers: int, load: float) -> str:
    """Return the table."""
    alone = results["Pillow, decoding alone"]
    ratios = {name: np.median(alone / figures, axis=0) for name, figures in results.items()}
    lines = [
        f"# Loading {n_images:,} cell images ({kind})",
        "",
        f"{workers} threads of {platform.machine()} ({os.cpu_count()} cores), load average {load:.1f}, Python",
        f"{platform.python_version()}, Pillow {Image.__version__}, batches of {BATCH}. Ratios are to Pillow's decoding",
        'alone; above 1 is faster. "Vary" is every augmentation at its default: flips, right angles, free turn, scale,',
        "shift, stain and brightness. All ways but Pillow's give float arrays; Pillow's decoding alone gives none.",
        "",
        "| way | images/s | ratio | processor ms per image | ratio |",
        "|---|---|---|---|---|",
    ]
    for name, figures in results.items():
        clock, processor = np.median(figures, axis=0)
        by_clock, by_processor = ratios[name]
        lines.append(
            f"| {name} | {1e3 / clock:,.0f} | {by_clock:.2f} | {processor:.2f} | {by_processor:.2f} |"
        )
    reached = {size: ratios[f"ours, decode to {size} px and vary"][1] for size in SIZES}
    said = ", ".join(
        f"{size} px: {r:.2f} ({'met' if r >= GOAL else 'missed'})" for size, r in reached.items()
    )
    largest = SIZES[-1]
    _, varied = np.median(results[f"ours, vary to {largest} px alone (decoded before)"], axis=0)
    allowed = np.median(alone[:, 1]) * (1 / GOAL - 1)
    lines += [
        "",
        f"What bounds {largest} px: such an image must be decoded whole (Pillow decodes a JPEG to a half, not to five",
        f"eighths), so the goal leaves {allowed:.2f} ms beside Pillow's decoding. Varying alone takes {varied:.2f} ms,",
        f"{1e6 * varied / largest**2:.1f} ns for each of {largest**2:,} pixels: four neighbours fetched, three",
        "logarithms, a 3 x 3 matrix, three exponentials and 12 bytes written.",
    ]
    lines += ["", f"Goal: decode and vary at {GOAL:.0%} of decoding alone, by processor time. {said}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-images", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--workers", type=int, default=0)
    arguments = parser.parse_args()
    workers = n_workers(arguments.workers)
    with tempfile.TemporaryDirectory() as name:
        folder, kind = images_folder(arguments.n_images, Path(name))
        ways, n_images = ways_of(folder, Path(name), arguments.n_images, workers)
        results = costs(ways, n_images, arguments.rounds)
    text = page(results, n_images, kind, workers, os.getloadavg()[0])
    write_atomically(RESULTS / "image_loading.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
