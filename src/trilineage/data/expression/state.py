"""What state the values of a matrix are in (counts, CPM, log, scaled, intensities), with the evidence in numbers."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Float32

from trilineage.core.errors import MatrixError
from trilineage.data.expression.rows import RawRows

StateName = Literal["counts", "cpm", "log1p", "log10", "log2", "scaled", "intensities"]
_LOGARITHMS: tuple[StateName, ...] = ("log1p", "log10", "log2")
STATES: tuple[str, ...] = get_args(StateName)

INTENSITY_FLOOR, INTENSITY_CEILING = 100.0, 16000.0
"""Range in which microarray intensities are taken as signal (Golub et al. 1999, Dudoit et al. 2002)."""

_LARGEST_LOG = 50.0
"""No logarithm of an expression value is larger, in any base (2**50 exceeds every sequencing depth)."""
_CONSTANT_SUMS = 0.01
"""Row sums whose standard deviation is below this share of their mean count as equal."""
_NOMINAL_TARGETS: tuple[tuple[StateName, float], ...] = (
    ("log1p", 1e4),
    ("log10", 1e6),
    ("log2", 1e6),
    ("log1p", 1e6),
)
"""Scales in use, tried where the row sums do not give the target away (a table of selected genes)."""


@dataclass(frozen=True)
class MatrixState:
    """The state of matrix values and why it is believed."""

    kind: StateName
    """counts, cpm, log1p, log10 (log10 of x + 1), log2 (log2 of x + 1), scaled or intensities."""
    evidence: tuple[str, ...]
    """Sentences with the numbers behind the decision."""
    target_sum: float | None = None
    """Linear total per sample of a cpm or log matrix; None where each sample is divided by its own total."""

    @property
    def is_linear_additive(self) -> bool:
        """Whether duplicated genes may be summed on the linear scale (else they are averaged)."""
        return self.kind not in ("scaled", "intensities")


@dataclass(frozen=True)
class _Facts:
    """Numbers taken from a sample of rows; everything below is derived from these."""

    values: Float32[np.ndarray, " nnz"]
    indptr: np.ndarray
    n_columns: int
    n_entries: int
    minimum: float
    maximum: float
    negative_share: float
    whole_share: float
    zero_share: float

    def row_sums(self, values: Float[np.ndarray, " nnz"]) -> Float[np.ndarray, " row"]:
        ends = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        sums = ends[self.indptr[1:]] - ends[self.indptr[:-1]]
        return sums[sums > 0]


def linear_values(kind: str, values: Float32[np.ndarray, " nnz"]) -> Float32[np.ndarray, " nnz"]:
    """Undo the logarithm of a state (values of other states are returned as they are)."""
    if kind == "log1p":
        return np.expm1(values)
    if kind == "log10":
        return np.expm1(values * np.float32(np.log(10)))
    if kind == "log2":
        return np.expm1(values * np.float32(np.log(2)))
    return values


def detect_state(rows: RawRows, n_columns: int) -> MatrixState:
    """Decide the state of a matrix from a sample of its rows.

    Parameters
    ----------
    rows
        A few hundred rows spread over the matrix.
    n_columns
        Width of the matrix, to know how many zeros there are.

    Raises
    ------
    MatrixError
        If the rows are empty, or look like counts of which a few are negative or fractional.
    """
    facts = _facts(rows, n_columns)
    if facts.minimum < 0:
        return _with_negatives(facts)
    if facts.whole_share == 1.0:
        return MatrixState("counts", _count_evidence(facts))
    if facts.whole_share > 0.99 and facts.maximum > 1:
        share = 1 - facts.whole_share
        raise MatrixError(
            "nearly all values are whole counts but some are fractional",
            seen=f"{share:.3%} fractional of {len(facts.values):,} non-zero values looked at",
            allowed="whole counts throughout, or a normalised matrix",
            remedy="mend the matrix, or state what it is with state=cpm",
        )
    return _linear(facts) if facts.maximum > _LARGEST_LOG else _logarithmic(facts)


def stated(kind: StateName, rows: RawRows, n_columns: int) -> MatrixState:
    """Accept the state a user gives unless the values contradict it.

    Raises
    ------
    MatrixError
        For counts that are negative or fractional, negative values on a linear or log scale, logarithms above 50.
    """
    facts = _facts(rows, n_columns)
    check_stated(kind, facts.minimum, facts.maximum, 1 - facts.whole_share)
    evidence = (f"stated by the option state={kind}", *_range_evidence(facts))
    if kind in _LOGARITHMS:
        target, why = _target(kind, facts)
        return MatrixState(kind, (*evidence, why), target)
    if kind == "cpm":
        sums = facts.row_sums(facts.values)
        return MatrixState(kind, evidence, float(np.median(sums)) if _is_constant(sums) else None)
    return MatrixState(kind, evidence)


def check_stated(kind: str, minimum: float, maximum: float, fractional_share: float) -> None:
    """Refuse values that cannot be in a state; called for the sample and for every block read afterwards.

    Raises
    ------
    MatrixError
        With the value that contradicts the state.
    """
    problem = None
    if kind in ("scaled", "intensities"):
        return
    if minimum < 0:
        problem = ("negative values", f"minimum {minimum:.6g}", "0 or more")
    elif kind == "counts" and fractional_share > 0:
        problem = ("fractional values", f"{fractional_share:.3%} of the non-zero values", "whole numbers")
    elif kind in _LOGARITHMS and maximum > _LARGEST_LOG:
        problem = ("values too large for a logarithm", f"maximum {maximum:.6g}", f"at most {_LARGEST_LOG:g}")
    if problem:
        what, seen, allowed = problem
        raise MatrixError(
            f"{what} in a matrix of state '{kind}'",
            seen=seen,
            allowed=allowed,
            remedy="choose another matrix with layer=..., or state what this one is with state=...",
        )


def _facts(rows: RawRows, n_columns: int) -> _Facts:
    values = rows.values
    n_entries = (len(rows.indptr) - 1) * n_columns
    if not len(values):
        raise MatrixError(
            "the matrix holds nothing but zeros",
            seen=f"{n_entries:,} entries looked at",
            remedy="choose another matrix with layer=...",
        )
    has_zeros = len(values) < n_entries
    return _Facts(
        values=values,
        indptr=rows.indptr,
        n_columns=n_columns,
        n_entries=n_entries,
        minimum=min(float(values.min()), 0.0 if has_zeros else np.inf),
        maximum=max(float(values.max()), 0.0 if has_zeros else -np.inf),
        negative_share=float((values < 0).sum()) / n_entries,
        whole_share=float((values == np.floor(values)).mean()),
        zero_share=1 - len(values) / n_entries,
    )


def _range_evidence(facts: _Facts) -> tuple[str, ...]:
    return (
        f"{facts.n_entries:,} entries looked at: {facts.zero_share:.1%} zero, "
        f"range {facts.minimum:.4g} to {facts.maximum:.4g}",
    )


def _count_evidence(facts: _Facts) -> tuple[str, ...]:
    sums = facts.row_sums(facts.values)
    totals = f"totals per sample {sums.min():,.0f} to {sums.max():,.0f} (median {np.median(sums):,.0f})"
    return (*_range_evidence(facts), "every value is a whole number of 0 or more", totals)


def _with_negatives(facts: _Facts) -> MatrixState:
    """Tell z-scores, components, intensities and damaged counts apart."""
    evidence = (*_range_evidence(facts), f"{facts.negative_share:.1%} of the entries are negative")
    if facts.whole_share == 1.0 and facts.negative_share < 0.01:
        raise MatrixError(
            "negative values in what looks like counts",
            seen=f"{facts.negative_share:.3%} of the entries, minimum {facts.minimum:.6g}",
            allowed="whole numbers of 0 or more",
            remedy="mend the matrix, or state what it is with state=scaled or state=intensities",
        )
    typical = float(np.median(np.abs(facts.values)))
    if facts.maximum > 1000 and typical > 10:
        sentence = (
            f"values reach {facts.maximum:,.0f} with a median size of {typical:,.0f}: array intensities, "
            f"used as log2 between {INTENSITY_FLOOR:g} and {INTENSITY_CEILING:g}"
        )
        return MatrixState("intensities", (*evidence, sentence))
    mean, deviation = float(facts.values.sum()) / facts.n_entries, float(facts.values.std())
    sentence = f"mean {mean:.3g}, standard deviation {deviation:.3g}: z-scores or components, used unchanged"
    return MatrixState("scaled", (*evidence, sentence))


def _linear(facts: _Facts) -> MatrixState:
    sums = facts.row_sums(facts.values)
    evidence = (*_range_evidence(facts), f"{1 - facts.whole_share:.1%} of the non-zero values are fractional")
    if _is_constant(sums):
        target = float(np.median(sums))
        return MatrixState("cpm", (*evidence, f"every sample sums to {target:,.0f}"), target)
    if facts.zero_share < 0.01 and float(np.median(facts.values)) > 20:
        sentence = (
            f"hardly a zero and a median of {np.median(facts.values):,.0f}: array intensities, "
            f"used as log2 between {INTENSITY_FLOOR:g} and {INTENSITY_CEILING:g}"
        )
        return MatrixState("intensities", (*evidence, sentence))
    totals = f"totals differ ({sums.min():,.0f} to {sums.max():,.0f}), so each sample is divided by its own"
    return MatrixState("cpm", (*evidence, totals))


def _logarithmic(facts: _Facts) -> MatrixState:
    """Find the base: equal linear totals, or values of a cell in whole ratios, or else a plausible total."""
    evidence = (*_range_evidence(facts), f"fractional and never above {_LARGEST_LOG:g}: logarithms")
    for kind in _LOGARITHMS:
        sums = facts.row_sums(linear_values(kind, facts.values))
        if len(sums) > 1 and _is_constant(sums):
            target = float(np.median(sums))
            sentence = f"undone as {kind}, every sample sums to {target:,.0f}"
            return MatrixState(kind, (*evidence, sentence), target)
    for kind in _LOGARITHMS:
        share = _whole_ratio_share(facts, kind)
        if share > 0.9:
            sentence = (
                f"undone as {kind}, {share:.1%} of the small values are whole multiples of the sample's least"
            )
            target, why = _target(kind, facts)
            return MatrixState(kind, (*evidence, sentence, why), target)
    return _plausible_log(facts, evidence)


def _plausible_log(facts: _Facts, evidence: tuple[str, ...]) -> MatrixState:
    fits = []
    for kind, target in _NOMINAL_TARGETS:
        sums = facts.row_sums(linear_values(kind, facts.values))
        if sums.max() <= 1.02 * target:
            fits.append((float(np.median(sums)) / target, kind, target))
    if not fits:
        sums = facts.row_sums(linear_values("log2", facts.values))
        sentence = "too large for counts per million in any base: taken as log2 (array or read-depth scale)"
        return MatrixState("log2", (*evidence, sentence), float(np.median(sums)))
    share, kind, target = max(fits)
    sentence = (
        f"undone as {kind}, samples sum to about {share:.2%} of {target:,.0f}, the most plausible reading of "
        "a table of selected genes (state=... overrides)"
    )
    return MatrixState(kind, (*evidence, sentence), target)


def _target(kind: str, facts: _Facts) -> tuple[float, str]:
    """Return the linear total a log matrix was scaled to: equal totals, else the nearest scale in use above them."""
    sums = facts.row_sums(linear_values(kind, facts.values))
    if _is_constant(sums):
        target = float(np.median(sums))
        return target, f"undone, every sample sums to {target:,.0f}"
    for nominal in (1e4, 1e6):
        if sums.max() <= 1.02 * nominal:
            return (
                nominal,
                f"undone, samples sum to {sums.min():,.0f} to {sums.max():,.0f}: part of {nominal:,.0f}",
            )
    target = float(np.median(sums))
    return target, f"undone, samples sum to {sums.min():,.0f} to {sums.max():,.0f}: the median is the scale"


def _is_constant(sums: Float[np.ndarray, " row"]) -> bool:
    return bool(sums.std() <= _CONSTANT_SUMS * sums.mean())


def _whole_ratio_share(facts: _Facts, kind: str) -> float:
    """Share of a sample's small values that are whole multiples of its smallest: 1 for normalised counts."""
    linear = linear_values(kind, facts.values).astype(np.float64)
    n_whole = n_all = 0
    for start, end in zip(facts.indptr[:-1], facts.indptr[1:], strict=True):
        if end > start:
            ratio = linear[start:end] / linear[start:end].min()
            ratio = ratio[(ratio > 1.5) & (ratio < 20.5)]
            n_whole += int((np.abs(ratio - np.round(ratio)) < 0.01).sum())
            n_all += len(ratio)
    return n_whole / n_all if n_all >= 20 else 0.0
