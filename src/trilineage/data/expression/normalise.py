"""From stored values to what a model sees: one scale (log1p of a fixed total per sample) for counts, CPM and logs."""

import numpy as np
from jaxtyping import Float32, Float64

from trilineage.data.expression.columns import ColumnMap
from trilineage.data.expression.rows import RawRows
from trilineage.data.expression.rows_kernels import log_counts, log_scaled, row_sums
from trilineage.data.expression.state import (
    INTENSITY_CEILING,
    INTENSITY_FLOOR,
    MatrixState,
    linear_values,
)


class LinearRows:
    """Rows over genes on the linear scale, with the total each sample is divided by.

    Parameters
    ----------
    rows
        Rows over genes.
    totals
        Total per sample, before its genes were chosen (or, for an aligned model, of the matched genes).
    """

    def __init__(self, rows: RawRows, totals: Float64[np.ndarray, " cell"]):
        self.rows, self.totals = rows, totals


def linear_rows(
    stored: RawRows,
    state: MatrixState,
    columns: ColumnMap,
    *,
    total_over_genes: bool,
    expected_share: float = 1.0,
) -> LinearRows:
    """Undo the logarithm, sum columns to genes, and take the totals.

    Parameters
    ----------
    total_over_genes
        Take a sample's total over the genes of the map (a model's genes) and not over all columns of the file.
    expected_share
        Share of the total that these genes held in training; the total found is divided by it.
    """
    linear = stored._replace(values=linear_values(state.kind, stored.values))
    rows = columns.apply(linear)
    summed = rows if total_over_genes else linear
    totals = np.empty(len(summed.indptr) - 1, np.float64)
    row_sums(summed.indptr, summed.values, totals)
    return LinearRows(rows, totals / expected_share)


def normalised(linear: LinearRows, state: MatrixState, target_sum: float) -> Float32[np.ndarray, " nnz"]:
    """Return the values a model sees.

    Counts, CPM and logarithms of either become log1p(target_sum x / total), where the total is the sample's own for
    counts and the scale of the file for the others. Intensities become log2 above the floor of 100, clipped at
    16,000 (0 to 7.3). Scaled values stay as they are.
    """
    rows = linear.rows
    if state.kind == "scaled":
        return rows.values
    if state.kind == "intensities":
        return np.log2(np.clip(rows.values, INTENSITY_FLOOR, INTENSITY_CEILING) / np.float32(INTENSITY_FLOOR))
    totals = linear.totals if state.target_sum is None else np.full(len(linear.totals), state.target_sum)
    scale = target_sum / np.where(totals > 0, totals, 1.0)
    out = np.empty(len(rows.values), np.float32)
    (log_counts if state.kind == "counts" else log_scaled)(rows.indptr, rows.values, scale, out)
    return out
