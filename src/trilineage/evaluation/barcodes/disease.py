"""Concepts specific to a disease: permutation tests over patients, with effect sizes and their intervals."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int, Shaped
from scipy.stats import norm, rankdata, t

from trilineage.core.errors import CohortError
from trilineage.core.seeding import generator
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.cohort import shown
from trilineage.evaluation.barcodes.make import weigh
from trilineage.evaluation.barcodes.settings import DiseaseSettings
from trilineage.evaluation.multiple import adjusted_p_values
from trilineage.evaluation.resampling import Strata, resample_weights

LATENTS_AT_ONCE = 2048
"""Latents whose permuted statistics are held at the same time."""

_ROUNDING = 1.0 - 1e-9
"""A permuted statistic that is smaller by rounding only counts as equal."""


@dataclass(frozen=True)
class DiseaseConcepts:
    """What sets the patients of a disease apart, latent by latent; numbers of log(1 + tokens per image)."""

    disease: str
    """Label of the patients that are looked at."""
    against: str
    """Whom they are held against: another label, or `rest`."""
    latents: Int[np.ndarray, " tested"]
    """Latents that enough patients have, ascending."""
    difference: Float[np.ndarray, " tested"]
    """Mean of the disease minus mean of the others."""
    effect: Float[np.ndarray, " tested"]
    """The same in pooled standard deviations, corrected for few patients (Hedges 1981); 0 where nothing varies."""
    auroc: Float[np.ndarray, " tested"]
    """Chance that a patient with the disease has more than one without; ties count half."""
    p_value: Float[np.ndarray, " tested"]
    """Two-sided, of this latent alone; not below 1 / (permutations + 1)."""
    p_max: Float[np.ndarray, " tested"]
    """Two-sided, adjusted so that any false discovery at all is that unlikely (max-T of Westfall and Young 1993)."""
    q_value: Float[np.ndarray, " tested"]
    """False discovery rate (Benjamini and Hochberg), of p-values whose null is that of all latents together."""
    n_patients: tuple[int, int]
    """Patients with the disease and without."""

    def specific(self, alpha: float = 0.05) -> Int[np.ndarray, " chosen"]:
        """Return the latents above the false discovery rate that the disease has more of, largest effect first."""
        chosen = np.flatnonzero((self.q_value <= alpha) & (self.difference > 0))
        return self.latents[chosen[np.argsort(-self.effect[chosen], kind="stable")]]


class EffectInterval(NamedTuple):
    """Effects with intervals over patients."""

    latents: Int[np.ndarray, " chosen"]
    """The latents asked for."""
    effect: Float[np.ndarray, " chosen"]
    """As in `DiseaseConcepts`."""
    low: Float[np.ndarray, " chosen"]
    """Lower ends."""
    high: Float[np.ndarray, " chosen"]
    """Upper ends."""


class _Sides(NamedTuple):
    """The patients of both sides."""

    values: sp.csc_array
    """Their barcodes (patient latent)."""
    has_disease: Bool[np.ndarray, " patient"]
    """Who has the disease."""
    sites: Shaped[np.ndarray, " patient"]
    """Whom a patient exchanges labels with."""

    def logs(self, latents: Int[np.ndarray, " chosen"]) -> Float[np.ndarray, "patient chosen"]:
        """Return log(1 + tokens per image)."""
        return np.log1p(self.values[:, latents].toarray().astype(np.float64))


def disease_concepts(
    barcodes: Barcodes,
    disease: str,
    *,
    against: str | None = None,
    within_sites: bool = False,
    settings: DiseaseSettings | None = None,
    seed: int = 0,
) -> DiseaseConcepts:
    """Test which latents patients with a disease have more or less of.

    The labels of the patients are exchanged at random. The statistic is Student's t of log(1 + tokens per image); as
    every permutation keeps a latent's total variance, it follows from the mean difference alone.

    Parameters
    ----------
    barcodes
        Patients with labels, weighting `mean`.
    disease
        The label to look at.
    against
        The label to compare with; None for all other patients.
    within_sites
        Whether patients exchange labels only with patients of their site, so that a site with more of the disease and
        another stain does not make concepts.
    settings
        Permutations, and how many patients must have a latent.
    seed
        Decides the permutations.

    Raises
    ------
    CohortError
        Fewer than two patients on a side, sites unknown or without both, or no latent to test.
    ConfigError
        If the barcodes are weighted.
    """
    settings = settings or DiseaseSettings()
    sides = _sides(barcodes, disease, against, within_sites)
    latents = _shared_latents(sides, settings.min_patients)
    rng = generator(seed, "disease", disease, against or "rest")
    permuted, own = _permutations(sides, settings.n_permutations, rng), sides.has_disease[None].astype(float)
    found = {name: np.empty(len(latents)) for name in ("t", "difference", "effect", "auroc", "p_value")}
    highest, null = np.zeros(settings.n_permutations), _Histogram()
    for start in range(0, len(latents), LATENTS_AT_ONCE):
        block = slice(start, start + LATENTS_AT_ONCE)
        logs = sides.logs(latents[block])
        drawn, observed = np.abs(_t_values(logs, permuted)), np.abs(_t_values(logs, own))[0]
        reached = (drawn >= observed * _ROUNDING).sum(axis=0)
        found["t"][block], found["p_value"][block] = observed, (1 + reached) / (1 + len(drawn))
        means = [logs[side].mean(axis=0) for side in (sides.has_disease, ~sides.has_disease)]
        found["difference"][block] = means[0] - means[1]
        found["effect"][block] = _hedges(logs, own, 1.0)[0]
        found["auroc"][block] = _areas(logs, sides.has_disease)
        highest = np.maximum(highest, drawn.max(axis=1))
        null.add(drawn)
    above = len(highest) - np.searchsorted(np.sort(highest), found["t"] * _ROUNDING)
    q_value = adjusted_p_values(null.p_values(found.pop("t")))
    return DiseaseConcepts(
        disease=disease,
        against=against or "rest",
        latents=latents,
        p_max=(1 + above) / (1 + len(highest)),
        q_value=q_value,
        n_patients=(int(sides.has_disease.sum()), int((~sides.has_disease).sum())),
        **found,
    )


def effect_intervals(
    barcodes: Barcodes,
    found: DiseaseConcepts,
    latents: Int[np.ndarray, " chosen"],
    *,
    settings: DiseaseSettings | None = None,
    seed: int = 0,
) -> EffectInterval:
    """Return the effects of some latents with percentile intervals by resampling the patients of both sides.

    Quantiles are those of t, which widens them for few patients (Hesterberg 2015).

    Parameters
    ----------
    barcodes
        Those that were tested.
    found
        From `disease_concepts`.
    latents
        Which to look at, such as `found.specific()`.
    settings
        Resamples and level.
    seed
        Decides the resamples.

    Raises
    ------
    CohortError
        As `disease_concepts`.
    """
    settings = settings or DiseaseSettings()
    against = None if found.against == "rest" else found.against
    sides = _sides(barcodes, found.disease, against, False)
    strata = Strata(sides.has_disease.astype(np.int64), "")
    rng = generator(seed, "effects", found.disease)
    weights = resample_weights(strata, settings.n_bootstrap, rng=rng)
    own, effect = sides.has_disease.astype(np.float64), np.empty(len(latents))
    drawn = np.empty((settings.n_bootstrap, len(latents)))
    for start in range(0, len(latents), LATENTS_AT_ONCE):
        block = slice(start, start + LATENTS_AT_ONCE)
        logs = sides.logs(latents[block])
        effect[block] = _hedges(logs, own[None], 1.0)[0]
        drawn[:, block] = _hedges(logs, weights * own, weights)
    reach = t.ppf(0.5 + settings.level / 2.0, strata.degrees_of_freedom) * np.array([-1.0, 1.0])
    low, high = np.quantile(drawn, norm.cdf(reach), axis=0)
    return EffectInterval(latents, effect, np.minimum(low, effect), np.maximum(high, effect))


class _Histogram:
    """Counts of null statistics on a fine grid: what all latents reach under permutation, in constant memory."""

    STEP, LARGEST = 1e-3, 100.0

    def __init__(self) -> None:
        self._counts = np.zeros(int(self.LARGEST / self.STEP) + 2, dtype=np.int64)

    def add(self, values: Float[np.ndarray, "permutation latent"]) -> None:
        self._counts += np.bincount(self._places(values).ravel(), minlength=len(self._counts))

    def p_values(self, observed: Float[np.ndarray, " tested"]) -> Float[np.ndarray, " tested"]:
        """Return the share of null statistics at least as large, those of the same step included."""
        at_least = np.cumsum(self._counts[::-1])[::-1]
        return (1 + at_least[self._places(observed)]) / (1 + at_least[0])

    def _places(self, values: Float[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
        return (np.minimum(values, self.LARGEST) / self.STEP).astype(np.int64)


def _sides(barcodes: Barcodes, disease: str, against: str | None, within_sites: bool) -> _Sides:
    """Return the patients concerned, and who is who."""
    labels = weigh(barcodes, "mean").require_labels()
    rows = np.flatnonzero(
        np.isin(labels, (disease, against)) if against else np.ones(len(labels), dtype=bool)
    )
    has_disease = labels[rows] == disease
    n_each = int(has_disease.sum()), int((~has_disease).sum())
    if min(n_each) < 2:
        raise CohortError(
            f"too few patients to tell '{disease}' from {against or 'the rest'}",
            seen=f"{n_each[0]} and {n_each[1]} patients; labels: {shown(np.unique(labels))}",
            allowed="at least 2 patients on each side",
            remedy="add patients, or choose another label",
        )
    sites = _sites(barcodes, rows, has_disease) if within_sites else np.zeros(len(rows), dtype=np.int64)
    return _Sides(sp.csc_array(barcodes.values[rows]), has_disease, sites)


def _shared_latents(sides: _Sides, min_patients: int) -> Int[np.ndarray, " tested"]:
    """Return the latents that enough patients have."""
    n_with = np.diff(sides.values.indptr)
    latents = np.flatnonzero(n_with >= min_patients)
    if len(latents) == 0:
        raise CohortError(
            "no latent that enough patients have",
            seen=f"at most {int(n_with.max(initial=0))} patients share a latent",
            allowed=f"at least {min_patients} patients",
            remedy="lower min_patients, or tau",
        )
    return latents


def _sites(
    barcodes: Barcodes, rows: Int[np.ndarray, " patient"], has_disease: Bool[np.ndarray, " patient"]
) -> Shaped[np.ndarray, " patient"]:
    sites = np.full(len(rows), "") if barcodes.sites is None else barcodes.sites[rows]
    both = [site for site in np.unique(sites) if site and len(np.unique(has_disease[sites == site])) == 2]
    if not both:
        raise CohortError(
            "no site has patients of both sides, so labels cannot be exchanged within sites",
            seen=shown([site or "unknown" for site in np.unique(sites)]),
            allowed="a site with patients of both sides",
            remedy="exchange labels over all sites (within_sites=False), and read the result with care",
        )
    return sites


def _permutations(
    sides: _Sides, n_permutations: int, rng: np.random.Generator
) -> Float[np.ndarray, "permutation patient"]:
    """Return 1 for who has the disease in each exchange of labels inside the sites, and 0 for the others."""
    permuted = np.tile(sides.has_disease.astype(np.float64), (n_permutations, 1))
    for site in np.unique(sides.sites):
        members = np.flatnonzero(sides.sites == site)
        permuted[:, members] = rng.permuted(permuted[:, members], axis=1)
    return permuted


def _t_values(
    logs: Float[np.ndarray, "patient latent"], has_disease: Float[np.ndarray, "permutation patient"]
) -> Float[np.ndarray, "permutation latent"]:
    """Return Student's t of each latent under each grouping; 0 where nothing varies."""
    n, n_one = len(logs), int(has_disease[0].sum())
    n_other = n - n_one
    centred = logs - logs.mean(axis=0)
    total = (centred**2).sum(axis=0)
    sums = has_disease @ centred
    between = sums**2 * (n / (n_one * n_other))
    inside = np.maximum(total - between, 1e-9 * total) / (n - 2)
    differences = sums * (n / (n_one * n_other))
    scale = np.sqrt(inside * (n / (n_one * n_other)))
    return np.divide(differences, scale, out=np.zeros_like(sums), where=scale > 0)


def _hedges(
    logs: Float[np.ndarray, "patient latent"],
    own: Float[np.ndarray, "draw patient"],
    weights: Float[np.ndarray, "draw patient"] | float,
) -> Float[np.ndarray, "draw latent"]:
    """Return Hedges' g under each row of weights of the two sides."""
    others = weights - own
    sizes = [side.sum(axis=1, keepdims=True) for side in (own, others)]
    means = [side @ logs / size for side, size in zip((own, others), sizes, strict=True)]
    squares = (own + others) @ logs**2
    inside = squares - sum(size * mean**2 for size, mean in zip(sizes, means, strict=True))
    freedom = sizes[0] + sizes[1] - 2.0
    deviation = np.sqrt(np.maximum(inside, 0.0) / freedom)
    differences = means[0] - means[1]
    g = np.divide(differences, deviation, out=np.zeros_like(differences), where=deviation > 1e-9)
    return g * (1.0 - 3.0 / (4.0 * freedom - 1.0))


def _areas(
    logs: Float[np.ndarray, "patient latent"], has_disease: Bool[np.ndarray, " patient"]
) -> Float[np.ndarray, " latent"]:
    n_one, n_other = int(has_disease.sum()), int((~has_disease).sum())
    ranks = rankdata(logs, axis=0)[has_disease].sum(axis=0)
    return (ranks - n_one * (n_one + 1) / 2.0) / (n_one * n_other)
