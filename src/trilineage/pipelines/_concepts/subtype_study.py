"""Subtypes from barcodes that exist already, or from features of other laboratories: scored, compared, explained."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.errors import ColumnError, FormatError
from trilineage.core.files import sha256_bytes, sha256_file
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.barcodes.files import read_barcodes
from trilineage.data.sources.aml_hehr_features import FeatureBags, read_features
from trilineage.evaluation.barcodes.baselines import MEAN_CLS, MeanTally
from trilineage.evaluation.barcodes.make import BarcodeTally
from trilineage.evaluation.barcodes.settings import SUBTYPE_METRICS, DiseaseSettings, SubtypeSettings
from trilineage.evaluation.barcodes.subtype_model import Features
from trilineage.evaluation.settings import EvaluationSettings
from trilineage.models.sae.encode_images import dictionary_key, encode_tokens
from trilineage.models.sae.summaries import summarise
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.patients import keep_barcodes
from trilineage.pipelines._concepts.store import KIND, read_dictionary
from trilineage.pipelines._concepts.subtypes import (
    DISEASE_FILE,
    Images,
    SubtypeOptions,
    classify_patients,
    mark_diseases,
)
from trilineage.pipelines._runs import begin_run
from trilineage.training.place import choose_place

SUBTYPE_KIND = "concepts.subtype"


class SubtypeConfig(Settings):
    """Configuration of `trilineage concepts subtype`."""

    labels: str = ""
    """CSV with the columns patient and label, which take the place of those in the barcodes; a patient who is not in it
    is left out."""
    run: str = ""
    """Run of `fit` on CLS tokens (`encoder.keep=cls`) by whose autoencoder features from HDF5 become barcodes."""
    width: int = 768
    """Width of the features in HDF5 files."""
    attention: bool = True
    """Whether attention pooling over the images is trained beside the others (HDF5 only)."""
    subtype: SubtypeSettings = SubtypeSettings()
    """Folds, penalties, weighting."""
    disease: DiseaseSettings = DiseaseSettings()
    """How concepts that mark a disease are tested."""
    evaluation: EvaluationSettings = EvaluationSettings(metrics=SUBTYPE_METRICS, n_nulls=0)
    """Metrics and intervals."""
    seed: int = 0
    """The number every generator is derived from."""


def study_subtypes(data: Path, config: SubtypeConfig, out: Path, *, overwrite: bool) -> Run:
    """See `trilineage.concepts.subtype`."""
    place = choose_place(config.seed, "cpu")
    bags = read_features(data, width=config.width) if data.is_dir() else None
    barcodes = read_barcodes(data) if bags is None else _barcodes_of(bags, config)
    digest = sha256_file(data) if bags is None else sha256_bytes(bags.features.tobytes())
    run = begin_run(
        out,
        kind=SUBTYPE_KIND,
        config=config,
        seed=config.seed,
        command=f"trilineage concepts subtype {data} --out {out}",
        data={"path": str(data), "sha256": digest},
        place=place,
        overwrite=overwrite,
    )
    if run.is_complete:
        return run
    barcodes = _labelled(barcodes, config)
    options = SubtypeOptions(config.subtype, config.disease, config.evaluation, config.seed)
    others, images = _others(bags, config)
    note = classify_patients(run, barcodes, others, images, options, place.of_run(run))
    run.write_json("patients.json", {"note": note, "n_patients": len(barcodes)})
    run.write_json(DISEASE_FILE, mark_diseases(barcodes, options))
    keep_barcodes(run, barcodes)
    run.finish()
    return run


def _barcodes_of(bags: FeatureBags, config: SubtypeConfig) -> Barcodes:
    """Return barcodes of the CLS tokens under the autoencoder of a Run."""
    if not config.run:
        raise FormatError(
            "features of patients become barcodes by an autoencoder",
            seen="run is empty",
            allowed="the Run of `concepts fit` on such CLS tokens",
            remedy="set run=FOLDER",
        )
    run = Run.open(config.run, kind=KIND)
    member, options = read_dictionary(run), run.config(Config)
    tally = BarcodeTally(bags.names, member.n_latents, tau=options.barcode.tau, uses_cls=True)
    for start in range(0, len(bags.features), 1024):
        rows = slice(start, start + 1024)
        member.require(torch.from_numpy(bags.features[rows]))
        codes = encode_tokens(member, torch.from_numpy(bags.features[rows]))
        positions = np.arange(start, start + codes.n_tokens)
        found = summarise(codes, n_tokens=1, n_prefix=1, tau=options.barcode.tau, positions=positions)
        tally.add(found, bags.patients[rows])
    return tally.barcodes(labels=bags.labels, dictionary_key=dictionary_key(member))


def _others(bags: FeatureBags | None, config: SubtypeConfig) -> tuple[dict[str, Features], Images | None]:
    if bags is None:
        return {}, None
    means = MeanTally(bags.names, bags.features.shape[1])
    means.add(bags.features, bags.patients)
    images = Images(bags.features, bags.patients) if config.attention else None
    return {MEAN_CLS: means.features()}, images


def _labelled(barcodes: Barcodes, config: SubtypeConfig) -> Barcodes:
    """Return the barcodes with the labels of the CSV, if one is given."""
    if not config.labels:
        return barcodes
    try:
        with open(config.labels, newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(
            f"{config.labels} is no table of labels",
            seen=error,
            allowed="a CSV in UTF-8",
            remedy="check the path",
        ) from None
    if not rows or not {"patient", "label"} <= set(rows[0]):
        raise ColumnError(
            f"{config.labels} lacks columns",
            seen=", ".join(rows[0]) if rows else "no row",
            allowed="patient, label",
            remedy="name the columns so",
        )
    known = {row["patient"]: row["label"].strip() for row in rows}
    labels = np.array([known.get(name, "") for name in barcodes.names.tolist()], dtype=str)
    return replace(barcodes, labels=labels)
