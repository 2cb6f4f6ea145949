"""Which latents come back when an autoencoder is trained again: matches of decoder rows between dictionaries."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64
from scipy.optimize import linear_sum_assignment

from trilineage.core.errors import ConfigError, DataError
from trilineage.core.seeding import generator

BLOCK = 2048
"""Rows of either dictionary that are compared at once: 2,048 x 2,048 cosines are 17 MB."""

MAX_ASSIGNED = 8192
"""Latents per side up to which they are assigned one to one: 8,192 x 8,192 cosines in double precision are 0.5 GB."""

FOUND_AGAIN = 0.7
"""Cosine from which two decoder rows count as the same direction (Paulo and Belrose 2025, arXiv 2501.16615)."""


@dataclass(frozen=True)
class Matches:
    """For each latent of a dictionary, its counterpart in another."""

    partner: Int64[np.ndarray, " latent"]
    """Latent of the other dictionary whose decoder row is nearest."""
    cosine: Float32[np.ndarray, " latent"]
    """Cosine with it, in [-1, 1]."""
    is_mutual: Bool[np.ndarray, " latent"]
    """Whether each is the other's nearest."""


@dataclass(frozen=True)
class Assignment:
    """One-to-one pairs of strong latents that make the sum of their cosines largest (Hungarian method)."""

    first: Int64[np.ndarray, " pair"]
    """Latent of the first dictionary."""
    second: Int64[np.ndarray, " pair"]
    """Latent of the second."""
    cosine: Float32[np.ndarray, " pair"]
    """Cosine of their decoder rows."""

    @property
    def mean(self) -> float:
        """Mean cosine of the pairs; 0 without any."""
        return float(self.cosine.mean()) if len(self.cosine) else 0.0


@dataclass(frozen=True)
class Stability:
    """How well the latents of one dictionary come back in dictionaries of other seeds."""

    cosine: Float32[np.ndarray, "latent seed"]
    """Cosine with the nearest decoder row of each other dictionary."""
    is_mutual: Bool[np.ndarray, "latent seed"]
    """Whether each is the other's nearest there."""
    chance: tuple[float, ...]
    """Per other dictionary, the mean cosine that random directions reach among its rows (`chance_cosines`)."""
    found_above: float
    """Cosine from which a mutual match counts as found again."""

    @property
    def score(self) -> Float64[np.ndarray, " latent"]:
        """Mean over dictionaries of the cosine with the mutual match; a dictionary without one counts 0."""
        return np.where(self.is_mutual, np.maximum(self.cosine, 0.0), 0.0).mean(axis=1, dtype=np.float64)

    @property
    def found(self) -> Bool[np.ndarray, " latent"]:
        """Whether the latent was found again in every other dictionary."""
        return np.all(self.is_mutual & (self.cosine >= self.found_above), axis=1)

    def summary(self, chosen: Bool[np.ndarray, " latent"] | None = None) -> dict[str, float]:
        """Return mean score, mean cosine, and shares of mutual and found latents, over all or some; and chance."""
        rows = np.ones(len(self.cosine), dtype=bool) if chosen is None else chosen
        n_chosen = max(int(rows.sum()), 1)
        return {
            "n_latents": float(rows.sum()),
            "n_dictionaries": float(self.cosine.shape[1]),
            "score": float(self.score[rows].sum()) / n_chosen,
            "cosine": float(self.cosine[rows].mean(axis=1, dtype=np.float64).sum()) / n_chosen,
            "mutual": float(self.is_mutual[rows].mean(axis=1).sum()) / n_chosen,
            "found": float(self.found[rows].sum()) / n_chosen,
            "chance": float(np.mean(self.chance)),
        }


def stability(
    first: Float[np.ndarray, "latent width"],
    others: Sequence[Float[np.ndarray, "_ _"]],
    *,
    alive: Sequence[Bool[np.ndarray, " _"]] | None = None,
    found_above: float = FOUND_AGAIN,
    seed: int = 0,
) -> Stability:
    """Match the latents of a dictionary with those of dictionaries trained from other seeds.

    Parameters
    ----------
    first
        Decoder rows of the dictionary that is used.
    others
        Decoder rows of the others, at least one; they may have other numbers of latents.
    alive
        Which latents of each other dictionary are alive: dead rows, near their random start, are no match. None: all.
    found_above
        Cosine from which a mutual match counts as found again.
    seed
        Of the random directions.

    Raises
    ------
    ConfigError
        No other dictionary.
    DataError
        Rows that are not finite, empty dictionaries, or dictionaries of other widths.
    """
    if not others:
        raise ConfigError(
            "stability needs a second dictionary",
            allowed="one or more",
            remedy="train again from another seed (n_seeds)",
        )
    rows = [np.arange(len(other)) for other in others]
    if alive is not None:
        rows = [np.flatnonzero(is_alive) for is_alive in alive]
    kept = [
        np.asarray(other)[row] if len(row) < len(other) else other
        for other, row in zip(others, rows, strict=True)
    ]
    matches = [match_dictionaries(first, other) for other in kept]
    return Stability(
        cosine=np.stack([match.cosine for match in matches], axis=1),
        is_mutual=np.stack([match.is_mutual for match in matches], axis=1),
        chance=tuple(float(chance_cosines(other, seed=seed).mean()) for other in kept),
        found_above=found_above,
    )


def match_dictionaries(
    first: Float[np.ndarray, "_ _"], second: Float[np.ndarray, "_ _"], *, block: int = BLOCK
) -> Matches:
    """Find for each row of the first dictionary the nearest row of the second, and whether it is so both ways.

    Cosines are made block by block and forgotten, so two dictionaries of 49,152 rows need 17 MB beside their weights,
    where all their cosines at once would be 9.7 GB. Of equal cosines the first row counts.

    Parameters
    ----------
    first, second
        Decoder rows, of any length; a row of zeros is near to nothing.
    block
        Rows of either side that are compared at once.

    Raises
    ------
    DataError
        Rows that are not finite, empty dictionaries, or dictionaries of other widths.
    """
    lengths = [_inverse_lengths(rows) for rows in (first, second)]
    _require_fitting(first, second)
    best = [np.full(len(rows), -np.inf, dtype=np.float32) for rows in (first, second)]
    partner = [np.zeros(len(rows), dtype=np.int64) for rows in (first, second)]
    for start in range(0, len(first), block):
        mine = slice(start, min(start + block, len(first)))
        unit = np.asarray(first[mine], dtype=np.float32) * lengths[0][mine, None]
        for place in range(0, len(second), block):
            its = slice(place, min(place + block, len(second)))
            cosines = unit @ np.asarray(second[its], dtype=np.float32).T
            cosines *= lengths[1][its]
            _keep_best(cosines, mine, its, best[0], partner[0], axis=1)
            _keep_best(cosines, its, mine, best[1], partner[1], axis=0)
    is_mutual = partner[1][partner[0]] == np.arange(len(first))
    return Matches(partner[0], np.clip(best[0], -1.0, 1.0), is_mutual & (lengths[0] > 0))


def assign_latents(
    first: Float[np.ndarray, "_ _"],
    second: Float[np.ndarray, "_ _"],
    strong: tuple[Bool[np.ndarray, " _"], Bool[np.ndarray, " _"]],
) -> Assignment:
    """Pair the strong latents of two dictionaries one to one so that the sum of the cosines is largest.

    Parameters
    ----------
    first, second
        Decoder rows.
    strong
        Which latents of each take part.

    Raises
    ------
    ConfigError
        More than `MAX_ASSIGNED` latents on a side.
    DataError
        As in `match_dictionaries`.
    """
    chosen = [np.flatnonzero(mask).astype(np.int64) for mask in strong]
    if max(map(len, chosen)) > MAX_ASSIGNED:
        raise ConfigError(
            "too many latents to be assigned one to one",
            seen=f"{len(chosen[0])} and {len(chosen[1])}",
            allowed=f"up to {MAX_ASSIGNED} on each side",
            remedy="take the strong latents only, or the matches of `match_dictionaries`",
        )
    units = []
    for rows, places in zip((first, second), chosen, strict=True):
        own = np.asarray(rows[places], dtype=np.float32)
        units.append(own * _inverse_lengths(own)[:, None])
    _require_fitting(first, second)
    cosines = units[0] @ units[1].T
    one, other = linear_sum_assignment(cosines, maximize=True)
    return Assignment(chosen[0][one], chosen[1][other], cosines[one, other])


def chance_cosines(
    rows: Float[np.ndarray, "latent width"], *, n_probes: int = 512, seed: int = 0
) -> Float32[np.ndarray, " probe"]:
    """Return the cosine of random directions with their nearest row: what a match is worth that means nothing.

    The directions are drawn with the mean and the covariance of the rows, so that a dictionary whose rows crowd into
    a few directions has the high chance figure it deserves.
    """
    _require_fitting(rows, rows)
    units = np.asarray(rows, dtype=np.float32) * _inverse_lengths(rows)[:, None]
    mean = units.mean(axis=0, dtype=np.float64)
    rng = generator(seed, "random directions", len(units))
    # weights of the rows, not of a covariance matrix: sum_i g_i (row_i - mean) / sqrt(n) has the rows' covariance
    weights = rng.standard_normal((n_probes, len(units)), dtype=np.float32) / np.float32(np.sqrt(len(units)))
    drawn = weights @ units + (mean[None] - weights.sum(axis=1, keepdims=True) * mean)
    return match_dictionaries(drawn.astype(np.float32), units).cosine


def _keep_best(
    cosines: Float32[np.ndarray, "row column"],
    own: slice,
    other: slice,
    best: Float32[np.ndarray, " _"],
    partner: Int64[np.ndarray, " _"],
    *,
    axis: int,
) -> None:
    """Note the nearest of a block where it is nearer than what was seen before; its place is looked for only there."""
    nearest = cosines.max(axis=axis)
    nearer = np.flatnonzero(nearest > best[own])
    place: Int[np.ndarray, " _"] = cosines.take(nearer, axis=1 - axis).argmax(axis=axis)
    best[nearer + own.start] = nearest[nearer]
    partner[nearer + own.start] = place + other.start


def _inverse_lengths(rows: Float[np.ndarray, "_ _"]) -> Float32[np.ndarray, " _"]:
    """Return one over the length of each row, 0 for a row of zeros."""
    lengths = np.sqrt(np.einsum("lw,lw->l", rows, rows, dtype=np.float64))
    return np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0).astype(np.float32)


def _require_fitting(first: Float[np.ndarray, "_ _"], second: Float[np.ndarray, "_ _"]) -> None:
    """Refuse dictionaries that cannot be compared."""
    if first.shape[1] != second.shape[1] or not (len(first) and len(second)):
        raise DataError(
            "two dictionaries that cannot be compared",
            seen=f"{first.shape} and {second.shape}",
            allowed="one or more latents each, of the same width",
            remedy="take autoencoders of the same block of the same encoder",
        )
    for rows in (first, second):
        is_bad = ~np.isfinite(rows).all(axis=1)
        if is_bad.any():
            raise DataError(
                f"{int(is_bad.sum())} decoder rows are not finite",
                seen=f"NaN or infinity in latent {int(np.flatnonzero(is_bad)[0])}",
                remedy="train the autoencoder again with a lower learning rate",
            )
