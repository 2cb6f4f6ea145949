"""Scores of each site, and how far the stains of the sites lie apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from trilineage.core.errors import CohortError
from trilineage.core.records import NodePrediction, Prediction, Score, Unit
from trilineage.core.seeding import generator
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.node_sums import samples_at
from trilineage.evaluation.hierarchy.scores import score_nodes
from trilineage.evaluation.hierarchy.settings import NodeEvaluationSettings
from trilineage.evaluation.intervals import score_predictions
from trilineage.evaluation.logistic import fit_logistic
from trilineage.evaluation.settings import BaselineSettings, EvaluationSettings

N_FOLDS = 5
"""Parts of the patients in which the classifier of sites is tested."""


def site_scores(
    prediction: NodePrediction,
    taxonomy: Taxonomy,
    *,
    unit: Unit = "sample",
    settings: NodeEvaluationSettings | None = None,
    seed: int = 0,
    subject: str = "model",
) -> dict[str, list[Score]]:
    """Score the samples of each site by themselves; `population` of the scores is `site NAME`.

    A site without a labelled sample is left out.

    Raises
    ------
    CohortError
        The prediction knows no sites.
    """
    sites = prediction.sites
    if sites is None:
        raise CohortError(
            "a prediction without sites",
            allowed="a site for each sample",
            remedy="name the site column of the data",
        )
    labels = np.full(len(sites), -1) if prediction.labels is None else prediction.labels
    found = {}
    for site in np.unique(sites[labels > 0]).tolist():
        here = samples_at(prediction, sites == site)
        scores = score_nodes(here, taxonomy, unit=unit, settings=settings, seed=seed, subject=subject)
        found[str(site)] = [replace(score, population=f"site {site}") for score in scores]
    return found


@dataclass(frozen=True)
class StainShift:
    """How the stains of the sites differ."""

    sites: tuple[str, ...]
    """Names, sorted."""
    features: tuple[str, ...]
    """Names of the stain features."""
    means: Float[np.ndarray, "site feature"]
    """Mean over the patients of a site of their mean."""
    deviations: Float[np.ndarray, "site feature"]
    """Standard deviation over the images of a site, each patient weighing the same."""
    differences: Float[np.ndarray, "site feature"]
    """Standardised difference of a site from all others: difference of means / pooled standard deviation."""
    n_samples: tuple[int, ...]
    """Images of each site."""
    n_patients: tuple[int, ...]
    """Patients of each site."""
    separability: Score
    """AUROC with which the stain alone tells the site of a patient that was left out; 0.5 means no shift."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        rows = [
            {
                "site": site,
                "n_samples": self.n_samples[place],
                "n_patients": self.n_patients[place],
                "means": _named(self.features, self.means[place]),
                "deviations": _named(self.features, self.deviations[place]),
                "differences": _named(self.features, self.differences[place]),
            }
            for place, site in enumerate(self.sites)
        ]
        return {"features": list(self.features), "sites": rows, "separability": self.separability.to_dict()}


def stain_shift(
    values: Float[np.ndarray, "sample feature"],
    names: Sequence[str],
    sites: Shaped[np.ndarray, " sample"],
    patients: Shaped[np.ndarray, " sample"],
    *,
    settings: EvaluationSettings | None = None,
    seed: int = 0,
) -> StainShift:
    """Compare the stain features (optical density of each stain, background, ...) of the sites.

    The separability is that of a logistic regression that is fitted and tested on different patients; where a
    patient has images of several sites they stay on one side.

    Parameters
    ----------
    values
        Stain features of each image.
    names
        Name of each feature.
    sites, patients
        Of each image.
    settings
        Level and number of resamples.
    seed
        Deals the patients into folds and draws the resamples.

    Raises
    ------
    CohortError
        One site only, a site with a single patient, or values that are not finite.
    """
    settings = settings or EvaluationSettings()
    known, codes = np.unique(sites, return_inverse=True)
    n_patients = tuple(len(np.unique(patients[codes == code])) for code in range(len(known)))
    _require_comparable(values, n_patients)
    moments = [_moments(values[codes == code], patients[codes == code]) for code in range(len(known))]
    others = [_moments(values[codes != code], patients[codes != code]) for code in range(len(known))]
    differences = [
        (own[0] - other[0]) / np.maximum(np.sqrt((own[1] ** 2 + other[1] ** 2) / 2.0), 1e-12)
        for own, other in zip(moments, others, strict=True)
    ]
    return StainShift(
        sites=tuple(map(str, known)),
        features=tuple(names),
        means=np.stack([mean for mean, _ in moments]),
        deviations=np.stack([deviation for _, deviation in moments]),
        differences=np.stack(differences),
        n_samples=tuple(np.bincount(codes).tolist()),
        n_patients=n_patients,
        separability=_separability(values, tuple(map(str, known)), codes, patients, settings, seed=seed),
    )


def _require_comparable(values: Float[np.ndarray, "sample feature"], n_patients: tuple[int, ...]) -> None:
    if len(n_patients) < 2 or min(n_patients) < 2 or not np.isfinite(values).all():
        raise CohortError(
            "stains that cannot be compared between sites",
            seen=f"sites of {', '.join(map(str, n_patients))} patients",
            allowed="finite values of at least two sites with two patients each",
            remedy="name the site column, or leave the stain report out",
        )


def _moments(
    values: Float[np.ndarray, "sample feature"], patients: Shaped[np.ndarray, " sample"]
) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, " feature"]]:
    """Return mean and standard deviation, each patient weighing the same."""
    _, codes, counts = np.unique(patients, return_inverse=True, return_counts=True)
    weight = 1.0 / (len(counts) * counts[codes])
    mean = weight @ values
    return mean, np.sqrt(weight @ (values - mean) ** 2)


def _separability(
    values: Float[np.ndarray, "sample feature"],
    sites: tuple[str, ...],
    codes: Int[np.ndarray, " sample"],
    patients: Shaped[np.ndarray, " sample"],
    settings: EvaluationSettings,
    *,
    seed: int,
) -> Score:
    fold = _patient_folds(codes, patients, len(sites), seed)
    probabilities = np.zeros((len(codes), len(sites)))
    for number in np.unique(fold).tolist():
        is_out = fold == number
        fitted = fit_logistic(values[~is_out], codes[~is_out], len(sites), settings=BaselineSettings())
        probabilities[is_out] = fitted.probabilities(values[is_out])
    names = np.arange(len(codes)).astype(str)
    told = Prediction(names, patients, sites, probabilities, codes.astype(np.int64))
    (score,) = score_predictions(
        told, settings=settings.replace(metrics=("auroc",)), seed=seed, subject="site from stain"
    )
    note = "of features that say nothing, cross-validation lands on either side: below 0.5 means no more than 0.5"
    return replace(score, note="; ".join(filter(None, (score.note, note))))


def _patient_folds(
    codes: Int[np.ndarray, " sample"], patients: Shaped[np.ndarray, " sample"], n_sites: int, seed: int
) -> Int[np.ndarray, " sample"]:
    """Deal the patients of each site in turn, so that every fold's training part knows every site."""
    names, first, of_sample = np.unique(patients, return_index=True, return_inverse=True)
    site_of_patient = codes[first]
    shuffled = generator(seed, "site folds").permutation(len(names))
    fold = np.empty(len(names), dtype=np.int64)
    for site in range(n_sites):
        members = shuffled[site_of_patient[shuffled] == site]
        fold[members] = np.arange(len(members)) % N_FOLDS
    return fold[of_sample]


def _named(names: Sequence[str], values: Float[np.ndarray, " feature"]) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))
