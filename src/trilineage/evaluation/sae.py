"""How well sparse codes stand for tokens: streamed figures of the reconstruction, and what a classifier loses by it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64, Shaped

from trilineage.core.errors import ConfigError, DataError
from trilineage.core.records import Score
from trilineage.evaluation.means import draw_resamples, mean_scores
from trilineage.evaluation.resampling import Scale

DENSE_SHARE = 0.1
"""A latent that is active in more than this share of the tokens says little about any of them."""

SAME_LOSS = 1e-3
"""How much losses may differ by rounding alone, relative to 1 + the loss."""

Kind = Literal["all", "cls", "patch"]


class CodedTokens(NamedTuple):
    """Tokens, what was made of them, and the codes in between."""

    tokens: Float[np.ndarray, "token width"]
    """Tokens of a backbone."""
    reconstruction: Float[np.ndarray, "token width"]
    """What an autoencoder makes of them."""
    indptr: Int[np.ndarray, " token_plus_1"]
    """Start of each token in `latents` and `values`, and the end of the last; begins with 0."""
    latents: Int[np.ndarray, " active"]
    """Active latents."""
    values: Float[np.ndarray, " active"]
    """Their activations."""
    is_cls: Bool[np.ndarray, " token"] | None = None
    """Which tokens are CLS tokens; None: all are patches."""


@dataclass(frozen=True)
class ReconstructionScores:
    """Figures over some tokens; None where there is nothing to compute them from."""

    n_tokens: int
    """Tokens seen."""
    explained_variance: float | None
    """1 - squared error / squared distance from the mean token: 0 for whoever predicts the mean, at most 1."""
    fvu: float | None
    """Fraction of variance unexplained: 1 - explained variance."""
    l0: float | None
    """Active latents per token."""
    l1: float | None
    """Sum of activations per token."""
    dead_share: float | None
    """Share of latents that no token activated."""
    dense_share: float | None
    """Share of latents that more than a tenth of the tokens activated."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return asdict(self)


class ReconstructionTally:
    """Sums over tokens from which `ReconstructionScores` are made; may be saved, gone on with, and merged.

    Means and squared distances from them are combined by the formula of Chan, Golub and LeVeque (1983), which loses no
    digits where the mean is far from 0. The order of the tokens changes the figures by rounding of 1e-15 only.

    Parameters
    ----------
    width
        Width of the tokens.
    n_latents
        Latents there are.
    """

    def __init__(self, width: int, n_latents: int):
        self.parts = {kind: _Sums.empty(width, n_latents) for kind in ("cls", "patch")}

    def add(self, coded: CodedTokens) -> None:
        """Count a batch of tokens.

        Raises
        ------
        DataError
            If shapes do not belong together or a number is not finite.
        """
        width, n_latents = len(self.parts["cls"].mean), len(self.parts["cls"].counts)
        _require_sound(coded, width, n_latents)
        is_cls = np.zeros(len(coded.tokens), dtype=bool) if coded.is_cls is None else coded.is_cls
        for kind, rows in (("cls", is_cls), ("patch", ~is_cls)):
            if rows.any():
                self.parts[kind] = self.parts[kind].merged(_sums_of(coded, rows, n_latents))

    def merge(self, other: "ReconstructionTally") -> None:
        """Add what another tally, of another share of the tokens, has seen.

        Raises
        ------
        ConfigError
            If it is of another width or number of latents.
        """
        mine, its = self.parts["cls"], other.parts["cls"]
        if (mine.mean.shape, mine.counts.shape) != (its.mean.shape, its.counts.shape):
            raise ConfigError(
                "two tallies are of different autoencoders",
                seen=f"{its.mean.shape[0]} axes and {its.counts.shape[0]} latents",
                allowed=f"{mine.mean.shape[0]} axes and {mine.counts.shape[0]} latents",
            )
        self.parts = {kind: part.merged(other.parts[kind]) for kind, part in self.parts.items()}

    def scores(self, kind: Kind = "all") -> ReconstructionScores:
        """Return the figures over all tokens, the CLS tokens or the patches."""
        if kind == "all":
            return self.parts["cls"].merged(self.parts["patch"]).scores()
        return self.parts[kind].scores()

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return everything that was counted, by name."""
        named: dict[str, np.ndarray] = {}
        for kind, part in self.parts.items():
            named |= {f"{kind}.{name}": np.asarray(value) for name, value in part._asdict().items()}
        return named

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the tally that `to_arrays` was called on."""
        tally = cls(len(arrays["cls.mean"]), len(arrays["cls.counts"]))
        for kind in tally.parts:
            values = {name: arrays[f"{kind}.{name}"] for name in _Sums._fields}
            scalars = {name: value.item() for name, value in values.items() if value.ndim == 0}
            tally.parts[kind] = _Sums(**(values | scalars))
        return tally


class _Sums(NamedTuple):
    n_tokens: int
    mean: Float64[np.ndarray, " width"]
    distance: float
    """Squared distance of the tokens from their mean."""
    error: float
    n_active: int
    amount: float
    counts: Int64[np.ndarray, " latent"]
    """Tokens that activated each latent."""

    @classmethod
    def empty(cls, width: int, n_latents: int) -> "_Sums":
        return cls(0, np.zeros(width), 0.0, 0.0, 0, 0.0, np.zeros(n_latents, np.int64))

    def merged(self, other: "_Sums") -> "_Sums":
        n_tokens = self.n_tokens + other.n_tokens
        if not n_tokens:
            return self
        shift = other.mean - self.mean
        apart = float(shift @ shift) * self.n_tokens * other.n_tokens / n_tokens
        return _Sums(
            n_tokens,
            self.mean + shift * (other.n_tokens / n_tokens),
            self.distance + other.distance + apart,
            self.error + other.error,
            self.n_active + other.n_active,
            self.amount + other.amount,
            self.counts + other.counts,
        )

    def scores(self) -> ReconstructionScores:
        n_tokens = self.n_tokens
        if not n_tokens:
            return ReconstructionScores(0, *[None] * 6)
        fvu = self.error / self.distance if self.distance > 0 else None
        return ReconstructionScores(
            n_tokens,
            None if fvu is None else 1.0 - fvu,
            fvu,
            self.n_active / n_tokens,
            self.amount / n_tokens,
            float(np.mean(self.counts == 0)),
            float(np.mean(self.counts > DENSE_SHARE * n_tokens)),
        )


def _sums_of(coded: CodedTokens, rows: Bool[np.ndarray, " token"], n_latents: int) -> _Sums:
    """Count some rows of a batch."""
    tokens = coded.tokens[rows].astype(np.float64)
    error = tokens - coded.reconstruction[rows]
    mean = tokens.mean(axis=0)
    is_in = np.repeat(rows, np.diff(coded.indptr)) & (coded.values > 0)
    counts = np.bincount(coded.latents[is_in], minlength=n_latents).astype(np.int64)
    return _Sums(
        len(tokens),
        mean,
        float(np.square(tokens - mean).sum()),
        float(np.square(error).sum()),
        int(is_in.sum()),
        float(coded.values[is_in].sum(dtype=np.float64)),
        counts,
    )


def _require_sound(coded: CodedTokens, width: int, n_latents: int) -> None:
    """Refuse what does not belong together, and numbers that are none."""
    n_tokens = len(coded.tokens)
    shapes_fit = coded.tokens.shape == coded.reconstruction.shape == (n_tokens, width)
    latents_fit = coded.latents.size == 0 or (coded.latents.min() >= 0 and coded.latents.max() < n_latents)
    if not (shapes_fit and latents_fit and len(coded.indptr) == n_tokens + 1):
        raise DataError(
            "tokens, reconstruction and codes do not belong together",
            seen=f"tokens {coded.tokens.shape}, reconstruction {coded.reconstruction.shape}, codes of "
            f"{len(coded.indptr) - 1} tokens",
            allowed=f"(token, {width}) twice, and latents of 0 to {n_latents - 1}",
        )
    for what, values in (("token", coded.tokens), ("reconstruction", coded.reconstruction)):
        is_bad = ~np.isfinite(values).all(axis=1)
        if is_bad.any():
            raise DataError(
                f"{int(is_bad.sum())} of {n_tokens} {what}s are not finite",
                seen=f"NaN or infinity in the {what} at position {int(np.flatnonzero(is_bad)[0])}",
                remedy="extract the tokens again in float32, or leave out that image",
            )


def loss_recovered(
    losses: Mapping[str, Float[np.ndarray, " image"]],
    patients: Shaped[np.ndarray, " image"],
    labels: Int[np.ndarray, " image"],
    *,
    subject: str = "sparse autoencoder",
    level: float = 0.95,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> list[Score]:
    """Return what a classifier loses when tokens are replaced, and how much of it a reconstruction recovers.

    Loss recovered is (mean token - reconstruction) / (mean token - clean), of losses that are means over patients: 1 if
    nothing is lost, 0 if the reconstruction is no better than the mean token; below 0 if it is worse. With the error
    term it is 1, which is a check of the substitution and no score.

    Parameters
    ----------
    losses
        Cross entropy of each image, by name: `clean`, `reconstruction`, `with_error`, `mean`
        (`models.sae.substitution.SubstitutionLosses.to_arrays`).
    patients
        Patient of each image; on none of them anything was trained.
    labels
        Class of each image, from 0: patients are resampled inside their class.
    subject
        Copied into the scores.
    level, n_bootstrap, seed
        Coverage of the intervals, resamples behind them, and what decides the resamples.

    Raises
    ------
    DataError
        If a loss is not finite, or the error term does not give the clean loss.
    """
    names = ("clean", "reconstruction", "mean", "with_error")
    variants = {name: np.asarray(losses[name], np.float64) for name in names}
    for name, values in variants.items():
        if not np.isfinite(values).all():
            first = int(np.flatnonzero(~np.isfinite(values))[0])
            raise DataError("a loss is not finite", seen=f"loss {name!r} of image {first} is {values[first]}")
    _require_same_loss(variants["clean"], variants.pop("with_error"))
    scale = Scale((0.0, np.inf), is_lower_better=True)
    named = {f"loss: {name}": (values, scale) for name, values in variants.items()}
    shape: Any = {"level": level, "n_bootstrap": n_bootstrap, "seed": seed}
    scores = mean_scores(named, patients, labels, subject=subject, **shape)
    recovered = _recovered(np.stack(list(variants.values())), patients, labels, **shape)
    return [*scores, replace(recovered, subject=subject)]


def _recovered(
    losses: Float64[np.ndarray, "variant image"],
    patients: Shaped[np.ndarray, " image"],
    labels: Int[np.ndarray, " image"],
    *,
    level: float,
    n_bootstrap: int,
    seed: int,
) -> Score:
    resamples = draw_resamples(patients, labels, n_bootstrap=n_bootstrap, seed=seed)
    means = np.stack([resamples.patient_means(row) for row in losses])
    value, weights, drawn = float(_share(means.mean(axis=1))), resamples.weights, None
    if weights is not None:
        drawn = _share(means @ (weights / weights.sum(axis=1, keepdims=True)).T)
    low, high, note = resamples.interval(value, drawn, level=level, scale=Scale((-np.inf, np.inf)))
    if np.isnan(value):
        note = "not defined: the mean token loses nothing"
    return Score(
        metric="loss recovered",
        value=value,
        low=low,
        high=high,
        unit="patient",
        n_samples=losses.shape[1],
        n_patients=resamples.n_patients,
        level=level,
        note="; ".join(filter(None, (note, resamples.strata.note))),
    )


def _share(means: Float64[np.ndarray, "variant ..."]) -> Float64[np.ndarray, "..."]:
    """Return the share of the loss that is recovered; NaN where there is none to recover."""
    clean, reconstruction, baseline = means
    lost = baseline - clean
    return np.divide(baseline - reconstruction, lost, out=np.full(np.shape(lost), np.nan), where=lost > 0)


def _require_same_loss(clean: Float64[np.ndarray, " image"], other: Float[np.ndarray, " image"]) -> None:
    apart = np.abs(other - clean) / (1.0 + clean)
    if (apart > SAME_LOSS).any():
        worst = int(np.argmax(apart))
        raise DataError(
            "the error term does not bring the clean loss back",
            seen=f"a loss of {other[worst]:.6g} instead of {clean[worst]:.6g} in image {worst}",
            allowed=f"a relative difference of {SAME_LOSS}",
            remedy="compute in single precision, with the backbone and block that the autoencoder was trained on",
        )
