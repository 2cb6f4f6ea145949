"""Probe an encoder: features of its images and of the same network with random weights, read by two simple models."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int, Int64, Shaped

from trilineage.core.artifacts import Run
from trilineage.core.errors import CohortError, ColumnError
from trilineage.core.records import Score
from trilineage.core.seeding import derive_seed, generator
from trilineage.data.cohort import Cohort, shown
from trilineage.data.images.batches import ImageBatches
from trilineage.data.images.open import open_images
from trilineage.data.images.table import ImageTable
from trilineage.data.splits import Split, SplitSettings, split_table
from trilineage.evaluation.intervals import score_predictions
from trilineage.evaluation.probes import LINEAR, NEIGHBOURS, Known, prediction_of, probe
from trilineage.models.backbones.backbone import Backbone
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.encoder import UNTRAINED_SEED, build_encoder
from trilineage.models.features import image_features
from trilineage.models.streaming import images_per_batch
from trilineage.pipelines._image_cohort import count_seen, describe_images, image_facts, split_images
from trilineage.pipelines._images.probe_config import ProbeConfig
from trilineage.pipelines._runs import begin_run
from trilineage.training.place import Place

KIND = "images.probe"
ATTRIBUTES = "attributes.json"
"""Scores of the attributes, each a population of its own."""
RANDOM = "baseline: random weights"
SITE, OTHER = "site ", "data set "
"""How the names of test images of one site, and of another data set, begin."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Probing:
    """What is probed: images in three parts, and the images of another data set."""

    config: ProbeConfig
    """All options."""
    table: ImageTable
    """The images."""
    cohort: Cohort
    """Patient, label and site of each."""
    split: Split
    """Part of each."""
    other: ImageTable | None
    """Images of another data set."""

    @cached_property
    def used(self) -> Int64[np.ndarray, " used"]:
        """Positions of the images that train, validate or test."""
        return np.flatnonzero(np.isin(self.split.parts, ("train", "valid", "test")))

    @cached_property
    def parts(self) -> Shaped[np.ndarray, " used"]:
        """Part of each of these."""
        return self.split.parts[self.used]


class Task(NamedTuple):
    """One column to be told from features."""

    name: str
    """Of an attribute; empty for the label."""
    classes: tuple[str, ...]
    """Values that occur among training images."""
    codes: Int64[np.ndarray, " used"]
    """Index into `classes` of each used image; -1 where unknown, or never seen in training."""


def gather_probing(config: ProbeConfig) -> Probing:
    """Open the images and divide them.

    Raises
    ------
    DataError
        As `open_images` and the makers of splits.
    ColumnError
        An attribute is no column of the table.
    """
    table = open_images(config.data)
    labels = np.where(table.labels == "", "unlabelled", table.labels).astype(str)
    cohort = Cohort(
        samples=table.names,
        patients=table.names if table.patients is None else table.patients,
        labels=labels,
        classes=tuple(np.unique(labels).tolist()),
        sites=table.sites,
        content=table.content,
    )
    settings = config.split
    if table.parts is not None and settings == SplitSettings():
        settings = SplitSettings(kind="column")
    (split, *_) = split_images(table, cohort, settings, train_sites=config.train_sites, seed=config.seed)
    other = None
    if config.other is not None:
        other = open_images(config.other.replace(size=config.data.size, fit=config.data.fit))
    return Probing(config, table, cohort, split, other)


def probe_tasks(probing: Probing) -> Iterator[Task]:
    """Return what is to be told: the label, where there is one, then each attribute.

    Raises
    ------
    ColumnError
        An attribute is no column of the table.
    CohortError
        There is nothing to be told.
    """
    table, config = probing.table, probing.config
    absent = [name for name in config.attributes if name not in table.columns]
    if absent:
        raise ColumnError(
            "attributes that the table of images does not have",
            seen=shown(absent),
            allowed=shown(table.columns, limit=40) or "no column",
            remedy="mend attributes",
        )
    columns = {"": table.labels} | {name: table.columns[name] for name in config.attributes}
    tasks = [_task(probing, name, values[probing.used]) for name, values in columns.items()]
    found = [task for task in tasks if len(task.classes) > 1]
    if not found:
        raise CohortError(
            "there is nothing to tell the training images apart by",
            seen=f"{shown(np.unique(table.labels))} as labels",
            allowed="two labels, or an attribute of two values",
            remedy="name the label column with data.label_column",
        )
    yield from found


def _task(probing: Probing, name: str, values: Shaped[np.ndarray, " used"]) -> Task:
    texts = values.astype(str)
    trained = np.unique(texts[(probing.parts == "train") & (texts != "")])
    places = {text: code for code, text in enumerate(trained.tolist())}
    return Task(name, tuple(places), np.array([places.get(text, -1) for text in texts.tolist()], np.int64))


def random_twin(backbone: Backbone) -> Backbone:
    """Return the same network with weights drawn at random, always the same."""
    spec = backbone.spec
    pool: Any = spec.pools if spec.pools in ("cls", "mean") and spec.family == "vit" else "auto"
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(UNTRAINED_SEED)
        return build_backbone(BackboneSettings(name=spec.name, pool=pool, trained_blocks=0), spec.image_size)


class Features(NamedTuple):
    """What one network makes of the images."""

    used: Float32[np.ndarray, "used d"]
    """Of the images that train, validate and test."""
    other: Float32[np.ndarray, "other d"] | None
    """Of another data set."""


def probe_encoder(probing: Probing, place: Place) -> tuple[list[Score], list[Score], dict[str, Any]]:
    """Return the scores of the label, those of the attributes, and what the report says of the probes."""
    backbone = build_encoder(probing.config.encoder, probing.config.data.shape).backbone
    tasks = list(probe_tasks(probing))
    scores: dict[bool, list[Score]] = {True: [], False: []}
    penalties: dict[str, dict[str, float]] = {}
    for prefix, network in (("", backbone), (RANDOM, random_twin(backbone))):
        features = _features(probing, network, place)
        for task in tasks:
            found, penalty = _score_task(probing, task, features, prefix)
            scores[task.name == ""] += found
            penalties.setdefault(prefix or "encoder", {})[task.name or "label"] = penalty
    facts = {"network": backbone.spec.name, "width": backbone.spec.width, "penalties": penalties}
    return scores[True], scores[False], {**facts, **_seen(probing)}


def _features(probing: Probing, network: Backbone, place: Place) -> Features:
    other = None if probing.other is None else _look(probing.other, network, place)
    return Features(_look(probing.table.subset(probing.used), network, place), other)


def _look(table: ImageTable, network: Backbone, place: Place) -> Float32[np.ndarray, "image d"]:
    batches = ImageBatches(table)
    step = images_per_batch(table.shape, place.device)
    starts = range(0, len(table), step)
    taken = (batches.take(np.arange(start, min(start + step, len(table)))) for start in starts)
    return image_features(network, taken, device=place.device, n_images=len(table))


def _score_task(probing: Probing, task: Task, features: Features, prefix: str) -> tuple[list[Score], float]:
    """Fit both readings for one column and score them on every population of test images."""
    config = probing.config
    is_known = task.codes >= 0
    train, valid = (is_known & (probing.parts == part) for part in ("train", "valid"))
    tests = list(_test_populations(probing, task, features))
    stacked = np.concatenate([test.features for test in tests])
    found = probe(
        Known(features.used[train], task.codes[train]),
        Known(features.used[valid], task.codes[valid]),
        stacked,
        len(task.classes),
        settings=config.probe,
        rng=generator(config.seed, "probe", task.name),
    )
    scores: list[Score] = []
    bounds = np.cumsum([0, *(len(test.codes) for test in tests)])
    for reading, probabilities in ((LINEAR, found.linear), (NEIGHBOURS, found.neighbours)):
        subject = f"{prefix}, {reading}" if prefix else reading
        for test, start, stop in zip(tests, bounds[:-1], bounds[1:], strict=True):
            prediction = prediction_of(
                probabilities[start:stop], test.codes, task.classes, test.samples, test.patients
            )
            scores += score_predictions(
                prediction,
                settings=config.evaluation,
                seed=derive_seed(config.seed, "evaluation"),
                subject=subject,
                population=_population(task.name, test.name),
            )
    return scores, found.penalty


def _population(task: str, test: str) -> str:
    """Name test images in the scores: those of the label by themselves, those of an attribute after it."""
    if not task:
        return test
    return task if test == "all" else f"{task}, {test}"


class _Test(NamedTuple):
    """Test images that are scored together."""

    name: str
    features: Float32[np.ndarray, "test d"]
    codes: Int64[np.ndarray, " test"]
    samples: Shaped[np.ndarray, " test"]
    patients: Shaped[np.ndarray, " test"]


def _test_populations(probing: Probing, task: Task, features: Features) -> Iterator[_Test]:
    """Return all test images, those of each site where there are several, and those of another data set."""
    cohort, is_test = probing.cohort, (probing.parts == "test") & (task.codes >= 0)
    chosen = {"all": is_test}
    if cohort.sites is not None:
        sites = cohort.sites[probing.used]
        names = np.unique(sites[is_test]).tolist()
        chosen |= {f"{SITE}{name}": is_test & (sites == name) for name in names if len(names) > 1}
    if not is_test.any():
        raise CohortError(
            "no test image has a label that the training images have",
            seen=task.name or "the label",
            allowed="at least one test image",
            remedy="check the split",
        )
    for name, rows in chosen.items():
        at = probing.used[rows]
        yield _Test(name, features.used[rows], task.codes[rows], cohort.samples[at], cohort.patients[at])
    if probing.other is not None and features.other is not None and not task.name:
        yield from _of_other(probing, probing.other, task, features.other)


def _of_other(
    probing: Probing, other: ImageTable, task: Task, features: Float32[np.ndarray, "other d"]
) -> Iterator[_Test]:
    codes = _other_codes(probing.config, other.labels, task.classes)
    rows = np.flatnonzero(codes >= 0)
    if len(rows) == 0:
        raise CohortError(
            "no image of the other data set has a label of this one",
            seen=shown(np.unique(other.labels)),
            allowed=shown(task.classes),
            remedy="translate them with other_labels",
        )
    patients = other.names if other.patients is None else other.patients
    name = f"{OTHER}{Path(str(other.settings.path)).stem}"
    yield _Test(name, features[rows], codes[rows], other.names[rows], patients[rows])


def _other_codes(
    config: ProbeConfig, labels: Shaped[np.ndarray, " image"], classes: tuple[str, ...]
) -> Int[np.ndarray, " image"]:
    """Return the class of each label of the other data set, -1 where it has none here."""
    places = {name.lower(): code for code, name in enumerate(classes)}
    translated = [config.other_labels.get(label, label) for label in labels.tolist()]
    return np.array([places.get(name.lower(), -1) for name in translated], np.int64)


def _seen(probing: Probing) -> dict[str, Any]:
    """Count the test images that the encoder has learned from; their scores would be too good."""
    n_seen, n_test = count_seen(probing.table, (probing.split,), probing.config.encoder)
    if n_seen:
        logger.warning("the encoder has learned from %d of the %d test images", n_seen, n_test)
    counts = {part: int((probing.split.parts == part).sum()) for part in ("train", "valid", "test")}
    return {"n_images": counts, "n_test_learned_from": n_seen}


def open_probe_run(probing: Probing, out: Path, *, place: Place, overwrite: bool) -> Run:
    """Make the Run, or go on with the one that is there."""
    config = probing.config
    return begin_run(
        out,
        kind=KIND,
        config=config,
        seed=config.seed,
        command=f"trilineage images probe {config.encoder.run or config.encoder.backbone.name} "
        f"--data {config.data.path} --out {out}",
        data=image_facts(probing.table),
        place=place,
        overwrite=overwrite,
    )


def write_probes(run: Run, probing: Probing, place: Place) -> None:
    """Probe, and write scores, split and what the images were."""
    scores, of_attributes, facts = probe_encoder(probing, place)
    run.add_scores(scores)
    run.add_scores(of_attributes, ATTRIBUTES)
    run.write_json("probes.json", facts)
    run.write_table("split.csv", split_table(probing.cohort, (probing.split,)))
    run.write_json("cohort.json", describe_images(probing.table, probing.cohort))
