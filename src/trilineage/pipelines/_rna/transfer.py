"""Zero-shot transfer: the classifier of one lineage asked about another, on patients it never saw."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.errors import ConfigError
from trilineage.core.progress import progress
from trilineage.core.records import Comparison, Prediction, Score
from trilineage.core.seeding import derive_seed
from trilineage.data.splits import Split
from trilineage.evaluation.baselines import MAJORITY, NULL, majority
from trilineage.evaluation.intervals import pool_predictions, score_predictions
from trilineage.evaluation.task import Task
from trilineage.models.diagnoser import Diagnoser
from trilineage.pipelines._rna.config import Config
from trilineage.pipelines._rna.fold import Fold, predict_latent, with_classifier
from trilineage.pipelines._rna.material import Material, gather, split_patients
from trilineage.pipelines._rna.scores import (
    null_diagnoser,
    permuted_labels,
    score_subjects,
    summarise_nulls,
    units,
)
from trilineage.pipelines._rna.store import KIND, read_diagnoser
from trilineage.pipelines._runs import fold_name, prediction_weights
from trilineage.training.diagnosis import encode, fit_encoder
from trilineage.training.place import Place, choose_place

ZERO_SHOT = "model"
SAME_DONOR = "model on training patients (leaky)"
LEAKY_NULL = "null: permuted patients, on training patients"
TRAINED = "trained on this population"
REFINED = "hybrid: refined autoencoder"
REFINED_TRAINED = "hybrid: refined autoencoder, trained on this population"

logger = logging.getLogger(__name__)


def transfer_run(run: Run | Path | str, *, to: tuple[str, ...], refine: str | None, device: str) -> Run:
    """Score each population; see `trilineage.rna.transfer`."""
    run = run if isinstance(run, Run) else Run.open(run, kind=KIND)
    prediction_weights(run)
    config = run.config(Config)
    to = to if refine is None or refine in to else (*to, refine)
    if not to:
        raise ConfigError("no population to transfer to", remedy="name one, such as Monocyte")
    material = gather(config)
    require_same_data(run, material)
    splits = split_patients(material, config)
    place = choose_place(config.seed, device).of_run(run)
    scores: list[Score] = []
    comparisons: list[Comparison] = []
    for population in to:
        inside = material.is_in((population,))
        folds = [
            read_fold(run, material, split, number, inside, place) for number, split in enumerate(splits)
        ]
        found = score_population(material, folds, inside, config, place, population=population)
        if refine is not None and np.array_equal(inside, material.is_in((refine,))):
            found = add_refined(material, folds, found, inside, config, place, population=population)
        predictions, extra = found
        results = score_subjects(predictions, material, config, population=population)
        scores += [*results.scores, *extra]
        comparisons += results.comparisons
    if place.processes.is_main:
        run.add_scores(scores, "transfer/scores.json")
        run.add_comparisons(comparisons, "transfer/comparisons.json")
    return run


def require_same_data(run: Run, material: Material) -> None:
    """Refuse a data file that is not the one the Run was made from."""
    known, seen = run.manifest["data"].get("sha256"), material.expression.fingerprint
    if known != seen:
        raise ConfigError(
            "the data file is not the one this Run was made from",
            seen=f"SHA-256 {seen}",
            allowed=f"SHA-256 {known}",
            remedy="restore the file, or fit a new Run",
        )


def read_fold(
    run: Run, material: Material, split: Split, number: int, inside: np.ndarray, place: Place
) -> Fold:
    """Rebuild one split with its diagnoser, and the latents of its own samples and of the asked population."""
    stored = read_diagnoser(run, fold_name(number), device=place.device)
    used = np.flatnonzero((split.parts != "unused") | inside)
    latent = encode(stored.diagnoser.encoder, material.expression, material.rows[used])
    empty = Prediction(
        material.cohort.samples[:0],
        material.cohort.patients[:0],
        stored.classes,
        np.zeros((0, len(stored.classes))),
    )
    return Fold(split, stored.diagnoser, latent, used, empty, empty, {})


def score_population(
    material: Material,
    folds: list[Fold],
    inside: np.ndarray,
    config: Config,
    place: Place,
    *,
    population: str,
) -> tuple[dict[str, Prediction], list[Score]]:
    """Return predictions for held-out patients by subject, and scores of what was not predicted on them."""
    there = [population_split(material, fold.split, inside) for fold in folds]
    own = [
        with_classifier(material, replace(fold, split=split), config, place.stage(f"{population} {number}"))
        for number, (fold, split) in enumerate(zip(folds, there, strict=True))
    ]
    predictions = {
        ZERO_SHOT: pool_predictions(
            [_predicted(material, f, f.diagnoser, s, "test") for f, s in zip(folds, there, strict=True)]
        ),
        MAJORITY: pool_predictions([majority(Task.of(material.cohort, split)) for split in there]),
        TRAINED: pool_predictions([fold.prediction for fold in own]),
    }
    same = pool_predictions(
        [_predicted(material, f, f.diagnoser, s, "train") for f, s in zip(folds, there, strict=True)]
    )
    extra = _scored(same, material, config, subject=SAME_DONOR, population=population)
    return predictions, extra + transfer_nulls(material, folds, there, config, place, population=population)


def transfer_nulls(
    material: Material,
    folds: list[Fold],
    there: list[Split],
    config: Config,
    place: Place,
    *,
    population: str,
) -> list[Score]:
    """Train on permuted patient labels and ask about the population, on held-out and on training patients."""
    rounds: dict[str, list[list[Score]]] = {NULL: [], LEAKY_NULL: []}
    bare = config.replace(**{"evaluation.n_bootstrap": 100})
    n_nulls = config.evaluation.n_nulls
    with progress(f"null: {population}", n_nulls * len(folds), "fits") as bar:
        for number in range(n_nulls):
            pooled: dict[str, list[Prediction]] = {NULL: [], LEAKY_NULL: []}
            for fold, split in zip(folds, there, strict=True):
                labels = permuted_labels(material, fold.split, config, number=number)
                everywhere = labels_of_patients(material, fold.split, labels)
                diagnoser = null_diagnoser(material, fold, labels, config, place, number=number)
                for subject, part in ((NULL, "test"), (LEAKY_NULL, "train")):
                    found = _predicted(material, fold, diagnoser, split, part)
                    chosen = split.positions(part)  # type: ignore[arg-type]
                    pooled[subject].append(replace(found, labels=everywhere[chosen]))
                bar.advance(1)
            for subject, parts in pooled.items():
                rounds[subject].append(
                    _scored(pool_predictions(parts), material, bare, subject=subject, population=population)
                )
    return [score for found in rounds.values() for score in summarise_nulls(found, config.evaluation)]


def add_refined(
    material: Material,
    folds: list[Fold],
    found: tuple[dict[str, Prediction], list[Score]],
    inside: np.ndarray,
    config: Config,
    place: Place,
    *,
    population: str,
) -> tuple[dict[str, Prediction], list[Score]]:
    """Fine-tune the autoencoder on the population (training patients only) and fit the classifiers again."""
    if config.representation != "autoencoder":
        raise ConfigError(
            "only an autoencoder can be refined",
            seen=config.representation,
            allowed="representation=autoencoder",
        )
    zero_shot, trained = [], []
    for number, fold in enumerate(folds):
        stage = place.stage(f"refine {population} {number}")
        split = population_split(material, fold.split, inside)
        rows = material.rows
        encoder, _ = fit_encoder(
            material.expression,
            rows[split.positions("train")],
            rows[split.positions("valid")],
            settings=config,
            place=stage,
            start=fold.diagnoser.encoder.state_dict(),
        )
        latent = encode(encoder, material.expression, rows[fold.used])
        refined = replace(fold, diagnoser=Diagnoser(encoder, fold.diagnoser.classifier), latent=latent)
        own = with_classifier(material, refined, config, stage.stage("again"))
        zero_shot.append(_predicted(material, own, own.diagnoser, split, "test"))
        trained.append(
            with_classifier(material, replace(refined, split=split), config, stage.stage("own")).prediction
        )
    predictions, extra = found
    predictions = {
        **predictions,
        REFINED: pool_predictions(zero_shot),
        REFINED_TRAINED: pool_predictions(trained),
    }
    return predictions, extra


def population_split(material: Material, split: Split, inside: np.ndarray) -> Split:
    """Give every sample of a population the part that its patient plays; patients without a part are unused."""
    part_of: dict[str, str] = {}
    for name in ("train", "valid", "test"):
        part_of |= dict.fromkeys(np.unique(material.cohort.patients[split.parts == name]).tolist(), name)
    patients, codes = np.unique(material.cohort.patients, return_inverse=True)
    parts = np.array([part_of.get(patient, "unused") for patient in patients.tolist()], dtype="<U6")[codes]
    parts[~inside] = "unused"
    return Split(parts, split.name, split.note)


def labels_of_patients(material: Material, split: Split, labels: np.ndarray) -> np.ndarray:
    """Carry the label that each patient has among the samples of a split over to all the patient's samples."""
    used = np.flatnonzero(split.parts != "unused")
    codes = material.cohort.patient_codes
    of_patient = np.full(len(material.cohort.patient_names), -1, dtype=np.int64)
    of_patient[codes[used]] = labels[used]
    return of_patient[codes]


def _predicted(material: Material, fold: Fold, diagnoser: Diagnoser, split: Split, part: str) -> Prediction:
    chosen = split.positions(part)  # type: ignore[arg-type]
    return predict_latent(diagnoser, fold.latent[np.searchsorted(fold.used, chosen)], material, chosen)


def _scored(
    prediction: Prediction, material: Material, config: Config, *, subject: str, population: str
) -> list[Score]:
    seed = derive_seed(config.seed, "evaluation")
    return [
        score
        for unit in units(material)
        for score in score_predictions(
            prediction,
            unit=unit,
            settings=config.evaluation,
            seed=seed,
            subject=subject,
            population=population,
        )
    ]
