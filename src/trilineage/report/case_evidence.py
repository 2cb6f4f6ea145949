"""Sections of a case about evidence: the cells that tell, the genes for and against, the concepts of the barcode."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Figure, Fold, Gallery, Notice, Section, Table, Text
from trilineage.report.drawing import MODEL, MUTED, SECOND
from trilineage.report.numbers import counted, number
from trilineage.report.patient_barcodes import concept_name, nearest_section, standing_figure, stripes
from trilineage.report.pictures import Wanted, pictures_of
from trilineage.report.sketch import Scale, Sketch

N_LISTED = 8
"""Concepts for, and as many against, a decision in the table."""
WIDTH_PX, _ROW_PX = 800.0, 21.0

Case = Mapping[str, Any]
Record = Mapping[str, Any]


def source_of(case: Case, lineage: str) -> tuple[str, ...]:
    """Return the file of the evidence, as the page sees it."""
    return (f"{case['made']['folders'][lineage]}/{case['evidence'][lineage]['file']}",)


def titled(case: Case, node: str) -> str:
    """Return a node as people call it; a class that is no node as it is."""
    return {row["node"]: str(row["title"]) for row in case["tree"]}.get(node, node)


# ---- cells ----------------------------------------------------------------------------------------------------------


def cells_section(run: Run, case: Case) -> Section | None:
    """Show the cells that tell, each beside its map."""
    found = case["evidence"]["images"]
    if "images" not in case["lineages"]:
        return None
    if found["note"]:
        return Section("cells", "Cells that tell", (Text(f"Not shown: {found['note']}."),))
    node = titled(case, found["node"])
    pictures = pictures_of(run, [_cell(case, cell) for cell in found["cells"]], limit=len(found["cells"]))
    how = (
        f"Cells that move the probability of {node} most, as the images alone see it "
        f"({number(found['patient_probability'], 2)}): first those that speak for it. Left the cell, right the map of "
        "what in it raises the node against its siblings; a contour runs round the strongest tenth."
    )
    blocks: list[Block] = [Gallery(how, pictures, sources=source_of(case, "images"))]
    if not any(cell["speaks"] == "against" for cell in found["cells"]):
        blocks.append(Text("No cell of this patient speaks against the decision."))
    return Section("cells", "Cells that tell", tuple(blocks))


def _cell(case: Case, cell: Record) -> Wanted:
    node = titled(case, cell["node"])
    effect = (
        ""
        if cell["influence"] is None
        else f"; moves the patient by {number(100 * cell['influence'], 1)} points"
    )
    line = f"{cell['speaks'].capitalize()} {node}: {number(cell['probability'], 2)}"
    called = f"called {titled(case, cell['called'])}{effect}"
    return Wanted(
        cell["picture"],
        f"Cell {cell['image']} and its map. {line}, {called}.",
        (line, called, str(cell["image"])),
    )


# ---- genes ----------------------------------------------------------------------------------------------------------


def genes_section(case: Case) -> Section | None:
    """Show the genes for and against the decision of expression."""
    found = case["evidence"]["rna"]
    if "rna" not in case["lineages"]:
        return None
    if found["note"]:
        return Section("genes", "Genes", (Text(f"Not shown: {found['note']}."),))
    blocks: list[Block] = [
        Text(
            f"By expression alone this patient is {titled(case, found['decision'])}. A gene speaks for a class by "
            "being higher or lower than in the other classes; it need not cause the disease."
        ),
        genes_figure(case, found),
        Fold("Every gene shown, in numbers", (genes_table(case, found),)),
    ]
    return Section("genes", "Genes", tuple(blocks))


def genes_figure(case: Case, found: Record) -> Figure:
    """Draw what each gene adds to the decision, and its expression beside that of the training patients."""
    genes, top = [*found["for"], *reversed(found["against"])], 24.0
    bottom = top + _ROW_PX * len(genes)
    left = 16 + 7.2 * max(len(gene["symbol"]) for gene in genes)
    sketch = Sketch(WIDTH_PX, bottom + 40)
    added = [gene["attribution"] for gene in genes]
    across = Scale(min(0.0, *added), max(0.0, *added), left, left + 0.4 * (WIDTH_PX - left))
    sketch.text(across.start, 10, "Against (left) and for (right)", is_bold=True)
    sketch.axis(across, top, bottom, across.ticks(4), "Added to the evidence")
    sketch.line([(across(0), top), (across(0), bottom)])
    for row, gene in enumerate(genes):
        y = top + _ROW_PX * (row + 0.5)
        sketch.text(left - 8, y, gene["symbol"], anchor="end")
        colour = MODEL if gene["attribution"] > 0 else SECOND
        sketch.bar((across(0), y - 7, across(gene["attribution"]), y + 7), colour)
    _draw_expression(sketch, genes, (across.end + 36, top, bottom), titled(case, found["decision"]))
    said = "; ".join(
        f"{gene['symbol']} {number(gene['attribution'], 3)}, {direction(gene)}" for gene in genes
    )
    return sketch.figure(
        "genes",
        title=f"Genes for and against {titled(case, found['decision'])}",
        description=said,
        caption="Left: integrated gradients, mean over the samples of the patient. Right: mean expression, log(1 + "
        "normalised); grey line: training patients, mean and one standard deviation to each side; strong tick: mean of "
        "the training patients of the class.",
        sources=source_of(case, "rna"),
    )


def _draw_expression(
    sketch: Sketch, genes: Sequence[Record], place: tuple[float, float, float], decision: str
) -> None:
    """Draw the expression of the patient on the spread of the training patients; `place`: left, top, bottom."""
    left, top, bottom = place
    ends = [gene["training_mean"] + side * gene["training_deviation"] for gene in genes for side in (-1, 1)]
    ends += [gene[key] for gene in genes for key in ("expression", "class_mean") if gene[key] is not None]
    low, high = min(ends), max(ends)
    margin = 0.03 * (high - low) or 0.5
    across = Scale(low - margin, high + margin, left, WIDTH_PX - 4)
    sketch.text(left, 10, f"Expression (dot: patient, tick: {decision})", is_bold=True)
    sketch.axis(across, top, bottom, across.ticks(5), "Mean expression")
    for row, gene in enumerate(genes):
        y, mean, spread = top + _ROW_PX * (row + 0.5), gene["training_mean"], gene["training_deviation"]
        sketch.bar((across(mean - spread), y - 3, across(mean + spread), y + 3), MUTED, opacity=0.45)
        sketch.line([(across(mean), y - 6), (across(mean), y + 6)], MUTED, px=1.5)
        if gene["class_mean"] is not None:
            sketch.line([(across(gene["class_mean"]), y - 7), (across(gene["class_mean"]), y + 7)], px=2.2)
        sketch.mark(across(gene["expression"]), y, "o", SECOND)


def direction(gene: Record) -> str:
    """Say how the expression of a patient lies to that of the training patients."""
    difference = gene["expression"] - gene["training_mean"]
    spread = gene["training_deviation"]
    if not spread:
        return "higher" if difference > 0 else "lower" if difference < 0 else "the same"
    return f"{'higher' if difference > 0 else 'lower'} by {number(abs(difference) / spread, 1)} SD"


def genes_table(case: Case, found: Record) -> Table:
    """List the genes shown with their numbers."""
    rows = tuple(
        (
            str(gene["symbol"]),
            side,
            direction(gene),
            number(gene["attribution"], 3),
            number(gene["expression"], 2),
            number(gene["training_mean"], 2),
            "" if gene["class_mean"] is None else number(gene["class_mean"], 2),
        )
        for side in ("for", "against")
        for gene in found[side]
    )
    columns = ("Gene", "Speaks", "Against training", "Added", "Patient", "Training", "Class")
    caption = (
        f"Genes behind {titled(case, found['decision'])}, from {counted(found['n_samples'], 'sample')}. SD: standard "
        "deviations between training patients."
    )
    return Table(caption, columns, rows, n_text_columns=3, sources=source_of(case, "rna"))


# ---- concepts -------------------------------------------------------------------------------------------------------


def concepts_section(run: Run, case: Case) -> Section | None:
    """Show the barcode, the concepts that stand out with their cells, and those that move the decision."""
    found = case["evidence"]["concepts"]
    if "concepts" not in case["lineages"]:
        return None
    if "standing" not in found:
        return Section("concepts", "Concepts", (Text(f"Not shown: {found['note']}."),))
    shared, sources = found["shared"], source_of(case, "concepts")
    blocks: list[Block] = [Notice(str(found["note"]), "caution")] if found["note"] else []
    if shared.get("stripes") and found.get("stripe"):
        blocks.append(replace(stripes(shared["stripes"], found), sources=sources))
    if found["standing"]:
        blocks.append(replace(standing_figure(shared, found), sources=sources))
    blocks += _pictures(run, found, sources)
    if found.get("evidence"):
        blocks.append(evidence_table(case, found))
    near = nearest_section(found)
    if near is not None:
        blocks.append(Fold("Nearest training patients", near.blocks))
    return Section("concepts", "Concepts", tuple(blocks))


def _pictures(run: Run, found: Record, sources: tuple[str, ...]) -> list[Block]:
    """Show the patient's cells that hold each concept, the atlas's under them."""
    wanted = []
    for one in found["standing"]:
        name = concept_name(found["shared"], one["latent"])
        for picture in one["pictures"]:
            line = f"{name}: cells of this patient"
            wanted.append(
                Wanted(picture["file"], f"{line}, {picture['caption']}", (line, picture["caption"]))
            )
        if one["pictures"] and one["references"]:
            line = f"{name}: reference cells of the atlas"
            wanted.append(Wanted(one["references"], line, (line,)))
    shown = pictures_of(run, wanted, limit=len(wanted))
    how = "Cells of this patient that hold what stands out most, the patch outlined; under them those of the atlas."
    return [Gallery(how, shown, is_wide=True, sources=sources)] if shown else []


def evidence_table(case: Case, found: Record) -> Table:
    """List the concepts that move the decision of the classifier of barcodes."""
    evidence = found["evidence"]
    rows = tuple(
        (concept_name(found["shared"], one["latent"]), side, number(one["contribution"], 3))
        for side in ("for", "against")
        for one in evidence[side][:N_LISTED]
    )
    caption = (
        f"By the barcode alone this patient is {titled(case, evidence['decision'])} "
        f"({number(evidence['probability'], 2)}). What each concept adds to the logit, relative to the mean training "
        "patient."
    )
    return Table(
        caption, ("Concept", "Speaks", "Added"), rows, n_text_columns=2, sources=source_of(case, "concepts")
    )
