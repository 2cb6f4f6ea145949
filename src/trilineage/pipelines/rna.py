"""The rna recipe: from expression to a diagnosis with reasons.

Read from top to bottom. The modules it uses, in the order of the work:

    _rna.config                         every option, with defaults
    data.expression.open                the file, in memory or on disk
    data.expression.populations         progenitors, monocytes, lymphocytes
    data.cohort, data.splits            patients, labels, and a split that cannot leak
    _rna.material                       the four above, joined
    training.diagnosis                  encoder, then classifier, inside one training part
    models.autoencoder, models.classifiers, models.graph, models.diagnoser
    training.objectives, training.loop  the losses and the one loop
    evaluation.calibration              temperature on validation patients
    _rna.fold                           the five above for one split
    _rna.selection                      options chosen inside the training part
    evaluation.baselines, evaluation.null, evaluation.intervals, evaluation.comparison
    _rna.scores                         the model beside baselines and null
    core.artifacts                      the Run
    _rna.store                          what is written to the Run, and read back
    _rna.predict, _rna.transfer, _rna.explain, _rna.study   what is done with it
    _rna.annotated                      the same on AnnData objects

References
----------
Bo, Gu, Sun. Deep Learning Approaches for Blood Disease Diagnosis Across Hematopoietic Lineages. arXiv 2503.20049. The
published split is by cells; here the donor is the unit of splits, scores, weights and intervals.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.core.records import Prediction
from trilineage.data.expression.annotate import AnnData
from trilineage.data.expression.open import from_anndata
from trilineage.data.splits import Split
from trilineage.evaluation.intervals import pool_predictions
from trilineage.pipelines._rna.annotated import annotated_config, predict_annotated, run_folder, write_back
from trilineage.pipelines._rna.config import Config
from trilineage.pipelines._rna.explain import Reference, explain_run
from trilineage.pipelines._rna.fold import Fold, fit_fold, whole_split
from trilineage.pipelines._rna.material import Material, gather, gather_from, split_patients
from trilineage.pipelines._rna.predict import Diagnosis, predict_file
from trilineage.pipelines._rna.scores import Results, baseline_predictions, null_scores, score_subjects
from trilineage.pipelines._rna.selection import select_options
from trilineage.pipelines._rna.store import open_run, write_fold, write_results
from trilineage.pipelines._rna.study import study_variants
from trilineage.pipelines._rna.transfer import transfer_run
from trilineage.pipelines._runs import finish_run, fit_splits, is_done
from trilineage.training.place import Place, choose_place

__all__ = [
    "Config",
    "Diagnosis",
    "explain",
    "fit",
    "fit_adata",
    "predict",
    "predict_adata",
    "study",
    "transfer",
]


def fit(
    config: Config, out: Path | str, *, device: str = "auto", overwrite: bool = False, baselines: bool = True
) -> Run:
    """Learn to diagnose from expression data and score the result on patients held out.

    The patients are split; encoder, classifier, temperature, baselines and any choice of options are fitted inside
    the training part. With several splits (cross-validation, leave-one-site-out) the scores are those of the pooled
    test predictions, and the model that is kept is fitted once more on everyone.

    Parameters
    ----------
    config
        All options; see `Config`.
    out
        Folder of the Run. If it holds an unfinished Run of the same configuration, work goes on where it stopped;
        a finished one is returned as it is.
    device
        `auto`, `cpu`, `cuda` or `cuda:N`.
    overwrite
        Remove a Run that is there.
    baselines
        Whether baselines and null are fitted beside the model (a study needs them once).

    Raises
    ------
    DataError, LeakageError, ConfigError, ArtifactError
        As the parts; nothing that was finished is lost.
    Interrupted
        On SIGTERM or Ctrl-C, after a checkpoint was written.
    """
    return _fit_material(
        gather(config), config, Path(out), device=device, overwrite=overwrite, baselines=baselines
    )


def _fit_material(
    material: Material, config: Config, out: Path, *, device: str, overwrite: bool, baselines: bool
) -> Run:
    """Fit on what was gathered."""
    splits = split_patients(material, config)
    place = choose_place(config.seed, device)
    run = open_run(config, material, out, place=place, overwrite=overwrite)
    if is_done(run):
        return run
    place, whole = place.of_run(run), partial(whole_split, material, config)
    folds = fit_splits(splits, place, partial(_fit_split, run, material, config), whole=whole)
    predictions, results = _score(material, folds, config, place, baselines=baselines)
    return finish_run(run, place, lambda: write_results(run, material, folds, predictions, results))


def fit_adata(
    adata: AnnData,
    *,
    label_key: str,
    patient_key: str | None = None,
    out: Path | str | None = None,
    config: Config | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Run:
    """Learn to diagnose from an AnnData, score the result on patients held out, and write both into the AnnData.

    The AnnData is changed in place; pass `adata.copy()` to keep it as it is. Its matrix is only read. What is written:

    - `obsm["X_trilineage"]`: latent of every sample, of the model that is kept;
    - `obs["trilineage_part"]`: the part each sample played; `test` where it was held out;
    - `obs["trilineage_prediction"]`, `obsm["trilineage_probabilities"]`: class called and calibrated probabilities of
      samples that were held out, in the order of `uns["trilineage"]["classes"]`; missing (NaN) for all others, of which
      the model has seen the answer;
    - `uns["trilineage"]`: scores with intervals as a table, the split, path and configuration of the Run, version.

    Parameters
    ----------
    adata
        Samples x genes, in memory or backed.
    label_key
        Column of `obs` with the diagnosis.
    patient_key
        Column of `obs` with the patient; None: guessed from the names of the columns there are, and said.
    out
        Folder of the Run; None: a new folder among the temporary files, which stays until somebody removes it.
    config
        All other options; the defaults unless given. It names no file.
    device, overwrite
        As in `fit`.

    Raises
    ------
    DataError, LeakageError, ConfigError, ArtifactError, Interrupted
        As `fit`; the AnnData is then unchanged.
    """
    keys = {"label_key": label_key, "patient_key": patient_key}
    settings = annotated_config(config or Config(), keys)
    expression = from_anndata(adata, settings.data)
    material, folder = gather_from(expression, settings), run_folder(out)
    run = _fit_material(material, settings, folder, device=device, overwrite=overwrite, baselines=True)
    write_back(adata, run, expression, device)
    return run


def _fit_split(run: Run, material: Material, config: Config, split: Split, place: Place) -> Fold:
    """Choose options and fit inside one split, and keep the weights under the name of the stage."""
    chosen = select_options(material, split, config, place)
    fold = fit_fold(material, split, chosen, place)
    if place.processes.is_main:
        write_fold(run, fold, chosen, material, place.name)
    return fold


def _score(
    material: Material, folds: Sequence[Fold], config: Config, place: Place, *, baselines: bool
) -> tuple[dict[str, Prediction], Results]:
    """Score the pooled test predictions beside baselines and null; every process does, since the null is trained."""
    population = (
        ", ".join(config.population.test or config.population.train)
        if material.cell_types is not None
        else "all"
    )
    predictions = {"model": pool_predictions([fold.prediction for fold in folds])}
    if baselines:
        predictions |= baseline_predictions(material, folds, config)
    results = score_subjects(predictions, material, config, population=population)
    if baselines and config.evaluation.n_nulls:
        results.scores.extend(null_scores(material, folds, config, place, population=population))
    return predictions, results


def predict(
    run: Run | Path | str,
    data: Path | str,
    *,
    out: Path | str | None = None,
    min_gene_share: float | None = None,
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Diagnose the samples of a new file.

    Parameters
    ----------
    run
        A finished Run of `fit`.
    data
        Expression in any supported format; genes are aligned to the model's and the alignment reported.
    out
        h5ad file to write: the input with `obsm["X_trilineage"]`, class probabilities, a table per patient and the
        alignment report. None writes nothing.
    min_gene_share
        Least share of the model's genes, in [0, 1]; None is 0.5. Lower it at your own risk.
    options
        How to read the file, as fields of `ExpressionSettings` (`layer`, `patient_key`, `state`, ...).

    Raises
    ------
    GeneAlignmentError
        Too few genes in common.
    """
    return predict_file(
        run,
        Path(data),
        out=None if out is None else Path(out),
        min_gene_share=min_gene_share,
        device=device,
        options=options or {},
    )


def predict_adata(
    run: Run | Path | str,
    adata: AnnData,
    *,
    min_gene_share: float | None = None,
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """Diagnose the samples of an AnnData and write the result into it, in place (pass `adata.copy()` to keep it).

    Written are `obs["trilineage_prediction"]` and `obs["trilineage_probability"]` (of the class called),
    `obsm["X_trilineage"]`, `obsm["trilineage_probabilities"]`, and in `uns["trilineage"]` the classes, a table of
    patients, the report on the genes, path and configuration of the Run, and the version.

    Parameters
    ----------
    run, min_gene_share, device
        As in `predict`.
    adata
        Samples x genes, in memory or backed; genes are aligned to the model's.
    options
        How to read it, as fields of `ExpressionSettings` (`layer`, `patient_key`, `state`, ...).

    Raises
    ------
    GeneAlignmentError
        Too few genes in common.
    """
    return predict_annotated(run, adata, min_gene_share=min_gene_share, device=device, options=options or {})


def transfer(
    run: Run | Path | str, *, to: Sequence[str], refine: str | None = None, device: str = "auto"
) -> Run:
    """Score the classifier of a Run on other cell populations without retraining (zero-shot).

    Written to `transfer/` of the Run, per population, on patients held out: zero-shot, the same classifier on the
    training patients (what a split by cells would report), the meaningless-label null on both, a classifier trained
    on that population, and majority. With `refine` the autoencoder is fine-tuned on that population (hybrid) and the
    classifier fitted again on the training population, and compared.
    """
    return transfer_run(run, to=tuple(to), refine=refine, device=device)


def explain(
    run: Run | Path | str,
    *,
    n_seeds: int = 3,
    reference: Reference = "rest",
    max_samples: int = 2000,
    per_patient: int = 20,
    device: str = "auto",
) -> Run:
    """Attribute each class to genes by integrated gradients, with intervals over patients and stability over seeds.

    Written to `explain/` of the Run: `genes.csv`, `stability.json` and, for simulated data, `recovery.json`, the score
    of the genes against the truth; `patient_genes.csv`, the genes for and against the decision for each test patient,
    from at most `per_patient` samples of each (0 leaves it out).
    """
    return explain_run(
        run,
        n_seeds=n_seeds,
        reference=reference,
        max_samples=max_samples,
        per_patient=per_patient,
        device=device,
    )


def study(
    config: Config,
    out: Path | str,
    *,
    vary: Mapping[str, Sequence[Any]],
    device: str = "auto",
    overwrite: bool = False,
) -> Run:
    """Fit one model per combination of options, on the same split, and compare them over the same patients.

    Parameters
    ----------
    vary
        Values by dotted option, such as `{"autoencoder.n_latent": (128, 256, 512)}`; several options make a grid. The
        first combination is the one that the others are compared with.
    """
    return study_variants(config, Path(out), vary=vary, device=device, overwrite=overwrite, fit=fit)
