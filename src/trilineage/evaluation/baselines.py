"""The simple models every score stands beside: majority, composition, pseudobulk, principal components."""

import numpy as np
from jaxtyping import Float, Int, Shaped

from trilineage.core.errors import CohortError
from trilineage.core.records import Prediction
from trilineage.core.seeding import generator
from trilineage.data.components import Rows, fit_components
from trilineage.evaluation.logistic import fit_logistic
from trilineage.evaluation.settings import BaselineSettings
from trilineage.evaluation.task import Task

MAJORITY = "baseline: majority"
COMPOSITION = "baseline: composition"
PSEUDOBULK = "baseline: pseudobulk + logistic"
PCA_LOGISTIC = "baseline: PCA + logistic"
NULL = "null: permuted patients"

PSEUDOBULK_TARGET = 1e4
"""Counts per patient after library-size normalisation, as for cells."""


def majority(task: Task) -> Prediction:
    """Predict the class shares of the training samples for everyone: the commonest class is called every time."""
    shares = np.bincount(task.labels[task.train], minlength=len(task.classes)) / len(task.train)
    return task.predict_samples(np.tile(shares, (len(task.test), 1)))


def composition(
    task: Task,
    cell_types: Shaped[np.ndarray, " cell"],
    *,
    cell_patients: Shaped[np.ndarray, " cell"] | None = None,
    settings: BaselineSettings | None = None,
) -> Prediction:
    """Predict patients from the shares of their cell types alone: centred log-ratio + logistic regression.

    clr_t = log(share_t) - mean over types of log(share) (Aitchison 1982), after a pseudocount per type. The types are
    those of the training patients.

    Parameters
    ----------
    task
        What to learn from and to predict.
    cell_types
        Type of each cell (str).
    cell_patients
        Patient of each cell; None if the cells are the samples of the task. Give both to count more cells than the
        task predicts (all cells of a patient, where the task is about progenitors).
    settings
        Pseudocount and penalty.

    Raises
    ------
    CohortError
        A training patient carries several labels, or cells and patients differ in number.
    """
    settings = settings or BaselineSettings()
    counts = _type_counts(task, cell_types, task.patients if cell_patients is None else cell_patients)
    logs = np.log(counts + settings.pseudocount)
    return _from_patients(task, logs - logs.mean(axis=1, keepdims=True), settings)


def pseudobulk(
    task: Task,
    sums: Float[np.ndarray, "patient gene"],
    *,
    is_counts: bool,
    settings: BaselineSettings | None = None,
) -> Prediction:
    """Predict patients from the summed expression of their samples: logistic regression on variable genes.

    Parameters
    ----------
    task
        What to learn from and to predict.
    sums
        Sum over the samples of each patient, rows as `task.patient_names`. With an expression matrix:
        `expression.group_sums(task.used_patients, len(task.patient_names), positions=task.used)`.
    is_counts
        Whether these are counts (then scaled to 1e4 per patient and log1p); otherwise the mean is taken.
    settings
        Number of genes and penalty.

    Raises
    ------
    CohortError
        A training patient carries several labels, or the rows are not the task's patients.
    """
    settings = settings or BaselineSettings()
    if len(sums) != len(task.patient_names):
        raise CohortError(
            "pseudobulk sums of other patients",
            seen=f"{len(sums)} rows",
            allowed=f"{len(task.patient_names)} rows, one for each of task.patient_names",
            remedy="sum over task.used with the groups task.used_patients",
        )
    values = _normalised(sums) if is_counts else sums / np.bincount(task.used_patients)[:, None]
    variance = values[task.train_patients].var(axis=0)
    genes = np.sort(np.argsort(-variance, kind="stable")[: settings.n_genes])
    return _from_patients(task, values[:, genes], settings)


def pca_logistic(
    task: Task, rows: Rows, *, settings: BaselineSettings | None = None, seed: int = 0
) -> Prediction:
    """Predict samples from their principal components: variable genes, PCA and logistic regression.

    Everything is fitted on at most `settings.max_samples` training samples, drawn evenly over the training patients.

    Parameters
    ----------
    task
        What to learn from and to predict.
    rows
        Gives normalised values (log1p) of the samples at some positions as CSR, sample x gene.
    settings
        Numbers of genes, components and samples, and the penalty.
    seed
        Chooses the training samples where there are more.
    """
    settings = settings or BaselineSettings()
    chosen = _drawn_evenly(task, settings.max_samples, seed)
    components = fit_components(rows, chosen, n_genes=settings.n_genes, n_components=settings.n_components)
    fitted = fit_logistic(
        components.project(rows, chosen), task.labels[chosen], len(task.classes), settings=settings
    )
    return task.predict_samples(fitted.probabilities(components.project(rows, task.test)))


def _from_patients(
    task: Task, features: Float[np.ndarray, "patient feature"], settings: BaselineSettings
) -> Prediction:
    """Fit on the training patients, predict all, and give each test sample what its patient got."""
    fitted = fit_logistic(
        features[task.train_patients], task.train_patient_labels, len(task.classes), settings=settings
    )
    return task.predict_patients(fitted.probabilities(features))


def _type_counts(
    task: Task, cell_types: Shaped[np.ndarray, " cell"], cell_patients: Shaped[np.ndarray, " cell"]
) -> Float[np.ndarray, "patient type"]:
    """Count the cells of each type (types of the training patients only) in each patient of the task."""
    if len(cell_types) != len(cell_patients):
        raise CohortError(
            "cell types and patients differ in number",
            seen=f"{len(cell_types)} and {len(cell_patients)}",
            allowed="one patient per cell",
            remedy="take both from the same table",
        )
    trained = task.patient_names[task.train_patients]
    types = np.unique(cell_types[np.isin(cell_patients, trained)])
    is_counted = np.isin(cell_types, types) & np.isin(cell_patients, task.patient_names)
    patients = np.searchsorted(task.patient_names, cell_patients[is_counted])
    columns = np.searchsorted(types, cell_types[is_counted])
    shape = (len(task.patient_names), len(types))
    flat = patients * shape[1] + columns
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)


def _normalised(sums: Float[np.ndarray, "patient gene"]) -> Float[np.ndarray, "patient gene"]:
    totals = np.maximum(sums.sum(axis=1, keepdims=True), 1.0)
    return np.log1p(sums / totals * PSEUDOBULK_TARGET)


def _drawn_evenly(task: Task, max_samples: int, seed: int) -> Int[np.ndarray, " chosen"]:
    """Draw training samples so that no patient gives more than needed while another has samples left."""
    if len(task.train) <= max_samples:
        return task.train
    order = generator(seed, "baseline samples").permutation(task.train)
    patients = task.patients[order]
    grouped = np.argsort(patients, kind="stable")
    _, starts, counts = np.unique(patients[grouped], return_index=True, return_counts=True)
    turn = np.empty(len(order), dtype=np.int64)
    turn[grouped] = np.arange(len(order)) - np.repeat(starts, counts)
    return np.sort(order[np.argsort(turn, kind="stable")[:max_samples]])
