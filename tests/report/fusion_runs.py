"""A Run of cases as `cases fit` leaves it, made by hand: nothing here was fused."""

from dataclasses import replace

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.records import Comparison, Score

WEIGHTS = {"rna": (1.4, 0.9, 1.9), "images": (0.8, 0.3, 1.2), "concepts": (0.05, 0.0, 0.4)}
LOSSES = {"rna": 0.41, "images": 0.63, "concepts": 1.9}


class FusionOptions(Settings):
    """Stands for the configuration of the recipe."""

    taxonomy: str = "leukemia"
    """Tree."""


def lineage(name):
    weight, low, high = WEIGHTS[name]
    return {
        "lineage": name,
        "run": f"runs/{name}-of-blood",
        "weight": weight,
        "low": low,
        "high": high,
        "temperature_alone": 0.8,
        "log_loss_alone": LOSSES[name],
        "classes": ["AML", "CML"],
        "nodes": ["AML", "CML"],
        "n_valid": 20,
        "n_test": 24,
    }


def fusion(**changes):
    """Return what `fusion.json` says."""
    conformal = {"coverage": 0.9, "score": "below", "threshold": 0.5, "n_patients": 21, "n_samples": 21}
    return {
        "taxonomy": "leukemia",
        "classes": ["AML", "CML"],
        "prior": [0.5, 0.5],
        "level": 0.95,
        "lineages": [lineage(name) for name in WEIGHTS],
        "best": "rna",
        "patients": {"weighed": 21, "valid": 22, "test": 28},
        "conformal": conformal | {"warning": "a shift breaks it"},
        "notes": [],
        **changes,
    }


def case(number, **changes):
    """Return a row of `cases.json`."""
    return {
        "patient": f"P{number}",
        "name": f"{number:03d}-P{number}",
        "label": "AML",
        "node": "AML",
        "decision": "AML",
        "probability": 0.83,
        "set": "acute",
        "is_known": True,
        "is_right": True,
        "lineages": ["rna", "images"],
        "called": {"rna": "AML", "images": "AML"},
        "certainty": {"rna": 0.8, "images": 0.7},
        "agreement": "agree",
        "parting": "AML",
        "divergence": 0.1,
        **changes,
    }


CASES = [
    case(1),
    case(2, agreement="part", parting="acute", decision="ALL", is_right=False),
    case(3, label="MDS", node="", is_known=False, is_right=False, lineages=["rna"], agreement="one lineage"),
]


def score(subject, value, *, metric="balanced_accuracy", population="all", n=24):
    low, high = value - 0.1, min(value + 0.1, 1.0)
    return Score(metric, value, low, high, subject, "patient", population, n, n)


def gain(second, difference, *, population="with every lineage", low=0.02):
    names = {"metric": "balanced_accuracy", "first": "fused", "second": second}
    found = Comparison(difference=difference, low=low, high=difference + 0.1, p_value=0.03, **names)
    return replace(found, unit="patient", population=population, n_patients=20)


def write_fusion(folder, *, cases=tuple(CASES), scores=None, comparisons=None, **changes):
    """Write a Run of cases that were fused."""
    run = Run.create(folder, kind="cases", config=FusionOptions(), seed=1, command="trilineage cases fit")
    run.write_json("fusion.json", fusion(**changes))
    run.write_json("cases.json", list(cases))
    every = [score("fused", 0.84), score("baseline: class shares", 0.5)]
    every += [score(name, 0.7, population="with every lineage", n=20) for name in ("fused", *WEIGHTS)]
    run.add_scores(every if scores is None else scores)
    both = [gain("rna", 0.14), gain("images", 0.2), gain("rna", 0.1, population="with rna")]
    run.add_comparisons(both if comparisons is None else comparisons)
    sets = [("set_coverage", 0.917), ("set_size", 1.4), ("set_is_leaf", 0.7), ("set_is_root", 0.0)]
    run.add_scores([score("model", value, metric=name) for name, value in sets], "conformal_scores.json")
    run.finish()
    return run
