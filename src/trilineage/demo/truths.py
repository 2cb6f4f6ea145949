"""Claims held against the simulator: parts as dealt, genes it changed, signs it planted, sets, unknown diagnoses."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from trilineage.core.artifacts import Run
from trilineage.data.simulate.truth import Truth
from trilineage.demo.claims import Claim

N_GENES = 20
"""Strongest genes of each diagnosis that are held against the simulator's."""
LEAST_FOLD = 4.0
"""How many times as often as by chance they must be right."""
LEAST_AUROC = 0.7
"""Held-out area from which a planted sign counts as found."""
FAR = 90.0
"""Percentile of the known patients beyond which a new patient counts as unlike training."""

Percentiles = Mapping[str, Mapping[str, float]]
"""For each lineage, how unlike training each new patient is: a percentile from 0 to 100."""

Targets = Sequence[Mapping[str, Any]]
"""Latents by what they find: target, subject (autoencoder or a control), held-out area with its lower end."""


def parts_claim(runs: Mapping[str, Run], patients: pd.DataFrame) -> Claim:
    """Ask whether every patient plays the part in every Run that the simulator dealt.

    Parameters
    ----------
    patients
        Columns patient and part.
    """
    dealt = dict(zip(patients["patient"].astype(str), patients["part"].astype(str), strict=True))
    wrong: set[str] = set()
    for run in runs.values():
        table = run.read_table("split.csv")
        wrong |= {
            name
            for name, part in zip(table["patient"], table["part"], strict=True)
            if part not in ("unused", dealt[name])
        }
    return Claim(
        "all.parts",
        "No patient who trains in one lineage is tested in another",
        f"{len(wrong)} patients in another part than dealt",
        f"{len(dealt)} patients, each in one part",
        not wrong,
        tuple(f"{name}/split.csv" for name in runs),
    )


def genes_claim(genes: Mapping[str, Sequence[str]], truth: Truth) -> Claim:
    """Ask how many of the strongest genes of each diagnosis the simulator changed.

    Parameters
    ----------
    genes
        Genes of each diagnosis, the strongest first.
    """
    shares = {
        name: float(np.isin(found[:N_GENES], list(truth.program(name))).mean())
        for name, found in genes.items()
        if truth.program(name)
    }
    chance = float(np.mean([len(truth.program(name)) / len(truth.genes) for name in shares]))
    mean = float(np.mean(list(shares.values())))
    return Claim(
        "rna.genes",
        f"The {N_GENES} strongest genes of a diagnosis are genes that the simulator changed, at least "
        f"{LEAST_FOLD:.0f} times as often as by chance",
        f"{mean:.0%} on average",
        f"chance: {chance:.0%}",
        mean >= LEAST_FOLD * chance,
        ("rna/explain/genes.csv", "cohort/blood.h5ad"),
        ", ".join(f"{name} {share:.0%}" for name, share in shares.items()),
    )


def signs_claim(targets: Targets, planted: Sequence[str]) -> Claim:
    """Ask how many planted signs have a latent of their own, chosen on training images and held against others.

    Parameters
    ----------
    targets
        Rows of `targets.json` of the Run of concepts.
    planted
        Columns that say what was planted (`has_cup_nucleus`).
    """
    wanted = {f"{name}=True": name.removeprefix("has_").replace("_", " ") for name in planted}
    tested = _tested(targets, "autoencoder", wanted)
    missing = [name for name in wanted.values() if name not in tested.areas]
    certain = [name for name in tested.found if name in tested.certain]
    notes = [
        "areas: " + ", ".join(f"{name} {area:.2f}" for name, area in tested.areas.items()),
        f"few patients have each sign; interval above one half: {', '.join(certain) or 'none'}",
        f"too few cells to test: {', '.join(missing)}" if missing else "",
    ]
    return Claim(
        "concepts.signs",
        f"Most planted signs have a concept that finds them in held-out images (area of at least {LEAST_AUROC})",
        f"{len(tested.found)} of {len(tested.areas)} found: {', '.join(tested.found) or 'none'}",
        f"{len(wanted)} signs were planted; a guess has an area of 0.5{_by_chance(targets, wanted)}",
        tested.holds,
        ("concepts/targets.json", "cohort/smears/images.csv"),
        "; ".join(filter(None, notes)),
    )


def written_claim(targets: Targets) -> Claim:
    """Ask how many of the classes and attributes that experts wrote down have a latent of their own.

    Parameters
    ----------
    targets
        Rows of `targets.json` of the Run of concepts.
    """
    wanted = {row["target"]: row["target"].replace("_", " ").replace("=", ": ") for row in targets}
    tested = _tested(targets, "autoencoder", wanted)
    missed = [f"{name} {area:.2f}" for name, area in tested.areas.items() if name not in tested.found]
    return Claim(
        "concepts.written",
        f"Most of what experts wrote of a cell has a concept that finds it in held-out images (area of at least "
        f"{LEAST_AUROC})",
        f"{len(tested.found)} of {len(tested.areas)} found, mean area {tested.mean:.2f}",
        f"a guess has an area of 0.5{_by_chance(targets, wanted)}",
        tested.holds,
        ("concepts/targets.json",),
        f"interval above one half: {len(tested.certain)}; not found: {', '.join(missed) or 'none'}",
    )


class _Tested(NamedTuple):
    """What latents find of some targets."""

    areas: Mapping[str, float]
    """Held-out area of each target that was tested."""
    certain: Sequence[str]
    """Targets whose interval lies above one half."""

    @property
    def found(self) -> list[str]:
        """Targets that count as found."""
        return [name for name, area in self.areas.items() if area >= LEAST_AUROC]

    @property
    def mean(self) -> float:
        """Mean area; NaN where nothing was tested."""
        return float(np.mean(list(self.areas.values()) or [np.nan]))

    @property
    def holds(self) -> bool | None:
        """Whether most were found; None where nothing was tested."""
        return len(self.found) > len(self.areas) / 2 if self.areas else None


def _tested(targets: Targets, subject: str, wanted: Mapping[str, str]) -> _Tested:
    """Return what a subject (the autoencoder or a control) finds of the targets, which go by their names for people."""
    rows = {
        wanted[row["target"]]: row
        for row in targets
        if row["subject"] == subject and row["target"] in wanted and row["value"] is not None
    }
    certain = [name for name, row in rows.items() if (row["low"] or 0.0) > 0.5]
    return _Tested({name: row["value"] for name, row in rows.items()}, certain)


def _by_chance(targets: Targets, wanted: Mapping[str, str]) -> str:
    """Say how many a dictionary of random directions finds, of the same size and chosen from in the same way."""
    tested = _tested(targets, "random dictionary", wanted)
    if not tested.areas:
        return ""
    return (
        f"; a random dictionary finds {len(tested.found)} of {len(tested.areas)}, mean area {tested.mean:.2f}"
    )


def sets_claim(is_held: Sequence[bool], coverage: float, sizes: Sequence[int] = ()) -> Claim:
    """Ask whether the sets hold the true diagnosis as often as promised, as far as so few patients can tell.

    Parameters
    ----------
    is_held
        Whether the set of each held-out patient holds the diagnosis.
    coverage
        What was promised, in (0, 1).
    sizes
        Diagnoses in the set of each patient: a set of all of them is held to nothing.
    """
    large = f"; sets name {np.mean(sizes):.1f} diagnoses on average" if len(sizes) else ""
    n_held, n_patients = int(np.sum(is_held)), len(is_held)
    high = float(stats.binomtest(n_held, n_patients, coverage).proportion_ci().high) if n_patients else 1.0
    return Claim(
        "cases.sets",
        "Conformal sets hold the diagnosis as often as promised",
        f"{n_held} of {n_patients} held-out patients",
        f"promised: {coverage:.0%}",
        high >= coverage if n_patients else None,
        ("cases/patients.csv", "cohort/patients.csv"),
        f"it holds unless {coverage:.0%} lies above the 95 % interval of the share, which ends at {high:.0%}{large}",
    )


def unknown_claim(percentiles: Percentiles, diagnoses: Mapping[str, str], known: Percentiles) -> Claim:
    """Ask whether patients with a diagnosis that nobody learned look unlike training to at least one lineage.

    Parameters
    ----------
    diagnoses
        True diagnosis of each new patient.
    known
        The same percentiles of test patients, whose diagnosis was learned: how many are called unlike training too.
    """
    highest = _highest(percentiles, diagnoses)
    n_far = sum(value >= FAR for value in highest)
    alarms = _highest(known, dict.fromkeys(name for own in known.values() for name in own))
    said = [
        f"{lineage}: {', '.join(f'{diagnoses[name]} {value:.0f}' for name, value in own.items())}"
        for lineage, own in percentiles.items()
    ]
    notes = [
        f"percentiles by {'; '.join(said)}",
        f"each lineage calls about {1 - FAR / 100:.0%} of patients like those of training so; a diagnosis that differs "
        "from the learned ones by less than patients differ anyway is found by none",
    ]
    return Claim(
        "new.unknown",
        "Patients with a diagnosis that nobody learned look unlike training to at least one lineage",
        f"{n_far} of {len(highest)} beyond the {FAR:.0f}th percentile of known patients; so are "
        f"{sum(value >= FAR for value in alarms)} of {len(alarms)} held-out patients whose diagnosis was learned",
        ", ".join(diagnoses.values()),
        n_far == len(highest) if percentiles else None,
        ("new", "cohort/patients.csv", *(f"{lineage}/unlike_training.csv" for lineage in known)),
        "; ".join(notes) if percentiles else "",
    )


def _highest(percentiles: Percentiles, names: Iterable[str]) -> list[float]:
    """Return the highest percentile of each patient over the lineages that have seen it; NaN where none has."""
    return [
        max((own[name] for own in percentiles.values() if name in own), default=float("nan"))
        for name in names
    ]
