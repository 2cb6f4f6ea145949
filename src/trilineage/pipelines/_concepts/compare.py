"""Cohorts concept by concept, or dictionaries latent by latent: what shifted, is new, is lost, comes back."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.errors import ArtifactError, CohortError, ConfigError
from trilineage.core.records import Score
from trilineage.data.tokens.reader import require_same_encoder
from trilineage.evaluation.barcodes.shift import ShiftProfile, shift_report
from trilineage.evaluation.concepts.stability import stability
from trilineage.pipelines._concepts import profiles
from trilineage.pipelines._concepts.results import FIGURES
from trilineage.pipelines._concepts.store import KIND, PROFILE, read_dictionary
from trilineage.pipelines._concepts.verdicts import is_model
from trilineage.pipelines._runs import begin_run
from trilineage.training.place import choose_place

COMPARE_KIND = "concepts.compare"
PAIRS = "pairs.json"


class CompareConfig(Settings):
    """Configuration of `trilineage concepts compare`."""

    cohorts: tuple[str, ...] = ()
    """Runs of `fit` or folders of `predict`, the one that concepts were described on first."""
    seed: int = 0
    """Decides the resamples of the intervals."""


@dataclass(frozen=True)
class Compared:
    """One cohort, or one dictionary, with what is needed to compare it."""

    name: str
    """Its folder."""
    profile: ShiftProfile
    """How often and how strongly its latents fire."""
    run: Run | None
    """The Run, where it is one and its dictionary can be read."""


def compare_cohorts(cohorts: Sequence[Path | str], out: Path, *, overwrite: bool, seed: int = 0) -> Run:
    """See `trilineage.concepts.compare`."""
    if len(cohorts) < 2:
        raise ConfigError("there is nothing to compare", seen=len(cohorts), allowed="two or more cohorts")
    config = CompareConfig(cohorts=tuple(str(one) for one in cohorts), seed=seed)
    every = [_open(Path(one)) for one in cohorts]
    for one in every[1:]:
        require_same_encoder(every[0].profile.encoder_key, one.profile.encoder_key)
    command = f"trilineage concepts compare {' '.join(config.cohorts)} --out {out}"
    place = choose_place(seed, "cpu")
    run = begin_run(
        out,
        kind=COMPARE_KIND,
        config=config,
        seed=seed,
        command=command,
        data={"cohorts": list(config.cohorts)},
        place=place,
        overwrite=overwrite,
    )
    rows: list[dict[str, Any]] = []
    scores: list[Score] = []
    for first, second in itertools.combinations(every, 2):
        row, found = _pair(first, second, seed)
        rows.append(row)
        scores += found
    run.write_json(PAIRS, rows)
    run.add_scores(scores)
    run.write_json("dictionaries.json", [_figures(one) for one in every])
    run.finish()
    return run


def _open(path: Path) -> Compared:
    """Open a Run of `fit` or a folder of `predict`."""
    if (path / "run.json").is_file():
        run = Run.open(path, kind=KIND)
        return Compared(path.name, profiles.from_arrays(run.read_arrays(PROFILE)), run)
    if not (path / PROFILE).is_file():
        raise ArtifactError(
            f"{path} is no cohort that can be compared",
            seen="nothing there" if not path.exists() else f"no run.json and no {PROFILE}",
            allowed="a Run of `trilineage concepts fit`, or a folder of `predict`",
            remedy="name such a folder",
        )
    with np.load(path / PROFILE, allow_pickle=False) as arrays:
        return Compared(path.name, profiles.from_arrays(dict(arrays)), None)


def _pair(first: Compared, second: Compared, seed: int) -> tuple[dict[str, Any], list[Score]]:
    """Compare two: as cohorts where the dictionary is one, else as dictionaries."""
    about = {"first": first.name, "second": second.name}
    if first.profile.dictionary_key != second.profile.dictionary_key:
        return {**about, "kind": "dictionaries", **_matched(first, second)}, []
    try:
        report = shift_report(first.profile, second.profile, seed=seed)
    except CohortError as error:
        return {**about, "kind": "cohorts", "note": error.what}, []
    scores = [replace(score, subject=f"{first.name} and {second.name}") for score in report.scores]
    return {**about, "kind": "cohorts", "note": "", **report.to_dict()}, scores


def _matched(first: Compared, second: Compared) -> dict[str, Any]:
    """Match the strong latents of two dictionaries on the same tokens."""
    if first.run is None or second.run is None:
        raise ArtifactError(
            "predictions of different autoencoders cannot be compared",
            seen=f"{first.name} and {second.name}",
            allowed="one autoencoder for both, or the Runs of both",
            remedy="predict both with the same Run, or name the Runs themselves",
        )
    rows = [read_dictionary(one.run).decoder_weight.detach().numpy() for one in (first, second) if one.run]
    strong = [one.profile.mean_activation() > 1e-3 for one in (first, second)]
    there, back = (
        stability(rows[a], [rows[b]], alive=[strong[b]]).summary(strong[a]) for a, b in ((0, 1), (1, 0))
    )
    return {"note": "", "first_in_second": there, "second_in_first": back}


def _figures(one: Compared) -> dict[str, Any]:
    """Return the figures of the dictionary of a Run beside its name."""
    if one.run is None or not one.run.has(FIGURES):
        return {"name": one.name}
    return {"name": one.name, **next(row for row in one.run.read_json(FIGURES) if is_model(row))}
