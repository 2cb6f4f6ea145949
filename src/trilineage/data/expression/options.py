"""The options of an expression file: where it is, which matrix, which columns, how it is read."""

from typing import Literal

from pydantic import Field

from trilineage.core.config import Settings
from trilineage.data.expression.state import StateName

Backed = Literal["auto", "yes", "no"]
Orientation = Literal["auto", "genes_by_samples", "samples_by_genes"]


class ExpressionSettings(Settings):
    """What to read and how; every key left out is guessed from the columns there are, and the guess is reported."""

    path: str | None = None
    """File or folder: .h5ad, .zarr, 10x .h5, 10x matrix folder, or a .csv/.tsv/.txt table (also .gz)."""
    obs_path: str | None = None
    """A second table with one row per sample (first column: sample names), joined to the sample table."""
    layer: str | None = None
    """Matrix to use instead of X: the name of a layer, or `raw` for the .raw matrix of an h5ad."""
    label_key: str | None = None
    """Column with the diagnosis."""
    patient_key: str | None = None
    """Column with the patient (donor)."""
    cell_type_key: str | None = None
    """Column with the cell type."""
    site_key: str | None = None
    """Column with the site, study or batch."""
    state: Literal["auto"] | StateName = "auto"
    """State of the matrix values; `auto` looks at them and reports its evidence."""
    target_sum: float = Field(default=1e4, gt=0)
    """Counts per sample after normalisation, before log1p (bulk tables: 1e6 keeps more of the low genes)."""
    orientation: Orientation = "auto"
    """Which way a text table lies; `auto` looks at the names on both sides and reports its guess."""
    backed: Backed = "auto"
    """Read from disk in shuffled blocks (`yes`), hold in memory (`no`), or choose by `memory_limit_gb`."""
    memory_limit_gb: float = Field(default=4.0, gt=0)
    """With `backed=auto`, the largest compact in-memory form; anything larger stays on disk."""
    block_size: int = Field(default=256, ge=1)
    """Consecutive rows read together from disk."""
    shuffle_blocks: int = Field(default=32, ge=1)
    """Blocks mixed in one shuffle buffer: rows of a minibatch come from block_size x shuffle_blocks rows."""
