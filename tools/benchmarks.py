"""Write docs/benchmarks.md: all ratios against the peers in one table, every figure read from `benchmarks/results/`."""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
NOTICE = "<!-- Written by `make docs` from benchmarks/results/; run a benchmark again, do not change this page. -->"


class Goal(NamedTuple):
    """What was set as a goal before anything was measured."""

    value: float
    """The limit."""
    is_least: bool = True
    """Whether the figure must be at least this, or at most."""
    unit: str = ""
    """Behind the number."""

    def __str__(self) -> str:
        return f"{'≥' if self.is_least else '≤'} {self.value:,g}{self.unit}"

    def holds(self, figure: float) -> bool:
        """Say whether a figure meets the goal."""
        return figure >= self.value if self.is_least else figure <= self.value


class Place(NamedTuple):
    """Where in a result a figure stands: in a row and a column of a table, or in a sentence."""

    row: str = ""
    """How the cells of the row begin, joined by ` | `."""
    column: str = ""
    """How the heading of the column begins; the first table that has such a row and column is taken."""
    sentence: str = ""
    """In place of a table: a pattern whose first group is the figure."""


class Ratio(NamedTuple):
    """One line of the page: what was compared with whom."""

    what: str
    """What was measured."""
    peer: str
    """What it was held against, with its version; as a pattern of the result where it begins with `re:`."""
    table: str
    """Name of the result."""
    clock: Place | None = None
    """The figure by the clock on the wall."""
    processor: Place | None = None
    """The figure by the processor's time."""
    goal: Goal | None = None
    """What was to be reached."""


def _autoencoder(batch: str, widths: str, goal: float) -> Ratio:
    place = Place(f"{batch} | {widths} |", "Ratio")
    what = f"Autoencoder, training step, batch {batch}, {widths}"
    return Ratio(what, "plain dense PyTorch", "autoencoder", place, None, Goal(goal))


def _loading(size: int) -> Ratio:
    row = f"ours, decode to {size} px and vary"
    processor = Place(sentence=rf"\b{size} px: ([\d.]+) \(")
    return Ratio(
        f"Loading, decode and vary to {size} px",
        "Pillow, decoding alone",
        "image_loading",
        Place(row, "ratio"),
        processor,
        Goal(0.8),
    )


def _prediction(network: str) -> Ratio:
    row, what = f"{network} | predict_images (lean", f"Prediction, {network}"
    clock, processor = Place(row, "x"), Place(row, "x#2")
    return Ratio(what, "timm, plain loop, the same threads", "image_prediction", clock, processor, Goal(1.5))


def _maps(network: str, column: str, what: str) -> Ratio:
    place = Place(network, column)
    return Ratio(
        f"Grad-CAM, {what}, {network}",
        "re:pytorch-grad-cam [\\d.]+\\d",
        "saliency",
        place,
        None,
        Goal(2.0),
    )


def _step(peer: str, goal: float) -> Ratio:
    place = Place(peer, "trilineage is faster by")
    pattern = f"re:{peer} [\\d.]+\\d" if peer in ("sparsify", "SAELens") else f"{peer} PyTorch"
    return Ratio("Sparse autoencoder, TopK step", pattern, "sae", None, place, Goal(goal))


def _relu(active: str) -> Ratio:
    what = f"Sparse autoencoder, ReLU step, {active} active"
    return Ratio(what, "plain dense PyTorch", "sae", None, Place(f"{active} |", "Ratio"))


def _tokens(backbone: str) -> Ratio:
    clock, processor = Place(f"{backbone} |", "Ratio (wall)"), Place(f"{backbone} |", "Ratio (processor)")
    return Ratio(
        f"Extraction of tokens, {backbone}", "bare pass to the block", "tokens", clock, processor, Goal(0.9)
    )


RATIOS = (
    _autoencoder("2,048", "256-256-256", 2.5),
    _autoencoder("4,096", "256-256-256", 2.5),
    _autoencoder("512", "256-256-256", 1.0),
    _autoencoder("512", "1024-256-1024", 1.0),
    _autoencoder("512", "1024-512-256-512-1024", 1.0),
    *(
        Ratio(
            f"Autoencoder, {likelihood} likelihood, batch {batch}",
            "re:scVI [\\d.]+\\d with its defaults",
            "likelihood",
            Place(f"trilineage | {likelihood} | {batch}", "Times scVI"),
            None,
            Goal(8.0) if likelihood == "nb" else None,
        )
        for likelihood in ("nb", "zinb")
        for batch in ("2,048", "128")
    ),
    *(
        Ratio(f"Reading cells from disk, shuffled, beside {how}", "anndata", "reading", Place(row, "ours"))
        for how, row in (
            ("random batches of 2,048", "anndata backed, random"),
            ("cell by cell", "anndata backed, cell"),
        )
    ),
    *map(_loading, (96, 144, 224)),
    *map(
        _prediction,
        (
            "small_cnn, 28 px",
            "small_vit, 96 px",
            "convnext_tiny.in12k_ft_in1k_384, 384 px",
            "vit_small_patch16_384, 384 px",
        ),
    ),
    *(
        _maps(network, f"Times faster: {what}", what)
        for network in ("ViT-S", "ConvNeXt-T")
        for what in ("one node", "path")
    ),
    _step("plain dense", 4.0),
    _step("sparsify", 2.0),
    _step("SAELens", 5.0),
    *map(_relu, ("30", "300", "1,000")),
    *map(
        _tokens,
        (
            "small_vit, 96 px",
            "small_vit, 96 px, decoded before",
            "convnext_tiny, 224 px",
            "vit_small_patch14_dinov2, 224 px",
            "vit_base_patch14_dinov2, 224 px",
        ),
    ),
    Ratio(
        "Statistics of all latents, images per second",
        "dense, in batches of 32",
        "codes",
        None,
        Place(sentence=r"trilineage is faster by ([\d.]+)\."),
    ),
)


class Amount(NamedTuple):
    """A goal that is no ratio to a peer."""

    what: str
    """What was measured."""
    table: str
    """Name of the result."""
    place: Place
    """Where the figure stands."""
    goal: Goal
    """What was to be reached."""


AMOUNTS = (
    Amount(
        "Reading 200,000 cells from disk, shuffled, cold",
        "reading",
        Place("ours, shuffled blocks from disk (cold)", "cells/s"),
        Goal(20_000, True, " cells/s"),
    ),
    Amount(
        "Graph and SIGN classifier, 200,000 cells, memory above the data",
        "graph",
        Place("200,000", "Memory"),
        Goal(2, False, " GB"),
    ),
    Amount(
        "Graph and SIGN classifier, cost per cell at 1,000,000 cells relative to 50,000",
        "graph",
        Place("1,000,000", "Both"),
        Goal(1.0, False),
    ),
    Amount(
        "Maps of the whole path relative to one forward, ViT-S",
        "saliency",
        Place("ViT-S", "Path / forward"),
        Goal(1.5, False),
    ),
    Amount(
        "Maps of the whole path relative to one forward, ConvNeXt-T",
        "saliency",
        Place("ConvNeXt-T", "Path / forward"),
        Goal(1.5, False),
    ),
    Amount(
        "Sparse autoencoder, TopK step relative to the encoder product alone",
        "sae",
        Place(sentence=r"encoder product alone: ([\d.]+) \("),
        Goal(1.35, False),
    ),
    Amount(
        "Sparse autoencoder, peak memory at batch 16,384",
        "sae",
        Place(sentence=r"batch 16,384: ([\d.]+) GB"),
        Goal(2.5, False, " GB"),
    ),
    Amount(
        "One image to its codes, memory above the weights, ReLU, 1,000 active",
        "codes",
        Place("ReLU, 1,000 active", "trilineage, MB"),
        Goal(100, False, " MB"),
    ),
    Amount(
        "Barcodes of 1,000,000 cells x 49,152 latents, peak memory",
        "barcodes",
        Place("Peak memory of the process", "#2"),
        Goal(4, False, " GB"),
    ),
    Amount(
        "Atlas of 4,000 concepts, drawn and answering",
        "atlas",
        Place("list and scatter", "Seconds, median"),
        Goal(2, False, " s"),
    ),
)

MACHINES = {
    "atlas": r"Chromium [\d.]+, headless|on \d+ cores \(load [\d.]+\)",
    "autoencoder": r"\d+ threads",
    "barcodes": r"One thread",
    "codes": r"one thread",
    "coverage": r"on one core",
    "graph": r"\d+ threads",
    "image_loading": r"\d+ threads of \w+ \(\d+ cores\), load average [\d.]+",
    "image_prediction": r"\d+ thread\(s\) in the plain loop, \d+ cores, load [\d.]+ at the end, torch [\w.+]+",
    "likelihood": r"\d+ threads",
    "reading": r"\d+ threads of \w+, Python [\d.]+\d",
    "sae": r"one thread|the machine may have had other work",
    "saliency": r"one thread|the machine was shared \(load [\d.]+ on \d+ cores\)",
    "tokens": r"\d+ cores, one thread on each, load [\d.]+ at the end, torch [\w.+]+",
}
"""What each result says of the machine and of what else ran there, as patterns of its text."""

UNMEASURED = (
    (
        "Anything on a GPU, or on several",
        "no GPU was at hand; commands take `--device cuda`, figures are missing",
    ),
    (
        "`torch.compile` in prediction",
        "it exists (`--compile` of `bench_image_prediction.py`) and was not timed",
    ),
    ("annbatch, scvi-tools 1.5", "they need Python 3.12; these figures are those of 3.11"),
    ("torch-geometric with pyg-lib and torch-sparse", "pyg-lib and torch-sparse had no wheels to install"),
    ("DinoBloom-B with its own weights", "not at hand; the timed network has its shape and random weights"),
    (
        "CytoSAE trained to its end as published",
        "257 million tokens are days on a CPU; the step is timed instead",
    ),
    ("Energy, and machines with more than two cores", "not at hand"),
)


def page() -> str:
    """Return the text of the page."""
    parts = [
        "# Benchmarks",
        NOTICE,
        "Research use only; not a medical device.",
        "Every figure is read from a table below; none was typed by hand. A ratio says how many times as fast as the\n"
        "peer we are: above 1 is faster. Both sides did the same work, with as many threads, on a machine that mostly\n"
        "had other work too: where there is a ratio by the time of the processor, it is the steadier one. Goals were\n"
        "set before; where both ratios stand, both must reach it. `make bench` measures all of it again.",
        "## Against the peers",
        _table(
            ("What", "Peer", "By the clock", "By processor", "Goal", "Met", "Table"), map(ratio_row, RATIOS)
        ),
        "## Goals that are no ratio to a peer",
        _table(("What", "Figure", "Goal", "Met", "Table"), map(amount_row, AMOUNTS)),
        "## Where this was measured",
        "As the tables say it. `make bench` keeps the name of the processor, memory, versions and the day beside a\n"
        "table (`benchmarks/results/NAME.json`); where they are missing here, nobody kept them, and we do not guess.",
        _table(("Table", "Machine", "Script"), map(_machine_row, names())),
        "## What could not be measured",
        _table(("What", "Why"), UNMEASURED),
        "## The tables",
        *map(own_table, names()),
    ]
    return "\n\n".join(parts) + "\n"


def names() -> list[str]:
    """Return the names of the results there are."""
    return sorted(path.stem for path in RESULTS.glob("*.md"))


def ratio_row(ratio: Ratio) -> tuple[str, ...]:
    """Return the cells of one ratio."""
    found = [figure(ratio.table, place) if place else None for place in (ratio.clock, ratio.processor)]
    clock, processor = ("" if text is None else text for text in found)
    met = _met(ratio.goal, [number(text) for text in found if text])
    return ratio.what, peer_of(ratio), clock, processor, str(ratio.goal or ""), met, _link(ratio.table)


def amount_row(amount: Amount) -> tuple[str, ...]:
    """Return the cells of one amount."""
    found = figure(amount.table, amount.place)
    met = _met(amount.goal, [number(found)])
    return amount.what, f"{found}{amount.goal.unit}", str(amount.goal), met, _link(amount.table)


def peer_of(ratio: Ratio) -> str:
    """Return the name of the peer, with the version that the result names."""
    if not ratio.peer.startswith("re:"):
        return ratio.peer
    words, _, rest = ratio.peer.removeprefix("re:").partition(" with ")
    match = re.search(words, _text(ratio.table))
    if match is None:
        raise SystemExit(
            f"{ratio.table}.md names no {words}: mend the line of {ratio.what} in tools/benchmarks.py"
        )
    return match[0] + (f" with {rest}" if rest else "")


def figure(table: str, place: Place) -> str:
    """Return a figure as its result has it; leave with a sentence where the result has changed its form."""
    text = _text(table)
    if place.sentence:
        match = re.search(place.sentence, text)
        found = match[1] if match else None
    else:
        found = next(_cells(text, place), None)
    if found is None:
        raise SystemExit(f"{table}.md has no {place}: mend its line in tools/benchmarks.py")
    return found


def number(text: str) -> float:
    """Return the number at the beginning of a figure.

    Examples
    --------
    >>> number("8,352"), number("3.15 (3.15)"), number("334.1x")
    (8352.0, 3.15, 334.1)
    """
    match = re.match(r"[\d,]+(?:\.\d+)?", text)
    if match is None:
        raise SystemExit(f"no number: {text!r}")
    return float(match[0].replace(",", ""))


def own_table(name: str) -> str:
    """Return a result as a section: its title and all it says, headings two levels down."""
    return re.sub(r"^(#+) ", r"##\1 ", _text(name).strip(), flags=re.MULTILINE)


def machine(name: str) -> str:
    """Return what is known of the machine of a result: its own words, and what `make bench` kept beside it."""
    text = " ".join(_text(name).split())
    said = ", ".join(dict.fromkeys(match[0] for match in re.finditer(MACHINES.get(name, "(?!)"), text)))
    kept = RESULTS / f"{name}.json"
    about = json.loads(kept.read_text()) if kept.is_file() else {}
    if about.get("table_sha256") != hashlib.sha256((RESULTS / f"{name}.md").read_bytes()).hexdigest():
        return said
    return f"{said}; {about['processor']}, {about['cores']} cores, {about['memory_gb']} GB, {about['made']}"


def _cells(text: str, place: Place) -> Iterator[str]:
    """Give the cells at a place, of every table that has one; `#2` behind a heading takes its second column."""
    heading, _, which = place.column.partition("#")
    nth = int(which or 1) - (0 if not heading else 1)
    for header, rows in _tables(text):
        columns = [i for i, name in enumerate(header) if name.startswith(heading)] if heading else [0, 1]
        if heading in header:
            columns = [i for i, name in enumerate(header) if name == heading]
        for row in rows:
            if " | ".join(row).startswith(place.row) and len(columns) > (nth if heading else nth - 1):
                yield row[columns[nth if heading else nth - 1]]


def _tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        header, _, *rows = (
            [cell.strip() for cell in line.strip()[1:-1].split("|")] for line in block.splitlines()
        )
        yield header, rows


def _met(goal: Goal | None, figures: list[float]) -> str:
    if goal is None:
        return ""
    held = [goal.holds(value) for value in figures]
    return "yes" if all(held) else "in part" if any(held) else "**no**"


def _machine_row(name: str) -> tuple[str, ...]:
    script = ROOT / "benchmarks" / f"bench_{name}.py"
    return _link(name), machine(name), f"`benchmarks/{script.name}`" if script.is_file() else ""


def _link(name: str) -> str:
    title = _text(name).partition("\n")[0].removeprefix("# ")
    slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    return f"[{name}](#{slug})"


def _text(name: str) -> str:
    return (RESULTS / f"{name}.md").read_text()


def _table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]] | tuple[tuple[str, ...], ...]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE}\n")
