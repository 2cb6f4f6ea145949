"""What becomes of concepts in another cohort: whether they fire as often and as strongly, and which are new or lost."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Float64, Int
from scipy.stats import rankdata

from trilineage.core.errors import CohortError, DataError
from trilineage.core.records import Score
from trilineage.core.seeding import generator
from trilineage.data.barcodes.barcode import require_same_latents
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.evaluation.barcodes.sums import GroupSums, require_groups
from trilineage.evaluation.resampling import Scale, Strata, read_interval, resample_weights

STRONG = 1e-3
"""Mean activation above which a latent counts as strong (Dasdelen et al. 2025)."""

MIN_EXPECTED = 5.0
"""Active images to be expected of a latent in the other cohort, were nothing changed, for its silence to count."""


@dataclass(frozen=True)
class ShiftProfile:
    """How often and how strongly each latent is active in the images of a cohort, patient by patient."""

    n_images: Int[np.ndarray, " patient"]
    """Images of each patient."""
    active: sp.csr_array
    """Images with A > 0 (patient latent), A the mean activation over the tokens of an image."""
    amounts: sp.csr_array
    """Sum over the images of A (patient latent)."""
    encoder_key: str = ""
    """Digest of the encoder."""
    dictionary_key: str = ""
    """Digest of the autoencoder."""

    @property
    def n_latents(self) -> int:
        """Latents there are."""
        return int(self.active.shape[1])

    def frequency(self) -> Float64[np.ndarray, " latent"]:
        """Return the share of the images in which each latent is active."""
        return np.asarray(self.active.sum(axis=0), np.float64) / max(int(self.n_images.sum()), 1)

    def mean_activation(self) -> Float64[np.ndarray, " latent"]:
        """Return the mean of A over the images in which a latent is active; 0 where there is none."""
        counts = np.asarray(self.active.sum(axis=0), np.float64)
        return np.asarray(self.amounts.sum(axis=0), np.float64) / np.maximum(counts, 1.0)


class ProfileTally:
    """Counts of active images and sums of activations per patient and latent; images come in any portions.

    Parameters
    ----------
    n_patients, n_latents
        How many there are.
    with_cls
        Whether A is the mean over patches and CLS, or over the patches alone.
    """

    def __init__(self, n_patients: int, n_latents: int, *, with_cls: bool = False):
        self.with_cls = with_cls
        self.n_images = np.zeros(n_patients, dtype=np.int64)
        self._active, self._amounts = (GroupSums(n_patients, n_latents) for _ in range(2))

    def add(self, codes: ImageCodes, patients: Int[np.ndarray, " image"]) -> None:
        """Count the codes of some images.

        Raises
        ------
        CohortError
            If an image belongs to none of the patients.
        DataError
            If activations are no numbers.
        """
        require_groups(patients, len(codes), len(self.n_images))
        means = codes.matrix("mean", with_cls=self.with_cls)
        if not np.isfinite(means.data).all():
            raise DataError(
                "codes that are no numbers",
                seen="NaN or infinity among the activations",
                remedy="extract the tokens again in float32",
            )
        self._amounts.add(means, patients)
        self._active.add((means > 0).astype(np.float64), patients)
        self.n_images += np.bincount(patients, minlength=len(self.n_images))

    def profile(self, *, encoder_key: str = "", dictionary_key: str = "") -> ShiftProfile:
        """Return what was counted."""
        sums = self._active.total(), self._amounts.total()
        return ShiftProfile(self.n_images, *sums, encoder_key=encoder_key, dictionary_key=dictionary_key)


@dataclass(frozen=True)
class ShiftReport:
    """How the latents that are strong in a first cohort fare in a second one."""

    scores: list[Score]
    """Correlations over the latents that are strong in both cohorts, with intervals over the patients of both:
    of log mean activation, of its ranks, and of log frequency."""
    n_strong: tuple[int, int, int]
    """Strong latents of the first, of the second, and of both."""
    lost: Int[np.ndarray, " lost"]
    """Strong in the first, silent in the second although enough images were looked at; most frequent first."""
    new: Int[np.ndarray, " new"]
    """Strong in the second, silent in the first although enough images were looked at; most frequent first."""
    n_unknown: int
    """Latents strong in one and silent in the other that are too rare to expect more."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return asdict(self) | {"lost": self.lost.tolist(), "new": self.new.tolist()}


class _Pair(NamedTuple):
    counts: tuple[Float[np.ndarray, "first_patient latent"], Float[np.ndarray, "second_patient latent"]]
    amounts: tuple[Float[np.ndarray, "first_patient latent"], Float[np.ndarray, "second_patient latent"]]
    sizes: tuple[Int[np.ndarray, " first_patient"], Int[np.ndarray, " second_patient"]]


def shift_report(
    first: ShiftProfile,
    second: ShiftProfile,
    *,
    strong: float = STRONG,
    min_expected: float = MIN_EXPECTED,
    n_bootstrap: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> ShiftReport:
    """Compare two cohorts that were seen by the same encoder and dictionary.

    Parameters
    ----------
    first, second
        Profiles of the cohorts, the one that concepts were described on first.
    strong
        Mean activation above which a latent counts.
    min_expected
        Active images that a silent latent would have, were it as frequent as in the other cohort.
    n_bootstrap, level, seed
        Resamples of the patients, coverage, and what decides the resamples.

    Raises
    ------
    ArtifactError
        If they are of different encoders or dictionaries.
    CohortError
        If fewer than three latents are strong in both.
    """
    require_same_latents(
        (first.encoder_key, first.dictionary_key, first.n_latents),
        (second.encoder_key, second.dictionary_key, second.n_latents),
    )
    is_strong = [profile.mean_activation() > strong for profile in (first, second)]
    both = np.flatnonzero(is_strong[0] & is_strong[1])
    if len(both) < 3:
        raise CohortError(
            "too few latents are strong in both cohorts to compare them",
            seen=f"{len(both)} latents with a mean activation above {strong:g} in both",
            allowed="at least 3",
            remedy="lower `strong`, or look whether both were encoded alike",
        )
    lost, rare = _silent_in(first, second, is_strong[0], min_expected)
    new, rare_too = _silent_in(second, first, is_strong[1], min_expected)
    n_strong = int(is_strong[0].sum()), int(is_strong[1].sum()), len(both)
    scores = _correlations(_pair(first, second, both), len(both), n_bootstrap, level, seed)
    return ShiftReport(scores, n_strong, lost, new, rare + rare_too)


def _silent_in(
    here: ShiftProfile, there: ShiftProfile, is_strong: Bool[np.ndarray, " latent"], min_expected: float
) -> tuple[Int[np.ndarray, " silent"], int]:
    """Return the strong latents of one cohort that are silent in the other, and how many are too rare to tell."""
    frequency = here.frequency()
    silent = np.flatnonzero(is_strong & (there.frequency() == 0))
    is_expected = frequency[silent] * int(there.n_images.sum()) >= min_expected
    told = silent[is_expected]
    return told[np.argsort(-frequency[told], kind="stable")], int((~is_expected).sum())


def _pair(first: ShiftProfile, second: ShiftProfile, latents: Int[np.ndarray, " latent"]) -> _Pair:
    counts = tuple(profile.active.tocsc()[:, latents].toarray() for profile in (first, second))
    amounts = tuple(profile.amounts.tocsc()[:, latents].toarray() for profile in (first, second))
    return _Pair(counts, amounts, (first.n_images, second.n_images))  # type: ignore[arg-type]


def _correlations(pair: _Pair, n_latents: int, n_bootstrap: int, level: float, seed: int) -> list[Score]:
    """Return each correlation with its interval; patients of the two cohorts are resampled apart."""
    n_patients = [len(size) for size in pair.sizes]
    codes = np.repeat([0, 1], n_patients).astype(np.int64)
    strata = Strata(codes, "")
    values = _measures(pair, [np.ones(n) for n in n_patients])
    drawn: dict[str, Any] = dict.fromkeys(values)
    if min(n_patients) >= 2:
        rows = resample_weights(strata, n_bootstrap, rng=generator(seed, "shift", *n_patients))
        found = [_measures(pair, np.split(row, [n_patients[0]])) for row in rows]
        left_out = [np.nan] * (len(codes) if len(codes) <= 300 else 0)
        drawn = {name: np.array([values[name], *(one[name] for one in found), *left_out]) for name in values}
    return [
        _score(
            name, value, drawn[name], strata, level, int(sum(size.sum() for size in pair.sizes)), n_latents
        )
        for name, value in values.items()
    ]


def _score(
    name: str,
    value: float,
    drawn: Float[np.ndarray, " draw"] | None,
    strata: Strata,
    level: float,
    n_images: int,
    n_latents: int,
) -> Score:
    ends: tuple[float | None, float | None, str] = (None, None, "no interval: a cohort of one patient")
    if drawn is not None:
        ends = read_interval(value, drawn, strata=strata, level=level, scale=Scale((-1.0, 1.0)))
    return Score(
        metric=name,
        value=value,
        low=ends[0],
        high=ends[1],
        subject="second cohort against first",
        unit="patient",
        n_samples=n_images,
        n_patients=len(strata.codes),
        level=level,
        note="; ".join(filter(None, (ends[2], f"over {n_latents} latents strong in both"))),
    )


def _measures(pair: _Pair, weights: list[Float[np.ndarray, " _"]]) -> dict[str, float]:
    """Return the correlations when patients weigh so much; latents that a resample silences are left out."""
    sums = [
        (weight @ count, weight @ amount, weight @ size)
        for weight, count, amount, size in zip(weights, pair.counts, pair.amounts, pair.sizes, strict=True)
    ]
    is_there = (sums[0][0] > 0) & (sums[1][0] > 0)
    strength = [np.log(amount[is_there] / count[is_there]) for count, amount, _ in sums]
    frequency = [np.log(count[is_there] / size) for count, _, size in sums]
    return {
        "correlation_log_mean_activation": _correlation(*strength),
        "rank_correlation_mean_activation": _correlation(*(rankdata(values) for values in strength)),
        "correlation_log_frequency": _correlation(*frequency),
    }


def _correlation(one: Float[np.ndarray, " latent"], other: Float[np.ndarray, " latent"]) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / scale if scale > 0 else float("nan")
