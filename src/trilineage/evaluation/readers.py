"""Labels that people gave the same images: tables of readers, read from CSV files."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped

from trilineage.core.errors import ColumnError, FormatError
from trilineage.core.registry import nearest_remedy

ITEM_COLUMNS = ("image", "item", "sample", "file", "img_name", "name", "path")
"""Names under which the column of images is looked for, in this order."""

Texts = Sequence[str] | Shaped[np.ndarray, " _"]
"""Texts in a list or an array."""

MAX_CATEGORIES = 1000
"""Labels above which a column is no column of labels."""


@dataclass(frozen=True)
class ReaderTable:
    """Labels by item and reader."""

    items: Shaped[np.ndarray, " item"]
    """Names of the images or samples (str), each once."""
    readers: tuple[str, ...]
    """Names of the readers."""
    categories: tuple[str, ...]
    """Labels that occur, sorted; or, where they were given, all there are in their own order."""
    codes: Int[np.ndarray, "item reader"]
    """Index of the label each reader gave each item; -1 where a reader gave none."""
    patients: Shaped[np.ndarray, " item"] | None = None
    """Patient of each item (str), where known."""

    @classmethod
    def of(
        cls,
        items: Texts,
        labels: Mapping[str, Texts],
        *,
        patients: Texts | None = None,
        categories: Sequence[str] = (),
    ) -> "ReaderTable":
        """Make a table from the labels of each reader in the order of the items; "" where there is none.

        The categories are those given, or, where there are others, all that occur.
        """
        columns = [[str(label).strip() for label in given] for given in labels.values()]
        found = sorted({label for column in columns for label in column} - {""})
        known = tuple(categories) if set(found) <= set(categories) else tuple(found)
        place = {label: code for code, label in enumerate(known)} | {"": -1}
        codes = [np.array([place[label] for label in column], dtype=np.int64) for column in columns]
        return cls(
            np.array(items, dtype=str),
            tuple(labels),
            known,
            np.stack(codes, axis=1),
            None if patients is None else np.array(patients, dtype=str),
        )

    def labels_of(self, reader: str) -> Shaped[np.ndarray, " item"]:
        """Return the labels of a reader as text; "" where there is none."""
        codes = self.codes[:, self.readers.index(reader)]
        return np.where(codes < 0, "", np.array([*self.categories, ""])[codes])

    def with_reader(self, name: str, items: Texts, labels: Texts) -> "ReaderTable":
        """Return the table with one more reader (a model, say); items it does not know stay without its label."""
        given = dict(zip(map(str, items), map(str, labels), strict=True))
        columns = {reader: self.labels_of(reader).tolist() for reader in self.readers}
        columns[name] = [given.get(item, "") for item in self.items.tolist()]
        return self._of(columns, self.categories)

    def renamed(self, meaning: Callable[[str], str], categories: Sequence[str] = ()) -> "ReaderTable":
        """Return the table with each label replaced by what it means: `taxonomy.resolve`, or its node at a level.

        What the labels can mean may be given, to keep its order.
        """
        words = {label: meaning(label) for label in self.categories}
        columns = {
            reader: [words.get(label, "") for label in self.labels_of(reader).tolist()]
            for reader in self.readers
        }
        return self._of(columns, categories)

    def subset(self, rows: Int[np.ndarray, " row"]) -> "ReaderTable":
        """Return the table of some items."""
        patients = None if self.patients is None else self.patients[rows]
        return replace(self, items=self.items[rows], codes=self.codes[rows], patients=patients)

    def _of(self, columns: Mapping[str, Texts], categories: Sequence[str]) -> "ReaderTable":
        made = ReaderTable.of(self.items.tolist(), columns, categories=categories)
        return replace(made, patients=self.patients)


def read_reader_table(
    path: Path | str,
    *,
    item: str | None = None,
    reader: str | None = None,
    label: str | None = None,
    readers: Sequence[str] = (),
    patient: str | None = None,
) -> ReaderTable:
    """Read who gave which image which label.

    Two layouts: one row for each image and reader, with the columns `reader` and `label`; or one row for each image
    and a column for each reader. Without names, the first is taken where columns called `reader` and `label` exist,
    and otherwise every column but those of image and patient is a reader.

    Parameters
    ----------
    path
        CSV file with a header.
    item
        Column of the images; None looks for one of `ITEM_COLUMNS`.
    reader, label
        Columns of the long layout.
    readers
        Columns of the wide layout.
    patient
        Column of the patients; None looks for `patient`.

    Raises
    ------
    FormatError
        The file cannot be read, is empty, or a reader labels an image twice.
    ColumnError
        A column is missing, or holds too many different labels to be one.
    """
    rows, columns = _read_rows(Path(path))
    item = item or _found(ITEM_COLUMNS, columns, "image")
    patient = patient or ("patient" if "patient" in columns else None)
    is_long = bool(reader or label) or (not readers and {"reader", "label"} <= set(columns))
    if is_long:
        reader, label = reader or "reader", label or "label"
        _require(columns, (item, reader, label, *([patient] if patient else [])))
        table = _long_table(rows, item, reader, label, patient)
    else:
        readers = tuple(readers) or tuple(name for name in columns if name not in (item, patient))
        _require(columns, (item, *readers, *([patient] if patient else [])))
        table = _wide_table(rows, item, readers, patient)
    _refuse_many_labels(table, path)
    return table


def read_attribute_tables(
    first: Path | str,
    second: Path | str,
    *,
    items: tuple[str | None, str | None] = (None, None),
    names: tuple[str, str] = ("first", "second"),
    attributes: Sequence[str] = (),
    patient: str | None = None,
) -> dict[str, ReaderTable]:
    """Read two annotations of the same images, one file each, and pair every attribute that both have.

    So WBCAtt's second annotation stands beside the attributes of the first: images are matched by name, those of one
    file only are left out.

    Parameters
    ----------
    first, second
        CSV files with a header.
    items
        Column of the images in each; None looks for one of `ITEM_COLUMNS`.
    names
        What the two readers are called.
    attributes
        Columns to pair; none given: all that both files have, but the images and those whose values are all different.
    patient
        Column of the patients in the first file.

    Returns
    -------
    A table by attribute.

    Raises
    ------
    FormatError
        A file cannot be read, or names an image twice.
    ColumnError
        No column, or no image, is in both files.
    """
    sides = []
    for path, item in zip((first, second), items, strict=True):
        rows, columns = _read_rows(Path(path))
        found = item or _found(ITEM_COLUMNS, columns, "image")
        _require(columns, (found,))
        sides.append((_by_item(rows, found, path), columns, found))
    (one, columns, own), (other, others, theirs) = sides
    shared = [name for name in one if name in other]
    wanted = tuple(attributes) or tuple(c for c in columns if c in others and c not in (own, theirs))
    if not shared or not wanted:
        raise ColumnError(
            "two annotations that have nothing in common",
            seen=f"{len(shared)} images and {len(wanted)} columns in both",
            allowed="the same images, and columns of the same name",
            remedy="name the column of the images in each file",
        )
    _require(columns, wanted)
    _require(others, wanted)
    patients = None if patient is None else [one[name][patient] for name in shared]
    tables = {}
    for attribute in wanted:
        labels = {
            reader: [side[name][attribute] for name in shared]
            for reader, side in zip(names, (one, other), strict=True)
        }
        table = ReaderTable.of(shared, labels, patients=patients)
        if attributes or len(table.categories) <= max(2, len(shared) // 2):
            tables[attribute] = table
    return tables


def _read_rows(path: Path) -> tuple[list[dict[str, str]], tuple[str, ...]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows = [{key: value or "" for key, value in row.items() if key is not None} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(
            "a table of readers cannot be read",
            seen=f"{path}: {error}",
            allowed="a CSV file in UTF-8 with a header",
            remedy="check the path and save the table as CSV",
        ) from error
    if not rows or not reader.fieldnames:
        raise FormatError(
            "a table of readers without a row",
            seen=path,
            allowed="a header and at least one row",
            remedy="check that the table was written whole",
        )
    return rows, tuple(reader.fieldnames)


def _found(wanted: Sequence[str], columns: Sequence[str], what: str) -> str:
    for name in wanted:
        if name in columns:
            return name
    raise ColumnError(
        f"no column of the {what}",
        seen=", ".join(columns[:20]),
        allowed=", ".join(wanted),
        remedy="name the column",
    )


def _require(columns: Sequence[str], wanted: Sequence[str]) -> None:
    for name in wanted:
        if name not in columns:
            raise ColumnError(
                f"the table has no column {name!r}",
                seen=", ".join(columns[:20]),
                remedy=nearest_remedy(name, tuple(columns)),
            )


def _by_item(rows: list[dict[str, str]], item: str, path: Path | str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        name = row[item].strip()
        if name in found:
            raise _twice(name, str(path))
        found[name] = row
    return found


def _twice(item: str, where: str) -> FormatError:
    return FormatError(
        "an image that is labelled twice by one reader",
        seen=f"{item!r} of {where}",
        allowed="one row for each image and reader",
        remedy="remove one of the rows",
    )


def _long_table(
    rows: list[dict[str, str]], item: str, reader: str, label: str, patient: str | None
) -> ReaderTable:
    items = list(dict.fromkeys(row[item].strip() for row in rows))
    place = {name: number for number, name in enumerate(items)}
    readers = sorted({row[reader].strip() for row in rows})
    columns = {name: [""] * len(items) for name in readers}
    patients = [""] * len(items)
    seen: set[tuple[str, str]] = set()
    for row in rows:
        key = row[item].strip(), row[reader].strip()
        if key in seen:
            raise _twice(key[0], f"reader {key[1]}")
        seen.add(key)
        columns[key[1]][place[key[0]]] = row[label]
        patients[place[key[0]]] = row[patient].strip() if patient else ""
    return ReaderTable.of(items, columns, patients=patients if patient else None)


def _wide_table(
    rows: list[dict[str, str]], item: str, readers: Sequence[str], patient: str | None
) -> ReaderTable:
    by_item = _by_item(rows, item, "the table")
    columns = {name: [row[name] for row in by_item.values()] for name in readers}
    patients = [row[patient].strip() for row in by_item.values()] if patient else None
    return ReaderTable.of(list(by_item), columns, patients=patients)


def _refuse_many_labels(table: ReaderTable, path: Path | str) -> None:
    if len(table.categories) > MAX_CATEGORIES:
        raise ColumnError(
            "columns that are no labels",
            seen=f"{len(table.categories)} different values in {path}",
            allowed=f"up to {MAX_CATEGORIES} labels",
            remedy="name the columns of the readers",
        )
