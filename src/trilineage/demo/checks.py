"""Claims that every demo makes, computed from the files of the Runs: scores, maps on the cell, gain of the fusion."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.records import Comparison, Prediction, Score
from trilineage.demo.claims import Claim
from trilineage.evaluation.intervals import score_predictions
from trilineage.evaluation.settings import EvaluationSettings
from trilineage.report.nouns import nouns_of

WORDS: Mapping[str, str] = {
    "rna": "Expression",
    "images": "Cell images",
    "concepts": "Concepts of cells",
    "cases": "All lineages together",
}
"""What each Run goes by, for people."""

FUSED, BEST_METRIC = "fused", "balanced_accuracy"
"""Subject of the fusion in the Run of cases, and the metric by which its gain is judged."""

Diagnoses = Mapping[str, str]
"""True diagnosis of each patient."""


def score_claim(run: Run, lineage: str, diagnoses: Diagnoses, *, seed: int = 0) -> Claim:
    """Score the held-out patients of a Run against the true diagnoses, whatever labels the Run was given.

    It holds if the interval over patients lies above guessing; where patients are not known, over images.
    """
    prediction = with_truth(run.predictions(), diagnoses)
    settings = EvaluationSettings(metrics=(BEST_METRIC,), n_nulls=0)
    score = score_predictions(prediction, unit="patient", settings=settings, seed=seed, subject=lineage)[0]
    assert prediction.labels is not None
    guess = 1.0 / len(np.unique(prediction.labels[prediction.labels >= 0]))
    return Claim(
        f"{lineage}.score",
        f"{WORDS[lineage]}: better than guessing on {score.n_patients} held-out {nouns_of(run).patient}s",
        f"balanced accuracy {scored(score)}",
        f"guessing: {guess:.2f}",
        None if score.low is None else score.low > guess,
        (f"{lineage}/predictions.npz",),
        "" if score.low is not None else "too few patients for an interval",
    )


def with_truth(prediction: Prediction, diagnoses: Diagnoses) -> Prediction:
    """Return predictions with the true diagnosis of each patient as label, -1 where it is no class."""
    code = {name: place for place, name in enumerate(prediction.classes)}
    labels = [code.get(diagnoses.get(str(name), ""), -1) for name in prediction.patients]
    return replace(prediction, labels=np.array(labels, dtype=np.int64))


def maps_claim(run: Run) -> Claim:
    """Ask whether the evidence of the maps lies inside the cell more than that of maps of noise."""
    file = "explain/scores.json"
    scores = {(one.subject, one.metric): one for one in run.scores(file)}
    maps = next(
        (one for key, one in scores.items() if key[1] == "energy_inside" and key[0] != "random map"), None
    )
    noise = scores.get(("random map", "energy_inside"))
    name, text = "images.maps", "Maps of the images point at the cell, not at what lies around it"
    if maps is None or noise is None:
        return Claim(name, text, "no map was held against a cell", "", None, ())
    return Claim(
        name,
        text,
        f"share of the evidence inside the cell {scored(maps)}",
        f"maps of noise: {noise.value:.2f}",
        maps.low is not None and maps.low > noise.value,
        (f"images/{file}",),
    )


def gain_claim(run: Run, best: str) -> Claim:
    """Ask whether all lineages together beat the best single one, chosen on validation patients; tell of the others."""
    found = gain_of(run.comparisons(), best)
    name, text = "cases.gain", "All lineages together beat the best single one"
    if found is None:
        return Claim(name, text, "there is one lineage only", "", None, ("cases/comparisons.json",))
    where = "" if found.population == "all" else f", patients {found.population}"
    others = [gain_of(run.comparisons(), one) for one in WORDS if one not in (best, "cases")]
    beside = "".join(f"; {_gained(one)} over {WORDS[one.second].lower()}" for one in others if one)
    return Claim(
        name,
        text,
        f"{_gained(found)} balanced accuracy over {WORDS[best].lower()}{where}",
        "no gain: 0",
        found.low is not None and found.low > 0,
        ("cases/comparisons.json", "cases/fusion.json"),
        f"the same {found.n_patients} held-out patients; the best was chosen on validation patients{beside}",
    )


def gain_of(comparisons: list[Comparison], best: str) -> Comparison | None:
    """Return the comparison of the fusion with a lineage, on as many patients as both know."""
    found = [one for one in comparisons if (one.first, one.second, one.metric) == (FUSED, best, BEST_METRIC)]
    return max(found, key=lambda one: one.n_patients, default=None)


def _gained(found: Comparison) -> str:
    """Return a difference with its interval and signs."""
    interval = "no interval" if found.low is None else f"{found.low:+.2f} to {found.high:+.2f}"
    return f"{found.difference:+.2f} ({interval})"


def scored(score: Score) -> str:
    """Return a score with its interval, two decimals each.

    Examples
    --------
    >>> scored(Score("accuracy", 0.5, 0.25, 0.75))
    '0.50 (0.25–0.75)'
    """
    ends = "" if score.low is None or score.high is None else f" ({score.low:.2f}–{score.high:.2f})"
    return f"{score.value:.2f}{ends}"
