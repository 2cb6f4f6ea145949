"""Text tables (CSV, TSV): genes x samples or samples x genes, with the sample columns inside or in a second table."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from trilineage.core.errors import ColumnError, FormatError, MatrixError
from trilineage.data.expression.anndata_file import RawTable
from trilineage.data.expression.keys import CANDIDATES
from trilineage.data.expression.matrices import DenseMatrix

_UNREADABLE = (OSError, EOFError, ValueError, OverflowError, zlib.error, csv.Error, MemoryError)
_GENE_NAME = re.compile(
    r"^(ENS[A-Z]{0,4}G\d+(\.\d+)?|.+_at|ILMN_\d+|RP[LS]\d+\w*|MT-\w+|HLA-\w+|CD\d+[A-Z]?|LINC\d+|ACTB|GAPDH|B2M|MALAT1"
    r"|HB[ABDGZ]\d?|PTPRC|MPO|ELANE|GATA\d|TP53|RUNX\d|FLT3|KIT|LYZ|NKG7|MS4A1|TUBB\w*|EEF\d\w+|HIST\w+|IL\d+\w*|KRT\d+"
    r"|Rp[ls]\d+\w*|mt-\w+|Cd\d+\w?|Actb|Gapdh|Gata\d|Mpo|Elane)$"
)
"""Names that can only be genes, human or mouse; enough of any real table matches to tell its two sides apart."""
_OTHER_OBS_COLUMNS = ("age", "age_years", "sex", "gender", "sample", "sample_id")


def is_table(path: Path) -> bool:
    """Tell whether a file name is that of a text table."""
    return re.search(r"\.(csv|tsv|txt|tab)(\.gz)?$", path.name.lower()) is not None


def read_table(path: Path, *, orientation: str = "auto", asked: Sequence[str] = ()) -> RawTable:
    """Read a text table whose first column and first line hold names.

    Parameters
    ----------
    orientation
        `genes_by_samples`, `samples_by_genes`, or `auto`: by the names, else the longer side is the genes.
    asked
        Names of columns that belong to the sample table although they hold numbers.

    Raises
    ------
    FormatError
        If it is no table.
    MatrixError
        If no column holds numbers, or numbers are missing.
    """
    frame = _frame(path)
    is_number = np.array([dtype.kind in "iufb" for dtype in frame.dtypes], dtype=np.bool_)
    if not is_number.any():
        raise MatrixError(
            f"{path.name} holds no column of numbers", seen=f"columns {list(frame.columns[:5])}"
        )
    guess, why = _orientation(frame, is_number) if orientation == "auto" else (orientation, "as asked for")
    note = f"table read as {guess} ({why})"
    if guess == "genes_by_samples":
        values = frame.loc[:, is_number].to_numpy(dtype=np.float64).T
        var = frame.loc[:, ~is_number]
        obs = pd.DataFrame(index=pd.Index(frame.columns[is_number].astype(str), dtype=object))
    else:
        belongs = is_number & ~_is_sample_column(frame.columns, asked)
        values = frame.loc[:, belongs].to_numpy(dtype=np.float64)
        obs = frame.loc[:, ~belongs]
        var = pd.DataFrame(index=pd.Index(frame.columns[belongs].astype(str), dtype=object))
    return RawTable(DenseMatrix(values), obs, var, (note,))


def join_obs(obs: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Add the columns of a second table, matched by sample name (its first column).

    Raises
    ------
    ColumnError
        If a sample is absent from the second table, or a name occurs there twice.
    """
    other = _frame(path)
    other.index = other.index.astype(str)
    if other.index.has_duplicates:
        twice = other.index[other.index.duplicated()][0]
        raise ColumnError(f"{path.name} names a sample twice", seen=twice, remedy="keep one row per sample")
    absent = obs.index[~obs.index.isin(other.index)]
    if len(absent):
        raise ColumnError(
            f"{path.name} lacks samples of the matrix",
            seen=f"{len(absent)} of {len(obs)}, such as {', '.join(map(str, absent[:3]))}",
            allowed=f"names such as {', '.join(other.index[:3])}",
            remedy="make the first column the sample names",
        )
    added = other.loc[obs.index]
    return pd.concat([obs.drop(columns=[c for c in obs.columns if c in added.columns]), added], axis=1)


def _frame(path: Path) -> pd.DataFrame:
    """Read the text into a DataFrame; names stay as they are, duplicates too."""
    if not path.is_file():
        raise FormatError("no such file", seen=path, remedy="check the path")
    try:
        header, first = _first_lines(path)
        separator = _separator(path, header)
        names = next(csv.reader([header], delimiter=separator))
        n_columns = len(next(csv.reader([first], delimiter=separator)))
        if n_columns == len(names) + 1:  # written by R: no name above the row names
            names = ["", *names]
        if n_columns != len(names) or n_columns < 2:
            raise FormatError(f"{path.name} is no table", seen=f"{len(names)} names above {n_columns} values")
        frame = pd.read_csv(
            path,
            sep=separator,
            header=None,
            skiprows=1,
            names=range(n_columns),
            index_col=0,
            low_memory=False,
        )
    except _UNREADABLE as error:
        raise FormatError(f"cannot read {path.name} as a table", seen=str(error)[:200]) from error
    frame.columns = pd.Index(names[1:], dtype=object)
    frame.index = pd.Index([str(name) for name in frame.index], dtype=object)
    return frame


def _first_lines(path: Path) -> tuple[str, str]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig")  # type: ignore[arg-type]
        header, first = text.readline(50_000_000), text.readline(50_000_000)
    if not header.strip() or not first.strip():
        raise FormatError(f"{path.name} has fewer than two lines")
    return header.rstrip("\r\n"), first.rstrip("\r\n")


def _separator(path: Path, header: str) -> str:
    by_frequency = max(("\t", ",", ";"), key=header.count)
    return by_frequency if by_frequency in header else ("," if ".csv" in path.name.lower() else "\t")


def _orientation(frame: pd.DataFrame, is_number: Bool[np.ndarray, " column"]) -> tuple[str, str]:
    """Guess which side holds the genes, and say why."""
    rows, columns = _gene_share(frame.index), _gene_share(frame.columns[is_number])
    if max(rows, columns) > 0.01 and rows != columns:
        guess = "genes_by_samples" if rows > columns else "samples_by_genes"
        return guess, f"{rows:.1%} of the row names and {columns:.1%} of the column names look like genes"
    guess = "genes_by_samples" if len(frame) > is_number.sum() else "samples_by_genes"
    return guess, f"{len(frame)} rows, {int(is_number.sum())} columns: the longer side is taken as genes"


def _gene_share(names: pd.Index) -> float:
    return float(np.mean([_GENE_NAME.match(str(name)) is not None for name in names])) if len(names) else 0.0


def _is_sample_column(columns: pd.Index, asked: Sequence[str]) -> Bool[np.ndarray, " column"]:
    known = {name for names in CANDIDATES.values() for name in names} | set(_OTHER_OBS_COLUMNS)
    return np.array([str(c) in asked or str(c).lower() in known for c in columns], dtype=np.bool_)
