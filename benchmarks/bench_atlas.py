"""How long the atlas of 4,000 concepts takes to open in a browser from the file system, with and without its pictures.

    python benchmarks/bench_atlas.py                          # about a minute; needs Chromium or Chrome
    python benchmarks/bench_atlas.py --keep FOLDER            # keeps the Run, to look at the atlas

The concepts are made up, the pictures are drawn. Each opening is a browser process of its own with an empty profile.
"""

import argparse
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.files import write_atomically
from trilineage.explain.concepts.cards import (
    CARDS_NAME,
    SPRITES_DIR,
    Association,
    CardDeck,
    CardReference,
    ConceptCard,
    ConceptTest,
    Pictures,
)
from trilineage.explain.concepts.crops import HEAT_PADDING, SpriteSettings, sprite_sheets
from trilineage.report.atlas import write_atlas

N_CONCEPTS, N_LATENTS, N_IMAGES, N_REFERENCES = 4000, 49_152, 20_000, 8
GRID = (16, 16)
GOAL_S = 2.0
N_ROUNDS = 5
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
CLASSES = (
    *("basophil", "eosinophil", "erythroblast", "immature granulocyte"),
    *("lymphocyte", "monocyte", "neutrophil", "platelet"),
)
ATTRIBUTES = ("granule_colour=red", "granule_colour=purple", "nucleus_shape=band", "cytoplasm_vacuole=yes")
RESULTS = Path(__file__).parent / "results"


class Options(Settings):
    """Stands for the configuration of a Run."""

    seed: int = 0
    """Decides the concepts."""


class Opening(NamedTuple):
    """Seconds of one opening."""

    ready: float
    """From the start of the navigation until the script has drawn the list and the scatter."""
    loaded: float
    """Until the load event, with the pictures in sight."""
    process: float
    """Of the whole browser process: start, page, pictures, end."""
    n_entries: int
    """Entries of the list that exist in the page."""


def browser() -> str | None:
    """Return the path of a browser, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def make_run(folder: Path, n_concepts: int) -> Run:
    """Make a Run with cards and pictures."""
    run = Run.create(folder, kind="concepts", config=Options(), seed=0)
    rng = np.random.default_rng(0)
    images = rng.integers(0, N_IMAGES, (n_concepts, N_REFERENCES))
    maps = rng.gamma(0.15, 2.0, (n_concepts, N_REFERENCES, *GRID)).astype(np.float32)
    settings = SpriteSettings()
    drawn = [draw_cell(np.random.default_rng(n), settings.tile) for n in range(64)]
    files = []
    for sheet in sprite_sheets(lambda image: drawn[image % len(drawn)], images, maps, settings):
        names = (f"{SPRITES_DIR}/cells-{sheet.name}.jpg", f"{SPRITES_DIR}/heat-{sheet.name}.png")
        for name, data in zip(names, (sheet.cells, sheet.heat), strict=True):
            run.path.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            run.path.joinpath(name).write_bytes(data)
        files.append(names)
    known = {name: "0" * 64 for pair in files for name in pair}
    run._change(
        files={**run.manifest["files"], **known}
    )  # 1,000 entries at once: digests of pictures are not looked at
    tile = (settings.tile, settings.tile)
    layout = Pictures(N_REFERENCES, settings.cards_per_sheet, tile, GRID, HEAT_PADDING, tuple(files))
    cards = tuple(
        draw_card(rng, number, images[number], maps[number], settings) for number in range(n_concepts)
    )
    tests = (
        ConceptTest(
            "association",
            "Association",
            "Finds a class or an attribute with q up to 0.05 and AUROC from 0.7.",
        ),
        ConceptTest(
            "stability", "Stability", "Comes back in an autoencoder of another seed with a cosine from 0.7."
        ),
        ConceptTest(
            "monosemanticity", "Monosemanticity", "Its references are more alike than any images are."
        ),
    )
    about = (
        ("Images", f"{N_IMAGES:,} of 400 patients"),
        ("Encoder", "made up"),
        ("Autoencoder", "top-k, k = 32"),
    )
    run.write_json(
        CARDS_NAME, CardDeck(cards, CLASSES, about, tests, pictures=layout, n_latents=N_LATENTS).to_dict()
    )
    return run


def draw_cell(rng: np.random.Generator, side: int) -> np.ndarray:
    """Draw a disc with a darker disc in it."""
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    noise = rng.normal(0, 4, (side, side, 1))
    cell = np.hypot(rows, columns) < rng.uniform(0.28, 0.4)
    nucleus = np.hypot(rows - rng.normal(0, 0.05), columns - rng.normal(0, 0.05)) < rng.uniform(0.12, 0.25)
    picture = np.where(cell[..., None], rng.uniform((170, 140, 190), (225, 190, 225)), (238.0, 226.0, 222.0))
    picture = np.where(nucleus[..., None], rng.uniform((70, 20, 100), (130, 70, 160)), picture)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def draw_card(
    rng: np.random.Generator, number: int, images: np.ndarray, maps: np.ndarray, settings: SpriteSettings
) -> ConceptCard:
    """Make up a concept."""
    shares = rng.dirichlet(np.full(len(CLASSES), rng.choice([0.05, 0.3, 2.0])))
    order = np.argsort(-shares)
    entropy = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    areas = np.sort(rng.uniform(0.4, 1.0, 5))[::-1]
    classes = tuple(
        Association(CLASSES[c], float(area), float(0.2 ** (20 * (area - 0.5))), bool(area > 0.6))
        for c, area in zip(order, areas, strict=False)
    )
    chosen = rng.permutation(len(ATTRIBUTES))[:2]
    attributes = tuple(Association(ATTRIBUTES[a], 0.9 - 0.2 * n, 0.001, True) for n, a in enumerate(chosen))
    mean = float(10 ** rng.normal(-2.2, 0.5))
    scores = np.sort(mean * rng.gamma(3, 1.5, N_REFERENCES))[::-1]
    references = tuple(
        CardReference(
            f"images/{image:05d}.png",
            f"P{image % 400:03d}",
            CLASSES[rng.choice(len(CLASSES), p=shares)],
            float(score),
            int(values.argmax()),
        )
        for image, score, values in zip(images, scores, maps, strict=True)
    )
    tests = {name: bool(rng.random() < 0.6) for name in ("association", "stability", "monosemanticity")}
    return ConceptCard(
        latent=int(number * 12 + rng.integers(12)),
        name=f"{ATTRIBUTES[chosen[0]].replace('_', ' ')}, {CLASSES[order[0]]}",
        is_draft=True,
        reasons=(f"AUROC {areas[0]:.2f} for {CLASSES[order[0]]}",),
        frequency=float(np.clip(10 ** rng.normal(-1.8, 0.6), 1e-4, 1)),
        mean_activation=mean,
        entropy=entropy,
        relative_entropy=entropy / math.log(len(CLASSES)),
        figures={
            "spread": float(rng.uniform(0, 4)),
            "stability": float(rng.beta(4, 2)),
            "monosemanticity": float(rng.uniform(-0.05, 0.5)),
        },
        focus={"nucleus": 0.5, "cytoplasm": 0.4, "background": 0.1, "nucleus_by_chance": 0.2},
        classes=classes,
        attributes=attributes,
        shares={CLASSES[c]: float(shares[c]) for c in order[:5]},
        tests=tests,
        references=references,
        full_colour=float(maps.max()),
        sheet=number // settings.cards_per_sheet,
        row=number % settings.cards_per_sheet,
    )


def opened(path: str, page: Path) -> Opening:
    """Open the page in a new browser and say how long it took."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [path, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        command += ["--window-size=1280,900", "--dump-dom", page.resolve().as_uri()]
        start_s = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        process_s = time.perf_counter() - start_s
    times = re.search(r'data-ready-ms="(\d+)" data-loaded-ms="(\d+)"', done.stdout)
    if times is None:
        raise SystemExit("the page did not say when it was ready")
    n_entries = done.stdout.count('role="listitem"')
    return Opening(int(times[1]) / 1000, int(times[2]) / 1000, process_s, n_entries)


def measure(path: str, page: Path, n_rounds: int) -> list[Opening]:
    """Open the page several times; the first is a warm-up."""
    return [opened(path, page) for _ in range(n_rounds + 1)][1:]


def row(what: str, seconds: list[float]) -> str:
    """Return a line of the table."""
    return f"| {what} | {statistics.median(seconds):.2f} | {min(seconds):.2f} |"


def table(found: list[Opening], page: Path, run: Run, version: str) -> str:
    """Return the page of results."""
    sizes = [file.stat().st_size for file in (run.path / SPRITES_DIR).iterdir()]
    return "\n".join(
        [
            f"# Opening the atlas of {N_CONCEPTS:,} concepts",
            "",
            f"From the file system, in {version}, headless, 1280 x 900 pixels, an empty profile each time; median",
            f"of {len(found)} openings on {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f}). The page has",
            f"{page.stat().st_size / 1e6:.1f} MB. Of its {len(sizes):,} files of pictures, {sum(sizes) / 1e6:.0f} MB,",
            f"only those in sight are read; of its list {found[0].n_entries} entries are in the page.",
            f"Goal: less than {GOAL_S:.0f} s.",
            "",
            "| Until | Seconds, median | Fastest |",
            "|---|---|---|",
            row("list and scatter are drawn and answer", [one.ready for one in found]),
            row("the load event", [one.loaded for one in found]),
            row("the browser has started, opened the page and ended", [one.process for one in found]),
            "",
        ]
    )


def main(results_dir: Path, *, keep: Path | None = None, n_rounds: int = N_ROUNDS) -> None:
    """Make the atlas, open it, and write `atlas.md`."""
    path = browser()
    if path is None and keep is None:
        print(f"skipped: no browser ({', '.join(BROWSERS)})")
        return
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(keep or Path(folder) / "concepts", N_CONCEPTS)
        page = write_atlas(run)
        if path is None:
            print("made, and not opened: no browser")
            return
        version = subprocess.run(
            [path, "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()
        text = table(measure(path, page, n_rounds), page, run, " ".join(version.split()[:2]))
    write_atomically(results_dir / "atlas.md", text.encode())
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="folder for the Run")
    parser.add_argument("--rounds", type=int, default=N_ROUNDS, help="openings after the warm-up")
    arguments = parser.parse_args()
    sys.exit(main(RESULTS, keep=arguments.keep, n_rounds=arguments.rounds))
