"""Everything that a fit finds out, written to its Run as it becomes known."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError, ConfigError, DataError
from trilineage.core.seeding import derive_seed
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.data.images.batches import ImageBatches
from trilineage.data.splits import Part, split_table
from trilineage.data.tokens.reader import TokenReader
from trilineage.evaluation.barcodes.baselines import MeanTally
from trilineage.evaluation.concepts.stability import Stability, stability
from trilineage.evaluation.sae import Kind, loss_recovered
from trilineage.models.classifier_file import load_image_classifier
from trilineage.models.encoder import TokenEncoder
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sae.substitution import Substitution, substitution_losses
from trilineage.pipelines._concepts import profiles
from trilineage.pipelines._concepts.coding import MODEL, Coded
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.dictionary import Dictionaries, reconstruct
from trilineage.pipelines._concepts.held_out import write_held_out
from trilineage.pipelines._concepts.material import Material
from trilineage.pipelines._concepts.patients import (
    cell_curves,
    keep_barcodes,
    make_barcodes,
    patient_rows,
)
from trilineage.pipelines._concepts.second_reader import reader_rows
from trilineage.pipelines._concepts.store import PROFILE
from trilineage.pipelines._concepts.subtypes import (
    COMPETITORS,
    DISEASE_FILE,
    Images,
    SubtypeOptions,
    classify_patients,
    mark_diseases,
)
from trilineage.pipelines._concepts.testing import Examined, Parts, examine, judge, parts_of
from trilineage.pipelines._concepts.unlike_training import write_unlike_training
from trilineage.pipelines._concepts.verdicts import figures_of, target_rows, verdict, write_concepts
from trilineage.training.place import Place

RECONSTRUCTION, FIGURES, TARGETS = "reconstruction.json", "figures.json", "targets.json"
RECOVERED, SHIFT, CELLS = "recovered.json", "shift.json", "cells.json"
N_RECONSTRUCTED = 2000
"""Images whose reconstruction is scored, evenly over the part."""
N_SUBSTITUTED = 500
"""Held-out images on which a classifier reads the reconstruction in place of the tokens."""
MOST_ATTENDED = 200_000
"""Images beyond which attention pooling is left out: it holds a vector of each."""
_IMAGES_AT_ONCE = 64


class Fitted(NamedTuple):
    """What a fit has made, for its results."""

    material: Material
    """Images and split."""
    reader: TokenReader
    """Their tokens."""
    encoder: TokenEncoder
    """Whose."""
    dictionaries: Dictionaries
    """Autoencoders by seed."""


Twins = Mapping[str, Sequence[SparseAutoencoder]]
"""For each subject, what the same procedure gives from other seeds."""


def write_results(
    run: Run, fitted: Fitted, coded: Iterable[Coded], twins: Twins, config: Config, place: Place
) -> None:
    """Reconstruct, examine, judge, decide and make barcodes; write all of it."""
    material = fitted.material
    run.write_table("split.csv", split_table(material.cohort, (material.split,)))
    parts = parts_of(material, config)
    examined: list[Examined] = []
    reconstruction: list[dict[str, Any]] = []
    returning: dict[str, Stability] = {}
    barcodes: dict[str, Barcodes] = {}
    for one in coded:
        reconstruction += _reconstruction(one, fitted)
        measured, codes = examine(one, material, parts, config)
        examined.append(measured)
        if twins.get(one.subject):
            returning[one.subject] = _returning(one.member, twins[one.subject], config)
        if one.subject == MODEL:
            _write_cohort(run, one, codes, fitted, parts, config)
        uses_cls = config.barcode.with_cls and codes.has_cls
        is_competitor = one.subject in COMPETITORS and codes.matrix("above", with_cls=uses_cls).nnz > 0
        if one.subject == MODEL or is_competitor:  # a control that is silent at this tau has no barcodes
            barcodes[one.subject] = make_barcodes(codes, one.store.source, material.cohort, uses_cls=uses_cls)
    run.write_json(RECONSTRUCTION, reconstruction)
    run.write_json(TARGETS, target_rows(examined) + reader_rows(material, parts.targets, config))
    _decide(run, examined, returning, fitted, config, place)
    _write_recovered(run, fitted, config, place)
    keep_barcodes(run, barcodes[MODEL])
    _write_patients(run, fitted, barcodes, config, place)


def _write_cohort(
    run: Run, one: Coded, codes: ImageCodes, fitted: Fitted, parts: Parts, config: Config
) -> None:
    """Write how latents fire in the training images, what shifts at each site, and how many cells are enough."""
    cohort, source = fitted.material.cohort, one.store.source
    run.write_arrays(PROFILE, **profiles.to_arrays(profiles.profile_of(codes, parts.train, source, cohort)))
    groups = {"train": parts.train, "held-out images": parts.test}
    if cohort.sites is not None:
        sites = cohort.sites[parts.test]
        groups |= {f"site {name}": parts.test[sites == name] for name in np.unique(sites).tolist()}
    run.write_json(SHIFT, profiles.site_shifts(codes, source, cohort, groups, seed=config.seed))
    if fitted.material.has_patients:
        uses_cls = config.barcode.with_cls and codes.has_cls
        run.write_json(CELLS, cell_curves(codes, cohort, uses_cls=uses_cls, seed=config.seed))


def _decide(
    run: Run,
    examined: Sequence[Examined],
    returning: Mapping[str, Stability],
    fitted: Fitted,
    config: Config,
    place: Place,
) -> None:
    """Decide which latents are concepts and write the figures of all dictionaries."""
    likeness = judge(examined, fitted.material, parts_of(fitted.material, config), config, place)
    figures = []
    for one in examined:
        found = verdict(one, likeness[one.subject], config)
        known = returning.get(one.subject)
        row = figures_of(one, likeness[one.subject], found, None if known is None else known.score)
        if known is not None:
            row["returning"] = known.summary(one.statistics.strong)
        figures.append(row)
        if one.subject == MODEL:
            write_concepts(run, one, likeness[one.subject], found, None if known is None else known.score)
    run.write_json(FIGURES, figures)


def _reconstruction(one: Coded, fitted: Fitted) -> list[dict[str, Any]]:
    """Score how well a dictionary stands for the tokens of training and of held-out images."""
    rows = []
    parts: tuple[Part, ...] = ("train", "test")
    kinds: tuple[Kind, ...] = ("all", "cls", "patch")
    for part in parts:
        chosen = _evenly(fitted.material.split.positions(part), N_RECONSTRUCTED)
        if len(chosen) == 0:
            continue
        tally = reconstruct(one.member, fitted.reader, chosen)
        for kind in kinds:
            scores = tally.scores(kind).to_dict()
            if scores["n_tokens"]:
                about = {"subject": one.subject, "part": part, "kind": kind, "n_images": len(chosen)}
                rows.append({**about, **scores})
    return rows


def _returning(member: SparseAutoencoder, twins: Sequence[SparseAutoencoder], config: Config) -> Stability:
    """Match the latents of a dictionary with those of its twins; dead latents of these are no match."""
    rows = [twin.decoder_weight.detach().cpu().numpy() for twin in twins]
    alive = [(twin.steps_silent <= twin.settings.dead_after_steps).cpu().numpy() for twin in twins]
    first = member.decoder_weight.detach().cpu().numpy()
    return stability(first, rows, alive=alive, seed=derive_seed(config.seed, "stability"))


# ---- what a classifier loses ----------------------------------------------------------------------------------------


def _write_recovered(run: Run, fitted: Fitted, config: Config, place: Place) -> None:
    """Let the classifier that the encoder comes from read the reconstruction, if there is one that knows the labels."""
    if not config.encoder.run or config.encoder.run == "bundled":
        return
    material = fitted.material
    try:
        classifier, taxonomy = load_image_classifier(config.encoder.run, config.encoder.weights_name or None)
        codes = taxonomy.codes(material.named_labels())
        test = material.split.positions("test")
        chosen = _evenly(test[codes[test] > 0], N_SUBSTITUTED)
        if len(chosen) == 0:
            return
        images = ImageBatches(material.table, workers=1)
        mean = torch.from_numpy(_mean_token(fitted.reader, material.split.positions("train")))
        encoder = TokenEncoder(
            classifier.backbone, fitted.encoder.block, keep=fitted.encoder.keep, dtype=fitted.encoder.dtype
        )
        losses = substitution_losses(
            Substitution(classifier, encoder, fitted.dictionaries.first, mean),
            lambda positions: images.take(positions).pixels,
            chosen,
            codes[chosen],
            workers=config.data.workers,
            device=place.device,
        )
    except (ArtifactError, ConfigError, DataError) as error:
        run.write_json(RECOVERED, {"note": error.what, "scores": []})
        return
    arrays = losses.to_arrays()
    del arrays["positions"]
    scores = loss_recovered(
        arrays,
        material.cohort.patients[chosen],
        material.labels[chosen],
        subject=MODEL,
        level=config.evaluation.level,
        seed=config.seed,
    )
    run.write_json(RECOVERED, {"note": "", "scores": [score.to_dict() for score in scores]})


def _mean_token(reader: TokenReader, images: np.ndarray) -> Float[np.ndarray, " width"]:
    tokens = reader.read(_evenly(images, _IMAGES_AT_ONCE)).astype(np.float64)
    return tokens.mean(axis=(0, 1)).astype(np.float32)


# ---- patients -------------------------------------------------------------------------------------------------------


def _write_patients(
    run: Run, fitted: Fitted, barcodes: Mapping[str, Barcodes], config: Config, place: Place
) -> None:
    """Classify the patients and look for what marks each disease, where patients and labels are known."""
    material, own = fitted.material, barcodes[MODEL]
    if not (material.has_patients and config.barcode.classify):
        return
    options = SubtypeOptions(config.subtype, config.disease, config.evaluation, config.seed)
    others: dict[str, Any] = {
        COMPETITORS[name]: found.values for name, found in barcodes.items() if name in COMPETITORS
    }
    means, images = _means(fitted)
    note = classify_patients(run, own, {**means, **others}, images, options, place)
    write_unlike_training(run, own, material.cohort, material.split)
    held_out = write_held_out(run, own, material.cohort, material.split, options)
    run.write_json("patients.json", {"note": note, "n_patients": len(own), "held_out": held_out})
    run.write_json(DISEASE_FILE, mark_diseases(own, options))


def _means(fitted: Fitted) -> tuple[dict[str, np.ndarray], Images | None]:
    """Return the mean CLS token and the mean patch of each patient, and a vector of each image for attention."""
    reader, source = fitted.reader, fitted.reader.source
    patients = patient_rows(fitted.material.cohort)
    cls, patches = (MeanTally(patients.names, source.width) for _ in range(2))
    is_small = len(reader) <= MOST_ATTENDED
    vectors = np.zeros((len(reader) if is_small else 0, source.width), np.float32)
    for start in range(0, len(reader), _IMAGES_AT_ONCE):
        places = np.arange(start, min(start + _IMAGES_AT_ONCE, len(reader)))
        tokens = reader.read(places).astype(np.float32)
        first, mean = (
            tokens[:, 0],
            tokens[:, source.n_prefix :].mean(axis=1) if source.n_patches else tokens[:, 0],
        )
        if source.n_prefix:
            cls.add(first, patients.rows[places])
        patches.add(mean, patients.rows[places])
        if is_small:
            vectors[places] = first if source.n_prefix else mean
    found = {COMPETITORS["tokens"]: patches.features()} if source.n_patches else {}
    if source.n_prefix:
        found[COMPETITORS["cls"]] = cls.features()
    return found, Images(vectors, patients.rows) if is_small else None


def _evenly(positions: np.ndarray, n: int) -> np.ndarray:
    """Return at most so many positions, evenly over those given."""
    if len(positions) <= n:
        return positions
    return positions[np.linspace(0, len(positions) - 1, n).astype(np.int64)]
