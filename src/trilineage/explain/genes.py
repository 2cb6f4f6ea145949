"""Genes behind a class: integrated gradients, their table over patients, stability over seeds, recovery of a truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

Logits = Callable[[Float[Tensor, "cell gene"]], Float[Tensor, "cell class"]]
"""From normalised expression, with its zeros, to one logit per class; differentiable."""

N_TOP = 50
"""Genes whose overlap between seeds is counted, and over which precision is taken."""


def class_evidence(logits: Float[Tensor, "cell class"], target: int) -> Float[Tensor, " cell"]:
    """Return the logit of a class above the mean logit: what a softmax can see of it."""
    return logits[:, target] - logits.mean(dim=1)


def integrated_gradients(
    logits: Logits,
    inputs: Float[Tensor, "cell gene"],
    baseline: Float[Tensor, " gene"],
    target: int,
    *,
    n_steps: int = 32,
) -> Float[Tensor, "cell gene"]:
    """Share out the evidence for a class among the genes of each cell.

    Sundararajan et al. 2017, equation 1: (x - b) times the mean gradient of the evidence on the straight way from b to
    x; here the mean is taken at the midpoints of `n_steps` equal steps. Per cell the attributions add up to the
    evidence at x less that at b, within the error of the steps (`completeness_gap` tells it).

    Parameters
    ----------
    logits
        The model from dense normalised expression to logits, in evaluation mode.
    inputs
        Cells, on the scale the model was trained on.
    baseline
        Where the way starts: expression that says nothing, such as the mean of the other classes.
    target
        Index of the class.
    n_steps
        Points at which the gradient is taken; memory does not grow with them.
    """
    difference = inputs - baseline
    total = torch.zeros_like(inputs)
    for step in range(n_steps):
        point = (baseline + (step + 0.5) / n_steps * difference).detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(class_evidence(logits(point), target).sum(), point)
        total += gradient
    return (difference * total / n_steps).detach()


@torch.no_grad()
def completeness_gap(
    logits: Logits,
    inputs: Float[Tensor, "cell gene"],
    baseline: Float[Tensor, " gene"],
    target: int,
    *,
    attributions: Float[Tensor, "cell gene"],
) -> float:
    """Return how far sums of attributions are from the evidence they should add up to, relative to its mean size."""
    before = class_evidence(logits(baseline[None]), target)
    expected = class_evidence(logits(inputs), target) - before
    gap = (attributions.sum(dim=1) - expected).abs().mean()
    return float(gap / expected.abs().mean().clamp_min(1e-12))


@dataclass(frozen=True)
class GeneTable:
    """Attributions of one class over patients, one entry per gene."""

    attribution: Float[np.ndarray, " gene"]
    """Mean over patients of their mean over cells; positive speaks for the class."""
    low: Float[np.ndarray, " gene"]
    """Lower end of the interval over patients; NaN with fewer than two."""
    high: Float[np.ndarray, " gene"]
    """Upper end of the interval."""
    share_of_patients: Float[np.ndarray, " gene"]
    """Share of the patients in whom the gene has the sign of the mean."""

    @property
    def order(self) -> Int[np.ndarray, " gene"]:
        """Genes from the strongest to the weakest, whatever their sign."""
        return np.argsort(-np.abs(self.attribution), kind="stable")


def patient_means(
    attributions: Float[np.ndarray, "cell gene"], patients: Shaped[np.ndarray, " cell"]
) -> Float[np.ndarray, "patient gene"]:
    """Average the cells of each patient, patients in the order of their names."""
    _, codes, counts = np.unique(patients, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), attributions.shape[1]))
    np.add.at(sums, codes, attributions)
    return sums / counts[:, None]


def tabulate_genes(means: Float[np.ndarray, "patient gene"], *, level: float = 0.95) -> GeneTable:
    """Summarise attributions per patient; the interval is Student's over patients, each weighing the same."""
    n_patients = len(means)
    mean = means.mean(axis=0)
    half = np.full(len(mean), np.nan)
    if n_patients > 1:
        error = means.std(axis=0, ddof=1) / np.sqrt(n_patients)
        half = stats.t.ppf(0.5 + level / 2, n_patients - 1) * error
    agreeing = np.where(mean == 0, 0.0, (np.sign(means) == np.sign(mean)).mean(axis=0))
    return GeneTable(mean, mean - half, mean + half, agreeing)


@dataclass(frozen=True)
class Stability:
    """How much of a gene ranking survives another seed."""

    rank_correlation: float
    """Mean Spearman correlation of |attribution| over pairs of seeds; NaN with one seed."""
    overlap: float
    """Mean Jaccard overlap of the strongest `N_TOP` genes over pairs of seeds."""
    overlap_by_chance: float
    """Jaccard overlap expected of two random sets of that size."""
    share_of_seeds: Float[np.ndarray, " gene"]
    """Share of the seeds that have the gene among the strongest `N_TOP`."""


def stability(attributions: Sequence[Float[np.ndarray, " gene"]], *, n_top: int = N_TOP) -> Stability:
    """Compare the gene rankings of models that differ in their seed only."""
    sizes = np.abs(np.stack(list(attributions)))
    n_seeds, n_genes = sizes.shape
    n_top = min(n_top, n_genes)
    tops = np.zeros(sizes.shape, dtype=bool)
    np.put_along_axis(tops, np.argsort(-sizes, axis=1, kind="stable")[:, :n_top], True, axis=1)
    pairs = [(i, j) for i in range(n_seeds) for j in range(i)]
    correlations = [stats.spearmanr(sizes[i], sizes[j]).statistic for i, j in pairs]
    overlaps = [(tops[i] & tops[j]).sum() / (tops[i] | tops[j]).sum() for i, j in pairs]
    by_chance = (n_top / n_genes) / (2 - n_top / n_genes)
    return Stability(
        float(np.mean(correlations)) if pairs else float("nan"),
        float(np.mean(overlaps)) if pairs else float("nan"),
        by_chance,
        tops.mean(axis=0),
    )


@dataclass(frozen=True)
class Recovery:
    """How well |attribution| finds the genes of a known program."""

    auroc: float
    """Chance that a program gene ranks above another gene; 0.5 by chance."""
    average_precision: float
    """Average precision; by chance `prevalence`."""
    precision_at_k: float
    """Share of program genes among the strongest k, k the smaller of `N_TOP` and the program."""
    prevalence: float
    """Share of program genes among all genes: what chance gets."""
    share_speaking_for: float
    """Share of the program genes among the strongest k that speak for the class, be they raised or lowered by it."""


def recovery(attribution: Float[np.ndarray, " gene"], effects: Float[np.ndarray, " gene"]) -> Recovery | None:
    """Score a gene ranking against the effects of a simulated disease; None where the disease changes no gene (or all).

    Parameters
    ----------
    attribution
        Signed attribution per gene.
    effects
        True log fold change per gene, 0 outside the program.
    """
    is_program: Bool[np.ndarray, " gene"] = effects != 0
    if not is_program.any() or is_program.all():
        return None
    size = np.abs(attribution)
    k = min(N_TOP, int(is_program.sum()))
    strongest = np.argsort(-size, kind="stable")[:k]
    found = strongest[is_program[strongest]]
    return Recovery(
        auroc=float(roc_auc_score(is_program, size)),
        average_precision=float(average_precision_score(is_program, size)),
        precision_at_k=float(is_program[strongest].mean()),
        prevalence=float(is_program.mean()),
        share_speaking_for=float((attribution[found] > 0).mean()) if len(found) else float("nan"),
    )
