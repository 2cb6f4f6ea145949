"""Read back what a model said of the patients of an expression file that `trilineage rna predict` wrote."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from trilineage.core.errors import FormatError
from trilineage.data.expression.anndata_file import read_frame
from trilineage.data.expression.hdf5 import HDF5Node, open_hdf5

NOTES = "trilineage"
"""Group of `uns` that holds what was written."""


class DiagnosedPatients(NamedTuple):
    """The table of patients in an annotated file."""

    table: pd.DataFrame
    """`patient`, `n_samples`, `predicted` and `probability: CLASS`, a row per patient."""
    run_config: str
    """SHA-256 of the configuration of the Run that diagnosed; empty where it is not said."""


def read_diagnosed(path: Path | str) -> DiagnosedPatients:
    """Read the table of patients out of an h5ad file, whose links and sizes are checked first.

    Raises
    ------
    FormatError
        There is no such file, it is damaged, or nobody was diagnosed in it.
    """
    path = Path(path)
    with open_hdf5(path) as root:
        notes = _child(_child(root, "uns"), NOTES)
        patients = _child(notes, "patients")
        if notes is None or patients is None:
            raise FormatError(
                f"{path.name} holds no diagnoses of patients",
                seen=", ".join(root.names()[:10]),
                allowed="an h5ad file written by `trilineage rna predict`",
                remedy="run `trilineage rna predict RUN FILE --out DIAGNOSED.h5ad` first",
            )
        table = read_frame(patients, "patients")
        run_config = _child(notes, "run_config_sha256")
        digest = "" if run_config is None else str(np.asarray(run_config.values()).item())
    return DiagnosedPatients(table.reset_index(drop=True), digest)


def _child(node: HDF5Node | None, name: str) -> HDF5Node | None:
    """Return a child, or None where there is none."""
    if node is None or not node.is_group or name not in node.names():
        return None
    return node.child(name)
