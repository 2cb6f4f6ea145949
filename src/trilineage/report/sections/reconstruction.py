"""How much of the tokens the latents stand for: explained variance and sparsity beside the controls."""

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Fold, Section, Table, Text
from trilineage.report.concept_doubts import reconstruction_notices
from trilineage.report.concept_results import AUTOENCODER, RECONSTRUCTION, Row, rows_of
from trilineage.report.numbers import UNDEFINED, capital, counted, number, percent

_PARTS = {"train": "training", "test": "held out"}
_KINDS = {"all": "all tokens", "cls": "CLS", "patch": "patches"}


def reconstruction_section(run: Run) -> Section | None:
    """Show how well each dictionary stands for the tokens it was, and was not, fitted on."""
    rows = rows_of(run, RECONSTRUCTION)
    if not rows:
        return None
    blocks: list[Block] = [
        Text(
            "Explained variance is 1 where the latents give a token back exactly and 0 where they do no better than "
            "predicting the mean token. Raw neurons and principal components give everything back because they leave "
            "nothing out: they are active in every token. The figures are read together."
        ),
        *reconstruction_notices(run),
        _table([row for row in rows if row["kind"] == "all"] or rows),
    ]
    kinds = [row for row in rows if row["kind"] != "all"]
    if kinds:
        blocks.append(Fold("Patches and CLS tokens apart", (_table(kinds),)))
    return Section("reconstruction", "Reconstruction of the tokens", tuple(blocks))


def _table(rows: list[Row]) -> Table:
    """Lay out a row per dictionary, part and kind of token."""
    cells: list[tuple[Cell, ...]] = [
        (
            capital(row["subject"]),
            _where(row),
            counted(row["n_tokens"], "token"),
            number(row["explained_variance"]),
            number(row["l0"], 1),
            _share(row["dead_share"]),
            _share(row["dense_share"]),
        )
        for row in rows
    ]
    return Table(
        "Explained variance (0: the mean token, 1: exact); latents active per token; share of latents that fired for "
        "none of the tokens, and of those that fired for many.",
        ("Dictionary", "Part", "Tokens", "Explained variance", "Active per token", "Dead", "Dense"),
        tuple(cells),
        n_text_columns=2,
        strong_rows=frozenset(i for i, row in enumerate(rows) if row["subject"] == AUTOENCODER),
    )


def _where(row: Row) -> Cell:
    part, kind = _PARTS[row["part"]], _KINDS[row["kind"]]
    return (part, kind) if row["kind"] != "all" else part


def _share(value: float | None) -> str:
    return UNDEFINED if value is None else percent(round(value, 3))
