"""What the Runs of the lineages know: the part, label and probabilities of each patient, in the words of one tree."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from trilineage.core.artifacts import CONFIG_NAME, Run
from trilineage.core.errors import ArtifactError, ConfigError, LabelError, LeakageError
from trilineage.core.files import sha256_bytes
from trilineage.core.records import Prediction
from trilineage.data.cohort import shown
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.intervals import aggregate_patients
from trilineage.pipelines._cases.config import Config

PARTS = {"valid": "validation", "test": "predictions"}
"""Name of the predictions of each part that is read."""
READ = (CONFIG_NAME, "split.csv", "predictions.npz", "validation.npz")
"""Files of a Run that fusion depends on."""
_NOBODY = ("", "unlabelled", "nan")
"""Labels of images and samples that have none."""


@dataclass(frozen=True)
class Lineage:
    """What one Run knows."""

    name: str
    """`rna`, `images` or `concepts`."""
    run: Run
    """The Run, finished."""
    classes: tuple[str, ...]
    """Its own classes."""
    parts: Mapping[str, str]
    """Part of each patient: train, valid or test."""
    labels: Mapping[str, frozenset[str]]
    """Labels of each patient as the Run writes them, without empty ones."""
    said: Mapping[str, Prediction]
    """For `valid` and `test`, probabilities of each patient over its own classes; labels are left out."""
    counts: Mapping[str, int]
    """Cells, samples or images behind the opinion on each patient."""
    is_balanced: bool
    """Whether it was trained so that every class weighs the same."""

    def trained(self) -> set[str]:
        """Return the patients it was trained on."""
        return {patient for patient, part in self.parts.items() if part == "train"}


def read_lineages(config: Config) -> list[Lineage]:
    """Read the Runs that are named.

    Raises
    ------
    ArtifactError
        A Run is missing, of another kind, unfinished, or says nothing of validation or test patients.
    ConfigError
        No Run is named, or one was cross-validated, so that its patients play every part.
    LeakageError
        A patient tests in one Run and trains or validates in another.
    """
    if not config.runs():
        raise ConfigError(
            "no lineage to combine",
            seen="rna, images and concepts are empty",
            allowed="at least one folder of a finished Run",
            remedy="set rna, images or concepts",
        )
    lineages = [read_lineage(name, path) for name, path in config.runs().items()]
    _require_same_parts(lineages)
    return lineages


def read_lineage(name: str, path: str) -> Lineage:
    """Read one Run; raises as `read_lineages`."""
    run = Run.open(Path(path), kind=name)
    _require_finished(run)
    split = run.read_table("split.csv")
    _require_one_split(run, split["fold"])
    missing = [file for file in READ if not run.has(file)]
    if missing:
        raise ArtifactError(
            f"{run.path} says nothing of patients held out",
            seen=f"no {', '.join(missing)}",
            allowed="predictions of test and of validation patients",
            remedy="fit it again with patients, labels and validation patients"
            if run.kind != "concepts"
            else "fit it again with labelled patients of every class in the training part (barcode.classify)",
        )
    said: dict[str, Prediction] = {}
    counts: dict[str, int] = {}
    for part, file in PARTS.items():
        prediction = run.predictions(file)
        said[part] = patient_opinions(prediction)
        counts |= _counted(prediction)
    classes = said["test"].classes
    rows = list(zip(split["patient"], split["part"], split["label"], strict=True))
    return Lineage(name, run, classes, _parts(run, rows), _labels(rows), said, counts, _is_balanced(run))


def patient_opinions(prediction: Prediction) -> Prediction:
    """Return one opinion per patient, the mean over cells, samples or images, sorted by name; without labels."""
    plain = replace(prediction, labels=None, probabilities=prediction.probabilities.astype(np.float64))
    return aggregate_patients(plain) if len(plain.samples) else plain


def shared_tree(taxonomy: Taxonomy, classes: Iterable[str], label_map: str) -> Taxonomy:
    """Return the part of a taxonomy whose leaves the classes of the lineages reach.

    Raises
    ------
    LabelError
        A class is no node; the nearest are named.
    TaxonomyError
        Fewer than two nodes are named.
    """
    return taxonomy.restricted_to([node_of(taxonomy, name, label_map) for name in classes])


def node_of(taxonomy: Taxonomy, name: str, label_map: str) -> str:
    """Return the node that a class of a lineage means.

    Raises
    ------
    LabelError
        It means none.
    """
    node = taxonomy.resolve(name, label_map or None)
    if not node:
        raise LabelError(
            f"the label map {label_map} leaves out a class that a lineage predicts",
            seen=name,
            allowed=", ".join(taxonomy.nodes),
            remedy="let it lead to a node, or name another label map",
        )
    return node


def held_leaves(tree: Taxonomy, classes: Sequence[str], label_map: str) -> Bool[np.ndarray, "own leaf"]:
    """Return which leaves of the shared tree each class of a lineage holds."""
    nodes = [tree.index(node_of(tree, name, label_map)) for name in classes]
    return tree.leaf_sets[nodes]


def patient_nodes(
    lineages: Sequence[Lineage], tree: Taxonomy, label_map: str
) -> tuple[dict[str, int], list[str]]:
    """Return the deepest label of each patient as a node index, and the labels that are no node of the tree.

    Raises
    ------
    LeakageError
        Two lineages know different diagnoses of a patient: they do not mean the same person.
    """
    written: dict[str, set[str]] = {}
    for lineage in lineages:
        for patient, own in lineage.labels.items():
            written.setdefault(patient, set()).update(own)
    codes, strange = _codes(set().union(*written.values()), tree, label_map)
    nodes: dict[str, int] = {}
    for patient, labels in written.items():
        known = sorted(
            {codes[label] for label in labels if label in codes}, key=lambda node: tree.depth[node]
        )
        if not known:
            continue
        if not tree.ancestors[known[-1], known].all():
            raise LeakageError(
                f"patient {patient} has diagnoses that exclude each other",
                seen=", ".join(sorted(labels)),
                allowed="one diagnosis, or several on one way to the root",
                remedy="correct the tables, or give different people different names",
            )
        nodes[patient] = known[-1]
    return nodes, strange


def class_shares(
    patients: Iterable[str], nodes: Mapping[str, int], tree: Taxonomy
) -> Float[np.ndarray, " leaf"]:
    """Return the shares of the leaves among patients, half a patient added to each; inner labels are divided evenly."""
    total = np.full(len(tree.leaves), 0.5)
    for patient in patients:
        if patient in nodes:
            own = tree.leaf_sets[nodes[patient]]
            total += own / own.sum()
    return total / total.sum()


def half_heard(lineages: Sequence[Lineage]) -> list[str]:
    """Return the patients who validate in one Run and train in another, which is not asked about them."""
    return [
        patient
        for patient, parts in _parts_played(lineages).items()
        if set(parts.values()) == {"train", "valid"}
    ]


def digests(lineages: Sequence[Lineage]) -> dict[str, object]:
    """Return the fingerprint of what was read, for the manifest."""
    runs = {one.name: {"path": str(one.run.path), **_digests(one.run)} for one in lineages}
    return {
        "path": ", ".join(one.name for one in lineages),
        "sha256": sha256_bytes(repr([_digests(one.run) for one in lineages]).encode()),
        "runs": runs,
    }


# ---- private --------------------------------------------------------------------------------------------------------


def _digests(run: Run) -> dict[str, str]:
    return {name: str(run.manifest["files"][name]) for name in READ if name in run.manifest["files"]}


def _require_finished(run: Run) -> None:
    if not run.is_complete:
        raise ArtifactError(
            f"{run.path} is not finished",
            seen=run.manifest["status"],
            remedy="run the same fit again: it goes on",
        )


def _require_one_split(run: Run, folds: Sequence[str]) -> None:
    if len(set(folds)) > 1:
        raise ConfigError(
            f"the patients of {run.path} play every part in turn",
            seen=f"{len(set(folds))} splits",
            allowed="one split: the lineages are weighed on validation patients and scored on test patients",
            remedy="fit it with split.kind = column, and the same column for every lineage",
        )


def _parts(run: Run, rows: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    """Return the part of each patient; samples of no part do not count."""
    found: dict[str, str] = {}
    for patient, part, _ in rows:
        if part != "unused" and found.setdefault(patient, part) != part:
            raise LeakageError(
                f"a patient of {run.path} plays two parts",
                seen=f"{patient}: {found[patient]} and {part}",
                allowed="one part per patient",
                remedy="fit it again on a table that knows the patients",
            )
    return found


def _labels(rows: Sequence[tuple[str, str, str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for patient, part, label in rows:
        if part != "unused" and label.lower() not in _NOBODY:
            found.setdefault(patient, set()).add(label)
    return {patient: frozenset(labels) for patient, labels in found.items()}


def _counted(prediction: Prediction) -> dict[str, int]:
    names, counts = np.unique(prediction.patients, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _is_balanced(run: Run) -> bool:
    """Tell from the configuration of a Run whether every class weighed the same in its training."""
    config = tomllib.loads(run.read_text(CONFIG_NAME))
    if run.kind == "concepts":
        return bool(config.get("subtype", {}).get("is_class_balanced", True))
    return config.get("weighting", "class_donor") in ("class", "class_donor")


def _codes(labels: Iterable[str], tree: Taxonomy, label_map: str) -> tuple[dict[str, int], list[str]]:
    """Return the node of each label that has one, and the labels that have none."""
    codes: dict[str, int] = {}
    strange: list[str] = []
    for label in sorted(labels):
        try:
            node = tree.resolve(label, label_map or None)
        except LabelError:
            strange.append(label)
            continue
        if node:
            codes[label] = tree.index(node)
    return codes, strange


def _require_same_parts(lineages: Sequence[Lineage]) -> None:
    """Refuse a patient who tests in one Run and learns in another."""
    differing = [
        f"{patient} ({', '.join(f'{part} in {name}' for name, part in parts.items())})"
        for patient, parts in _parts_played(lineages).items()
        if "test" in parts.values() and len(set(parts.values())) > 1
    ]
    if differing:
        raise LeakageError(
            f"{len(differing)} patients test in one Run and learn in another",
            seen=shown(differing),
            allowed="the same part in every Run: who tests here may not have trained or validated there",
            remedy="fit the lineages with split.kind = column and the same column for all",
        )


def _parts_played(lineages: Sequence[Lineage]) -> dict[str, dict[str, str]]:
    """Return the part of each patient by lineage."""
    played: dict[str, dict[str, str]] = {}
    for lineage in lineages:
        for patient, part in lineage.parts.items():
            played.setdefault(patient, {})[lineage.name] = part
    return played
