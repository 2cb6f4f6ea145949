"""Patient-grouped, stratified splits that refuse to leak."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Int, Shaped
from pydantic import Field

from trilineage.core.config import Settings
from trilineage.core.errors import CohortError, ColumnError, ConfigError, LeakageError
from trilineage.core.seeding import generator
from trilineage.data.cohort import Cohort, shown
from trilineage.data.stratify import deal_folds, deal_shares

Part = Literal["train", "valid", "test", "unused"]
PARTS = ("train", "valid", "test", "unused")


class SplitSettings(Settings):
    """How the patients are divided."""

    kind: Literal["holdout", "folds", "sites", "column"] = "holdout"
    """One held-out part, cross-validation, leave-one-site-out, or a column that already says which is which."""
    test_fraction: float = Field(default=0.3, gt=0, lt=1)
    """Share of the patients of each class held out for testing (`holdout`)."""
    valid_fraction: float = Field(default=0.15, ge=0, lt=1)
    """Share of the training patients of each class kept for early stopping and calibration; 0 for none."""
    n_folds: int = Field(default=5, ge=2)
    """Number of parts of the cross-validation (`folds`)."""
    column: str | None = None
    """Column of the sample table that says who trains and who tests (`column`)."""
    train_values: tuple[str, ...] = ("train",)
    """Values of the column that mean training."""
    test_values: tuple[str, ...] = ("test",)
    """Values of the column that mean testing; samples with any other value are not used."""
    valid_values: tuple[str, ...] = ()
    """Values of the column that mean validation; empty takes `valid_fraction` of the training patients instead."""


@dataclass(frozen=True)
class Split:
    """Which part each sample of a cohort plays."""

    parts: Shaped[np.ndarray, " sample"]
    """train, valid, test or unused for each sample (str)."""
    name: str
    """What distinguishes this split: `holdout`, `fold 1 of 5`, `site Paris`."""
    note: str = ""
    """What a reader of the scores should know, or nothing."""

    def positions(self, part: Part) -> Int[np.ndarray, " chosen"]:
        """Return the positions of the samples of one part, ascending."""
        return np.flatnonzero(self.parts == part)


def make_splits(
    cohort: Cohort,
    settings: SplitSettings,
    *,
    seed: int,
    column_values: Shaped[np.ndarray, " sample"] | None = None,
) -> tuple[Split, ...]:
    """Make the splits that the settings ask for.

    Parameters
    ----------
    cohort
        The samples with their patients and labels.
    settings
        Kind and sizes.
    seed
        The same seed gives the same splits.
    column_values
        Values of `settings.column`, needed for kind `column` only.

    Raises
    ------
    ConfigError
        Kind `column` without its values.
    CohortError, ColumnError, LeakageError
        As the maker of each kind.
    """
    if settings.kind == "folds":
        return patient_folds(
            cohort, n_folds=settings.n_folds, valid_fraction=settings.valid_fraction, seed=seed
        )
    if settings.kind == "sites":
        return leave_one_site_out(cohort, valid_fraction=settings.valid_fraction, seed=seed)
    if settings.kind == "holdout":
        sizes = {"test_fraction": settings.test_fraction, "valid_fraction": settings.valid_fraction}
        return (patient_holdout(cohort, **sizes, seed=seed),)
    if column_values is None:
        raise ConfigError(
            "a split by column needs a column",
            seen=f"split.column = {settings.column}",
            allowed="a column of the sample table",
            remedy="set split.column",
        )
    split = column_split(
        cohort,
        column_values,
        train=settings.train_values,
        test=settings.test_values,
        valid=settings.valid_values,
        valid_fraction=settings.valid_fraction,
        seed=seed,
    )
    return (split,)


def patient_holdout(cohort: Cohort, *, test_fraction: float, valid_fraction: float, seed: int) -> Split:
    """Hold out about `test_fraction` of the patients of each class, at least one and never all.

    Raises
    ------
    CohortError
        A class has fewer than two patients.
    """
    cohort.require_patients(2)
    chosen = deal_shares(cohort.label_counts, test_fraction, rng=generator(seed, "split", "holdout"))
    return _finish(cohort, chosen[cohort.patient_codes] == 1, "holdout", valid_fraction, seed)


def patient_folds(cohort: Cohort, *, n_folds: int, valid_fraction: float, seed: int) -> tuple[Split, ...]:
    """Cross-validate over patients: each patient is tested in exactly one fold.

    Raises
    ------
    CohortError
        A class has fewer patients than folds (or, where patients carry several labels, fewer than two).
    """
    has_one_label = cohort.patient_labels() is not None
    cohort.require_patients(
        n_folds if has_one_label else 2,
        remedy="ask for fewer folds (split.n_folds) or leave these classes out",
    )
    if len(cohort.patient_names) < n_folds:
        raise CohortError(
            "fewer patients than folds",
            seen=f"{len(cohort.patient_names)} patients",
            allowed=f"at least {n_folds}",
            remedy="ask for fewer folds",
        )
    folds = deal_folds(cohort.label_counts, n_folds, rng=generator(seed, "split", "folds"))
    of_sample = folds[cohort.patient_codes]
    return tuple(
        _finish(cohort, of_sample == fold, f"fold {fold + 1} of {n_folds}", valid_fraction, seed)
        for fold in range(n_folds)
    )


def leave_one_site_out(cohort: Cohort, *, valid_fraction: float, seed: int) -> tuple[Split, ...]:
    """Test each site on a model of all the others.

    Raises
    ------
    CohortError
        No site is known, there is only one, or the other sites hold fewer than two classes.
    LeakageError
        A patient was seen at several sites.
    """
    sites = [] if cohort.sites is None else np.unique(cohort.sites).tolist()
    if len(sites) < 2:
        raise CohortError(
            "leave-one-site-out needs several sites",
            seen=shown(sites) or "no site column",
            allowed="at least 2 sites",
            remedy="name the site column or choose another kind of split",
        )
    return tuple(
        _finish(cohort, cohort.sites == site, f"site {site}", valid_fraction, seed) for site in sites
    )


def column_split(
    cohort: Cohort,
    values: Shaped[np.ndarray, " sample"],
    *,
    train: tuple[str, ...],
    test: tuple[str, ...],
    valid: tuple[str, ...] = (),
    valid_fraction: float,
    seed: int,
) -> Split:
    """Follow a column that already says which samples train, test and validate; any other value is unused.

    Without values that mean validation, `valid_fraction` of the training patients validate.

    Raises
    ------
    ConfigError
        A value means both.
    ColumnError
        A value that the column does not hold.
    LeakageError
        A patient, or the same content, on both sides.
    """
    text = np.asarray(values).astype(str)
    meant = (*train, *test, *valid)
    several = sorted({value for value in meant if meant.count(value) > 1})
    if several:
        raise ConfigError(
            "a value of the split column has two meanings",
            seen=shown(several),
            allowed="each value once, for training, testing or validation",
            remedy="mend split.train_values, split.test_values or split.valid_values",
        )
    absent = [value for value in meant if value not in set(np.unique(text).tolist())]
    if absent or not train or not test:
        raise ColumnError(
            "the split column lacks values for training, testing or validation",
            seen=shown(absent) or "no value given",
            allowed=shown(np.unique(text)),
            remedy="mend split.train_values, split.test_values or split.valid_values",
        )
    is_used, is_valid = np.isin(text, meant), np.isin(text, valid)
    if not valid:
        return _finish(cohort, np.isin(text, test), "column", valid_fraction, seed, is_used=is_used)
    split = _finish(cohort, np.isin(text, test), "column", 0.0, seed, is_used=is_used & ~is_valid)
    split = replace(split, parts=np.where(is_valid, "valid", split.parts))
    check_leakage(cohort, split)
    return split


def training_only(cohort: Cohort, *, valid_fraction: float, seed: int) -> Split:
    """Give every patient to training but those kept for validation: for the final model after a cross-validation.

    Raises
    ------
    CohortError
        The cohort holds fewer than two classes.
    """
    split = Split(np.full(len(cohort), "train", dtype="<U6"), "all patients")
    _require_trainable(cohort, split)
    if valid_fraction > 0:
        split = _carve_validation(cohort, split, valid_fraction, seed)
    check_leakage(cohort, split)
    return split


def sample_holdout(
    cohort: Cohort, *, test_fraction: float, valid_fraction: float, seed: int, allow_leakage: bool = False
) -> Split:
    """Split samples at random, whoever they belong to: leaky, kept only to show what leakage does to a score.

    Raises
    ------
    LeakageError
        Unless `allow_leakage`.
    """
    if not allow_leakage:
        raise LeakageError(
            "a random split of samples puts the same patients on both sides",
            allowed="patient_holdout, patient_folds, leave_one_site_out",
            remedy="pass allow_leakage=True only to document the leak",
        )
    rng = generator(seed, "split", "samples")
    parts = np.full(len(cohort), "train", dtype="<U6")
    for code in range(len(cohort.classes)):
        members = rng.permutation(np.flatnonzero(cohort.label_codes == code))
        n_test = round(test_fraction * len(members))
        n_valid = round(valid_fraction * (len(members) - n_test))
        parts[members[:n_test]] = "test"
        parts[members[n_test : n_test + n_valid]] = "valid"
    return Split(parts, "random samples", note="leaky on purpose: samples of one patient are on both sides")


def check_leakage(cohort: Cohort, split: Split) -> None:
    """Refuse a split with the same patient, or the same content hash, in two of train, valid and test.

    Raises
    ------
    LeakageError
        Names the patients, or the samples whose content is the same.
    """
    parts = np.searchsorted(np.array(sorted(PARTS)), split.parts)
    is_used = split.parts != "unused"
    leaking = _shared(cohort.patients[is_used], parts[is_used])
    if len(leaking):
        raise LeakageError(
            f"{len(leaking)} patients are in more than one part of the split '{split.name}'",
            seen=shown(leaking),
            allowed="every patient in one part",
            remedy="group the split by patient, or check the patient column",
        )
    if cohort.content is None:
        return
    is_compared = is_used & (cohort.content != "")
    doubled = _shared(cohort.content[is_compared], parts[is_compared])
    if len(doubled):
        names = cohort.samples[is_compared & np.isin(cohort.content, doubled)]
        raise LeakageError(
            f"the same content is in more than one part of the split '{split.name}'",
            seen=shown(names),
            allowed="every measurement once",
            remedy="drop the copies, or give them one patient name",
        )


def split_table(cohort: Cohort, splits: tuple[Split, ...]) -> dict[str, list[str]]:
    """Return the columns sample, patient, label, fold and part of the splits.

    One split lists every sample. Several (folds, sites) list each sample in the split that tests it.
    """
    table: dict[str, list[str]] = {name: [] for name in ("sample", "patient", "label", "fold", "part")}
    for split in splits:
        chosen = np.arange(len(cohort)) if len(splits) == 1 else split.positions("test")
        table["sample"] += cohort.samples[chosen].tolist()
        table["patient"] += cohort.patients[chosen].tolist()
        table["label"] += cohort.labels[chosen].tolist()
        table["fold"] += [split.name] * len(chosen)
        table["part"] += split.parts[chosen].tolist()
    return table


def _finish(
    cohort: Cohort,
    is_test: Shaped[np.ndarray, " sample"],
    name: str,
    valid_fraction: float,
    seed: int,
    *,
    is_used: Shaped[np.ndarray, " sample"] | None = None,
) -> Split:
    """Write the parts down, carve the validation patients out of the training patients and look for leaks."""
    parts = np.where(is_test, "test", "train").astype("<U6")
    if is_used is not None:
        parts[~is_used] = "unused"
    split = Split(parts, name)
    check_leakage(cohort, split)
    _require_trainable(cohort, split)
    split = replace(split, note=_absent_classes(cohort, split))
    if valid_fraction > 0:
        split = _carve_validation(cohort, split, valid_fraction, seed)
    check_leakage(cohort, split)
    return split


def _carve_validation(cohort: Cohort, split: Split, valid_fraction: float, seed: int) -> Split:
    train = split.positions("train")
    inside = cohort.subset(train)
    counts = inside.label_counts
    rng = generator(seed, "split", "valid", split.name)
    is_valid = deal_shares(counts, valid_fraction, rng=rng)[inside.patient_codes] == 1
    parts = split.parts.copy()
    parts[train[is_valid]] = "valid"
    validated = np.unique(inside.labels[is_valid])
    missing = [name for name in np.unique(inside.labels).tolist() if name not in validated]
    note = f"too few training patients for one in validation: {shown(missing)}" if missing else ""
    return replace(split, parts=parts, note="; ".join(filter(None, (split.note, note))))


def _require_trainable(cohort: Cohort, split: Split) -> None:
    trained = np.unique(cohort.labels[split.positions("train")])
    if len(trained) < min(2, len(cohort.classes)):  # whoever needs classes has refused a cohort of one before
        raise CohortError(
            f"the training part of the split '{split.name}' has fewer than two classes",
            seen=shown(trained) or "none",
            allowed="at least 2 classes",
            remedy="choose another split",
        )


def _absent_classes(cohort: Cohort, split: Split) -> str:
    trained = np.unique(cohort.labels[split.positions("train")])
    tested = np.unique(cohort.labels[split.positions("test")])
    unseen, untested = np.setdiff1d(tested, trained), np.setdiff1d(trained, tested)
    notes = [
        f"never seen in training: {shown(unseen)}" if len(unseen) else "",
        f"not in the test part: {shown(untested)}" if len(untested) else "",
    ]
    return "; ".join(filter(None, notes))


def _shared(
    names: Shaped[np.ndarray, " sample"], parts: Int[np.ndarray, " sample"]
) -> Shaped[np.ndarray, " shared"]:
    """Return the names that occur in more than one part."""
    unique, codes = np.unique(names, return_inverse=True)
    occurs = np.zeros((len(unique), int(parts.max(initial=0)) + 1), dtype=bool)
    occurs[codes, parts] = True
    return unique[occurs.sum(axis=1) > 1]
