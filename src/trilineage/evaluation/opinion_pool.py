"""Opinions of several lineages pooled into one: a weighted sum of log-odds against a prior that is counted once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_softmax

from trilineage.core.errors import CohortError
from trilineage.core.seeding import generator
from trilineage.data.stratify import deal_folds
from trilineage.evaluation.fusion import Aligned
from trilineage.evaluation.resampling import patient_strata, resample_weights

_MAX_STEPS, _MAX_HALVINGS, _TOLERANCE, _ROUNDING = 100, 40, 1e-10, 1e-14


@dataclass(frozen=True)
class Pool:
    """A logarithmic opinion pool with weights that were fitted."""

    lineages: tuple[str, ...]
    """Lineages, in the order of the weights."""
    classes: tuple[str, ...]
    """Class names."""
    prior: Float[np.ndarray, " class"]
    """Class shares of the training patients, above 0, summing to 1."""
    weights: Float[np.ndarray, " lineage"]
    """At least 0: 1 takes a lineage at its word, 0 does not listen, above 1 finds it too shy."""
    n_patients: int = 0
    """Labelled patients behind the weights."""

    def fuse(self, aligned: Aligned) -> Float[np.ndarray, "patient class"]:
        """Return the pooled probabilities of patients; one whom nobody knows gets the prior.

        Raises
        ------
        CohortError
            The evidence is of other classes or lineages.
        """
        if (aligned.lineages, aligned.classes) != (self.lineages, self.classes):
            raise CohortError(
                "evidence that the pool was not made for",
                seen=f"{', '.join(aligned.lineages)} on {', '.join(aligned.classes)}",
                allowed=f"{', '.join(self.lineages)} on {', '.join(self.classes)}",
                remedy="align it with the same lineages and classes",
            )
        return np.exp(_log_pool(self.weights[None], np.log(self.prior), aligned.ratios))[0]


def fit_pool(
    aligned: Aligned,
    prior: Float[np.ndarray, " class"],
    *,
    penalty: float = 1.0,
    counts: Float[np.ndarray, " patient"] | None = None,
) -> Pool:
    """Fit the weights of the lineages to labelled patients whom none of the lineages was trained on.

    log p(c) = log prior(c) + sum over lineages m that know the patient of w_m (log p_m(c) - log prior_m(c)) - log Z:
    the logarithmic opinion pool (Genest and Zidek 1986, Statistical Science 1(1), section 3) about a prior that is
    counted once; with every weight 1 the product of experts (Hinton 2002, Neural Computation 14(8), equation 1), right
    where lineages err independently. A lineage that does not know the patient contributes nothing. The weights
    minimise

        - sum over patients of log p(label) + penalty / 2 sum_m (w_m - 1/M)^2,  w_m >= 0,

    which is convex. The penalty holds them at equal shares of one opinion until patients say otherwise; there is no
    further temperature, since the weights are free to sum to anything.

    Parameters
    ----------
    aligned
        Evidence; patients of unknown label (-1) say nothing.
    prior
        Class shares of the training patients.
    penalty
        Strength; about the say of one patient at 1.
    counts
        How often each patient counts, at least 0; None for once.

    Raises
    ------
    CohortError
        No patient has a label.
    """
    known = aligned.labels >= 0
    if not known.any():
        raise CohortError(
            "no labelled patient to weigh the lineages on",
            seen=f"{len(known)} patients",
            allowed="validation patients with a label",
            remedy="set split.valid_fraction above 0, or name validation patients in the split column",
        )
    often = np.ones(len(known)) if counts is None else counts
    weights = _fitted(aligned, prior, often[None], penalty)[0]
    return Pool(aligned.lineages, aligned.classes, prior, weights, int(known.sum()))


def cross_fit(
    aligned: Aligned, prior: Float[np.ndarray, " class"], *, penalty: float, n_folds: int, seed: int
) -> Float[np.ndarray, "patient class"]:
    """Fuse each patient by weights fitted on the others, so that what is calibrated on them sees honest opinions.

    Patients of unknown label are fused by the weights of all.

    Raises
    ------
    CohortError
        As `fit_pool`.
    """
    fused = fit_pool(aligned, prior, penalty=penalty).fuse(aligned)
    known = np.flatnonzero(aligned.labels >= 0)
    n_folds = min(n_folds, len(known))
    if n_folds < 2:
        return fused
    counts = np.eye(len(aligned.classes), dtype=np.int64)[aligned.labels[known]]
    folds = deal_folds(counts, n_folds, rng=generator(seed, "fusion folds"))
    for fold in np.unique(folds):
        often = np.ones(len(aligned.labels))
        often[known[folds == fold]] = 0.0
        own = fit_pool(aligned, prior, penalty=penalty, counts=often)
        fused[known[folds == fold]] = own.fuse(aligned)[known[folds == fold]]
    return fused


def weight_intervals(
    aligned: Aligned,
    prior: Float[np.ndarray, " class"],
    *,
    penalty: float,
    level: float = 0.95,
    n_resamples: int = 200,
    seed: int = 0,
) -> Float[np.ndarray, "lineage 2"]:
    """Return percentile intervals of the weights over the patients, who are resampled inside their class."""
    known = np.flatnonzero(aligned.labels >= 0)
    strata = patient_strata(np.eye(len(aligned.classes), dtype=np.int64)[aligned.labels[known]])
    often = np.ones((n_resamples, len(aligned.labels)))
    often[:, known] = resample_weights(strata, n_resamples, rng=generator(seed, "weights"))
    drawn = _fitted(aligned, prior, often, penalty)
    tails = (100 * (1 - level) / 2, 100 * (1 + level) / 2)
    return np.percentile(drawn, tails, axis=0).T


@dataclass(frozen=True)
class _Loss:
    """What `fit_pool` minimises, for several draws of the same patients at once."""

    ratios: Float[np.ndarray, "lineage patient class"]
    truth: Int[np.ndarray, " patient"]
    log_prior: Float[np.ndarray, " class"]
    counts: Float[np.ndarray, "draw patient"]
    penalty: float

    @property
    def start(self) -> float:
        """Equal shares of one opinion."""
        return 1.0 / len(self.ratios)

    def value(self, weights: Float[np.ndarray, "draw lineage"]) -> Float[np.ndarray, " draw"]:
        """Return the loss of each draw."""
        log_p = _log_pool(weights, self.log_prior, self.ratios)[:, np.arange(len(self.truth)), self.truth]
        held = 0.5 * self.penalty * ((weights - self.start) ** 2).sum(axis=1)
        return held - (self.counts * log_p).sum(axis=1)

    def step(self, weights: Float[np.ndarray, "draw lineage"]) -> Float[np.ndarray, "draw lineage"]:
        """Return the Newton step of each draw; weights at 0 that want to be negative stay."""
        p = np.exp(_log_pool(weights, self.log_prior, self.ratios))
        mean = np.einsum("bpc,mpc->bpm", p, self.ratios)
        said = self.ratios[:, np.arange(len(self.truth)), self.truth].T
        slope = np.einsum("bp,bpm->bm", self.counts, mean - said) + self.penalty * (weights - self.start)
        bend = (
            np.einsum("bpc,mpc,npc->bpmn", p, self.ratios, self.ratios) - mean[..., None] * mean[:, :, None]
        )
        hessian = np.einsum("bp,bpmn->bmn", self.counts, bend) + self.penalty * np.eye(len(self.ratios))
        is_free = (weights > 0) | (slope < 0)
        both = is_free[:, :, None] & is_free[:, None]
        hessian = np.where(both, hessian, np.eye(len(self.ratios)))
        return np.linalg.solve(hessian, np.where(is_free, slope, 0.0)[..., None])[..., 0]


def _fitted(
    aligned: Aligned,
    prior: Float[np.ndarray, " class"],
    counts: Float[np.ndarray, "draw patient"],
    penalty: float,
) -> Float[np.ndarray, "draw lineage"]:
    """Return the weights of each draw by projected Newton steps, halved until they lower the loss.

    Bertsekas 1982, Projected Newton methods, SIAM J. Control Optim. 20(2), section 2. The loss is convex and smooth, so
    that a handful of steps is enough.
    """
    known = aligned.labels >= 0
    loss = _Loss(aligned.ratios[:, known], aligned.labels[known], np.log(prior), counts[:, known], penalty)
    weights = np.full((len(counts), len(aligned.lineages)), loss.start)
    value = loss.value(weights)
    for _ in range(_MAX_STEPS):
        step, length = loss.step(weights), np.ones((len(counts), 1))
        for _ in range(_MAX_HALVINGS):
            moved = np.maximum(weights - length * step, 0.0)
            reached = loss.value(moved)
            is_worse = reached > value + _ROUNDING * np.abs(value)
            if not is_worse.any():
                break
            length[is_worse] /= 2.0
        moved, reached = np.where(is_worse[:, None], weights, moved), np.where(is_worse, value, reached)
        change, weights, value = np.abs(moved - weights).max(), moved, reached
        if change < _TOLERANCE:
            break
    return weights


def _log_pool(
    weights: Float[np.ndarray, "draw lineage"],
    log_prior: Float[np.ndarray, " class"],
    ratios: Float[np.ndarray, "lineage patient class"],
) -> Float[np.ndarray, "draw patient class"]:
    return log_softmax(log_prior + np.einsum("bm,mpc->bpc", weights, ratios), axis=2)
