"""Whether the images of a latent look alike to an encoder that had no part in it: the monosemanticity score."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64, Shaped

from trilineage.core.errors import DataError
from trilineage.core.seeding import generator
from trilineage.evaluation.concepts.references import References

LATENTS_AT_ONCE = 512
"""Latents whose references are compared at the same time: 8,192 vectors of 768 are 25 MB."""


@dataclass(frozen=True)
class Monosemanticity:
    """Similarity of each latent's references, and of images drawn at random; 0 where `is_known` is False."""

    score: Float64[np.ndarray, " latent"]
    """Mean cosine over pairs of references, weighted by their activations, in [-1, 1]."""
    n_pairs: Int64[np.ndarray, " latent"]
    """Pairs of references that were compared."""
    is_known: Bool[np.ndarray, " latent"]
    """Whether there is a pair."""
    chance: float
    """Mean score of random images with the latents' own activations and numbers of references."""
    chance_deviation: float
    """Standard deviation of that score."""
    p_value: Float64[np.ndarray, " latent"]
    """Share of random sets that score at least as high, counting this one; 1 where unknown."""

    @property
    def above_chance(self) -> Float64[np.ndarray, " latent"]:
        """Score less chance; 0 where unknown."""
        return np.where(self.is_known, self.score - self.chance, 0.0)

    def figures(self) -> dict[str, Float64[np.ndarray, " latent"]]:
        """Return the figures by name, NaN where there is none."""
        named = {"monosemanticity": self.score, "monosemanticity_above_chance": self.above_chance}
        return {name: np.where(self.is_known, values, np.nan) for name, values in named.items()}


def monosemanticity(
    references: References,
    features: Float[np.ndarray, "image d"],
    *,
    patients: Shaped[np.ndarray, " _"] | None = None,
    candidates: Int[np.ndarray, " candidate"] | None = None,
    centred: bool = True,
    n_random: int = 2000,
    seed: int = 0,
) -> Monosemanticity:
    """Score each latent by how alike its references are under an independent encoder.

    The score is the mean over pairs of images of the cosine of their features, weighted by the product of the
    latent's activations (the Monosemanticity Score of Pach et al. 2025, arXiv 2504.02821), here over the references
    instead of all images, and without pairs of one patient, who are alike for other reasons.

    Parameters
    ----------
    references
        Images of each latent by row of `features`, with their scores.
    features
        Of another encoder than the one whose tokens the latents explain, one row per image.
    patients
        Patient of each image; pairs of one patient do not count. None: all pairs count.
    candidates
        Images among which chance draws; None: all.
    centred
        Whether the mean feature of the candidates is taken off first, so that what all cells share does not make
        everything similar; the published score does not.
    n_random
        Random sets: each takes the number of references and the scores of a latent, and images at random.
    seed
        The same seed gives the same random sets.

    Raises
    ------
    DataError
        Features that are not finite, or references and patients of other images.
    """
    n_images = len(features)
    _require_fitting(references, features, patients)
    among = np.arange(n_images) if candidates is None else np.asarray(candidates)
    vectors = directions(features, features[among].mean(axis=0, dtype=np.float64) if centred else None)
    codes = np.arange(n_images) if patients is None else np.unique(patients, return_inverse=True)[1]
    score, n_pairs = _weighted_similarity(references.images, references.scores, vectors, codes)
    is_known = n_pairs > 0
    drawn = _random_sets(references, np.flatnonzero(is_known), among, n_random, seed)
    random_score, random_pairs = _weighted_similarity(*drawn, vectors, codes)
    chance = np.sort(random_score[random_pairs > 0])
    reached = len(chance) - np.searchsorted(chance, score - 1e-12)
    return Monosemanticity(
        score=score,
        n_pairs=n_pairs,
        is_known=is_known,
        chance=float(chance.mean()) if len(chance) else 0.0,
        chance_deviation=float(chance.std()) if len(chance) else 0.0,
        p_value=np.where(is_known, (1.0 + reached) / (1.0 + len(chance)), 1.0),
    )


def directions(
    features: Float[np.ndarray, "image d"], centre: Float[np.ndarray, " d"] | None = None
) -> Float[np.ndarray, "image d"]:
    """Return features less a centre, at length 1 (float32); a feature at the centre stays 0."""
    vectors = np.asarray(features, dtype=np.float32)
    if centre is not None:
        vectors = vectors - centre.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def _weighted_similarity(
    images: Int[np.ndarray, "latent rank"],
    scores: Float[np.ndarray, "latent rank"],
    vectors: Float[np.ndarray, "image d"],
    codes: Int[np.ndarray, " image"],
) -> tuple[Float64[np.ndarray, " latent"], Int64[np.ndarray, " latent"]]:
    """Return the weighted mean cosine over pairs of different patients, 0 without any, and the number of pairs."""
    n_latents, n_ranks = images.shape
    means, n_pairs = np.zeros(n_latents), np.zeros(n_latents, dtype=np.int64)
    is_upper = np.triu(np.ones((n_ranks, n_ranks), dtype=bool), 1)
    for start in range(0, n_latents, LATENTS_AT_ONCE):
        rows = slice(start, start + LATENTS_AT_ONCE)
        here, owners = images[rows], codes[images[rows]]
        weight = np.where(here >= 0, scores[rows], 0.0).astype(np.float64)
        found = vectors[here]
        cosines = found @ found.transpose(0, 2, 1)
        is_pair = is_upper & (owners[:, :, None] != owners[:, None, :])
        together = np.where(is_pair, weight[:, :, None] * weight[:, None, :], 0.0)
        total = together.sum(axis=(1, 2))
        summed = (together * cosines).sum(axis=(1, 2))
        means[rows] = np.divide(summed, total, out=np.zeros_like(total), where=total > 0)
        n_pairs[rows] = (together > 0).sum(axis=(1, 2))
    return means, n_pairs


def _random_sets(
    references: References,
    latents: Int[np.ndarray, " known"],
    among: Int[np.ndarray, " candidate"],
    n_random: int,
    seed: int,
) -> tuple[Int64[np.ndarray, "set rank"], Float[np.ndarray, "set rank"]]:
    """Give the ranks and scores of random latents to random images, each image once in a set."""
    rng = generator(seed, "random references")
    n_ranks = references.images.shape[1]
    if not len(latents):
        return np.zeros((0, n_ranks), dtype=np.int64), np.zeros((0, n_ranks), dtype=np.float32)
    whose = rng.choice(latents, size=n_random)
    images = np.full((n_random, n_ranks), -1, dtype=np.int64)
    n_drawn = min(n_ranks, len(among))
    for row in images:
        row[:n_drawn] = rng.choice(among, size=n_drawn, replace=False)
    images[references.images[whose] < 0] = -1
    return images, references.scores[whose]


def _require_fitting(
    references: References,
    features: Float[np.ndarray, "image d"],
    patients: Shaped[np.ndarray, " _"] | None,
) -> None:
    """Refuse features that are none, and references to other images."""
    n_images, last = len(features), int(references.images.max(initial=-1))
    n_patients = n_images if patients is None else len(patients)
    if last >= n_images or n_patients != n_images:
        raise DataError(
            "references, features and patients are not of the same images",
            seen=f"image {last} among the references, {n_images} features, {n_patients} patients",
            allowed="a feature and a patient for each image of the table",
            remedy="take the features of the whole table, in its order",
        )
    is_bad = ~np.isfinite(features).all(axis=1)
    if is_bad.any():
        raise DataError(
            f"{int(is_bad.sum())} of {n_images} features are not finite",
            seen=f"NaN or infinity in the feature of image {int(np.flatnonzero(is_bad)[0])}",
            remedy="extract the features again in float32",
        )
