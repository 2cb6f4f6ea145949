"""How often the 95 % intervals over patients hold the truth: 1,000 simulated studies per design.

Run `python benchmarks/bench_coverage.py benchmarks/results`. Expected time: about 15 minutes on one core.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trilineage.core.records import Prediction
from trilineage.evaluation.intervals import aggregate_patients, score_predictions
from trilineage.evaluation.metrics import METRICS, classification_metrics

N_STUDIES = 1000
N_TRUTH = 20_000
"""Patients of the one large study whose metrics count as the truth."""


@dataclass(frozen=True)
class Design:
    """One kind of study."""

    name: str
    n_patients: int
    n_classes: int
    signal: float
    unit: str = "sample"
    n_each: int = 30


DESIGNS = (
    Design("40 patients, 2 classes, clustered cells", 40, 2, 1.2),
    Design("40 patients, 4 classes, clustered cells", 40, 4, 1.5),
    Design("40 patients, 2 classes, accuracy .95", 40, 2, 2.6),
    Design("40 patients, 2 classes, scored by patient", 40, 2, 0.8, unit="patient"),
    Design("28 patients, 7 classes, clustered cells", 28, 7, 2.0),
    Design("20 patients, 2 classes, clustered cells", 20, 2, 1.2),
    Design("20 patients, 2 classes, scored by patient", 20, 2, 0.8, unit="patient"),
)


def draw(design: Design, n_patients: int, seed: int) -> Prediction:
    """Draw patients whose cells share an effect of their own, in classes of equal size, 5 cells or more each."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(n_patients), rng.poisson(design.n_each - 5, n_patients) + 5)
    labels = codes % design.n_classes
    logits = 0.8 * rng.normal(size=(len(codes), design.n_classes))
    logits += 0.8 * rng.normal(size=(n_patients, design.n_classes))[codes]
    logits[np.arange(len(codes)), labels] += design.signal
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return Prediction(
        samples=np.array([f"s{i}" for i in range(len(codes))]),
        patients=np.array([f"p{i:05d}" for i in codes]),
        classes=tuple(f"class {code}" for code in range(design.n_classes)),
        probabilities=odds / odds.sum(axis=1, keepdims=True),
        labels=labels,
    )


def coverage(design: Design, n_studies: int = N_STUDIES) -> dict[str, tuple[float, float, float]]:
    """Return truth, coverage and mean width of the interval of each metric."""
    large = draw(design, N_TRUTH, seed=10**6)
    large = aggregate_patients(large) if design.unit == "patient" else large
    truth = classification_metrics(large.labels, large.probabilities)
    holds = {name: [] for name in METRICS}
    widths = {name: [] for name in METRICS}
    for study in range(n_studies):
        prediction = draw(design, design.n_patients, seed=study)
        for score in score_predictions(prediction, unit=design.unit, seed=study):
            low, high = (np.nan, np.nan) if score.low is None else (score.low, score.high)
            holds[score.metric].append(low <= truth[score.metric] <= high)
            widths[score.metric].append(high - low)
    return {name: (truth[name], np.mean(holds[name]), np.nanmean(widths[name])) for name in METRICS}


def table_of(design: Design, found: dict[str, tuple[float, float, float]]) -> str:
    """Return a markdown table of one design."""
    rows = [f"## {design.name}", "", "| metric | truth | coverage, % | mean width |", "|---|---|---|---|"]
    rows += [f"| {name} | {t:.3f} | {100 * c:.1f} | {w:.3f} |" for name, (t, c, w) in found.items()]
    return "\n".join(rows)


def main(results_dir: Path) -> None:
    """Write `coverage.md`."""
    began = time.perf_counter()
    parts = [table_of(design, coverage(design)) for design in DESIGNS]
    minutes = (time.perf_counter() - began) / 60
    head = (
        "# Coverage of the 95 % intervals over patients\n\n"
        f"{N_STUDIES} simulated studies per design, 1,000 resamples each; the standard error of a coverage is about "
        "0.7 points. The cells of a patient share an effect of their own. The calibration error (ece) is biased "
        "upwards in small studies, so its interval is not to be trusted there.\n"
        f"Made by `benchmarks/bench_coverage.py` in {minutes:.0f} minutes on one core."
    )
    results_dir.mkdir(parents=True, exist_ok=True)
    (results_dir / "coverage.md").write_text("\n\n".join([head, *parts]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
