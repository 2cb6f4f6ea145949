"""What each latent stands for: statistics, association with what experts see, likeness of references; and controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from trilineage.core.errors import CohortError
from trilineage.core.seeding import derive_seed, generator
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.data.images.batches import ImageBatches
from trilineage.data.images.descriptors import describe_images
from trilineage.data.images.table import ImageTable
from trilineage.evaluation.concepts.association import AssociationTable, associate
from trilineage.evaluation.concepts.monosemanticity import Monosemanticity, monosemanticity
from trilineage.evaluation.concepts.references import References
from trilineage.evaluation.concepts.selection import BestLatent, ScoredImages, best_latents
from trilineage.evaluation.concepts.specificity import Specificity, specificity
from trilineage.evaluation.concepts.statistics import ConceptStatistics, ConceptTally
from trilineage.evaluation.concepts.targets import CLASS, attribute_targets
from trilineage.models.encoder import build_encoder
from trilineage.models.features import image_features
from trilineage.models.streaming import in_batches
from trilineage.pipelines._concepts.coding import Coded
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.material import Material
from trilineage.training.place import Place

N_CANDIDATES = 2000
"""Training images among which chance draws when references are compared."""
_JUDGED_AT_ONCE = 32


@dataclass(frozen=True)
class Examined:
    """What is known of the latents of one dictionary."""

    subject: str
    """`autoencoder` or a control."""
    statistics: ConceptStatistics
    """Over the training images."""
    references: References
    """Training images that activate each most."""
    spread: Specificity
    """Over classes, and over the tree if there is one."""
    train: AssociationTable | None
    """Association with every target on training images; None without targets."""
    test: AssociationTable | None
    """The same on held-out images; None without targets there."""
    best: tuple[BestLatent, ...]
    """The latent chosen for each target on training images, scored on held-out ones."""


class Parts(NamedTuple):
    """The images that choose and those that test, with what is known of them."""

    train: Int[np.ndarray, " train"]
    """Positions of training and validation images."""
    test: Int[np.ndarray, " test"]
    """Positions of held-out images."""
    targets: dict[str, np.ndarray]
    """1, 0 or -1 (unknown) for every image of the table, by target."""


def parts_of(material: Material, config: Config) -> Parts:
    """Divide the images and name the targets that can be tested on the training images."""
    train = np.flatnonzero(np.isin(material.split.parts, ("train", "valid")))
    columns = dict(material.attributes)
    if len(material.classes) > 1:
        columns = {CLASS: material.named_labels(), **columns}
    targets: Mapping[str, np.ndarray] = {}
    if columns:
        try:
            least = config.concepts.min_positive
            inside = attribute_targets({k: v[train] for k, v in columns.items()}, min_images=least)
            whole = attribute_targets(columns)
            targets = {name: whole[name] for name in inside}
        except CohortError:
            targets = {}
    return Parts(train, material.split.positions("test"), dict(targets))


def examine(coded: Coded, material: Material, parts: Parts, config: Config) -> tuple[Examined, ImageCodes]:
    """Measure all latents of a dictionary; return the codes too, which others need."""
    codes = coded.read()
    tally = _tally(codes.subset(parts.train), material, config)
    statistics = tally.statistics()
    matrix = codes.matrix("mean", with_cls=codes.has_cls)
    train, test, best = _associations(matrix, material, parts, config)
    spread = specificity(statistics.class_shares, classes=material.classes, taxonomy=material.taxonomy)
    return Examined(coded.subject, statistics, tally.references(), spread, train, test, best), codes


def _tally(codes: ImageCodes, material: Material, config: Config) -> ConceptTally:
    settings = config.concepts
    tally = ConceptTally(
        codes.n_latents,
        len(material.classes),
        max_references=settings.n_references,
        per_patient=settings.per_patient,
        per_class=settings.per_class,
        with_cls=codes.has_cls,
    )
    tally.add(codes, material.labels[codes.positions], material.cohort.patients[codes.positions])
    return tally


def _associations(
    matrix: csr_array, material: Material, parts: Parts, config: Config
) -> tuple[AssociationTable | None, AssociationTable | None, tuple[BestLatent, ...]]:
    if not parts.targets:
        return None, None, ()
    patients = material.cohort.patients if material.has_patients else None
    train, test = (
        ScoredImages(
            csr_array(matrix[chosen]),
            {name: target[chosen] for name, target in parts.targets.items()},
            None if patients is None else patients[chosen],
        )
        for chosen in (parts.train, parts.test)
    )
    found = associate(train.scores, train.targets, train.patients, alpha=config.concepts.alpha)
    kept = {name: row for name, row in test.targets.items() if (row == 1).any() and (row == 0).any()}
    held = associate(test.scores, kept, test.patients, alpha=config.concepts.alpha) if kept else None
    return found, held, tuple(best_latents(train, test, level=config.evaluation.level))


# ---- likeness of references -----------------------------------------------------------------------------------------


def judge(
    examined: Sequence[Examined], material: Material, parts: Parts, config: Config, place: Place
) -> dict[str, Monosemanticity]:
    """Compare the references of every latent by the features of something that had no part in finding them."""
    draw = generator(config.seed, "monosemanticity")
    candidates = np.sort(draw.permutation(parts.train)[:N_CANDIDATES])
    shown = np.unique(np.concatenate([one.references.images.ravel() for one in examined]))
    needed = np.union1d(shown[shown >= 0], candidates)
    found = _features(material.table, needed, config, place)
    features = np.zeros((len(material.table), found.shape[1]), np.float32)
    features[needed] = found
    patients = material.cohort.patients if material.has_patients else None
    return {
        one.subject: monosemanticity(
            one.references,
            features,
            patients=patients,
            candidates=candidates,
            seed=derive_seed(config.seed, "monosemanticity"),
        )
        for one in examined
    }


def _features(
    table: ImageTable, positions: Int[np.ndarray, " image"], config: Config, place: Place
) -> Float[np.ndarray, "image d"]:
    if config.judge is None:
        return describe_images(table, positions)
    encoder = build_encoder(config.judge, config.data.shape)
    batches = ImageBatches(table.subset(positions))
    pixels = (batches.take(places) for places in in_batches(0, len(positions), _JUDGED_AT_ONCE))
    return image_features(encoder.backbone, pixels, device=place.device, n_images=len(positions))
