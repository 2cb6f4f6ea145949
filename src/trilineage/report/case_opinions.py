"""Sections of a case about decisions: along the tree, of each lineage, how far from training, and from which Runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from trilineage.report.blocks import Block, Facts, Figure, Fold, Level, Notice, Section, Table, Text
from trilineage.report.drawing import INK, MODEL, MUTED, SECOND, THIRD
from trilineage.report.numbers import capital, counted, number, percent
from trilineage.report.sketch import Scale, Sketch
from trilineage.report.tree_shape import TreeShape

WORDS = {"fused": "all together", "rna": "expression", "images": "images", "concepts": "concepts"}
"""Voices as people call them."""
COLOURS = {"fused": INK, "rna": MODEL, "images": SECOND, "concepts": THIRD}
MARKS = {"rna": "o", "images": "s", "concepts": "D"}
"""Shapes beside the colours: told apart in print."""
EVIDENCE = "../evidence.csv"
INDENT = "\N{EM SPACE}"
WIDTH_PX = 800.0
FAR = 95.0
"""Percentile from which the figure is shaded."""
LEAST_REFERENCE = 19
"""Validation patients without whom a patient farther than all of them may still be there by chance (1 in 20)."""
_ROW_PX, _INDENT_PX, _LETTER_PX = 24.0, 26.0, 6.8

Case = Mapping[str, Any]


# ---- along the tree -------------------------------------------------------------------------------------------------


def decision_section(case: Case) -> Section:
    """Show the way to the decision, and every node beside it."""
    shape = TreeShape.of(case["tree"])
    blocks: list[Block] = [path_facts(case), tree_figure(case, shape)]
    blocks.append(Fold("The probability of every node", (node_table(case, shape),)))
    return Section("decision", "The decision along the tree", tuple(blocks))


def path_facts(case: Case) -> Facts:
    """List the nodes on the way with their probabilities, and the set."""
    probability = {row["node"]: row["probability"]["fused"] for row in case["tree"]}
    titles = {row["node"]: row["title"] for row in case["tree"]}
    steps = [f"{titles[node]} {number(probability[node], 2)}" for node in case["decision"]["path"][1:]]
    held = case["set"]
    promise = f"Set for {percent(case['made']['coverage'])} of patients"
    told = f"{titles[held['node']]}: {', '.join(held['leaves'])}" if held["node"] else "no set was calibrated"
    return Facts(
        (("Way to the decision", " \N{RIGHTWARDS ARROW} ".join(steps)), (promise, told)), ("../patients.csv",)
    )


def tree_figure(case: Case, shape: TreeShape) -> Figure:
    """Draw the tree as an indented list, the pooled probabilities as bars, those of the lineages as marks."""
    rows, top = shape.rows, 30.0
    bottom = top + _ROW_PX * len(rows)
    names = [
        _INDENT_PX * depth + _LETTER_PX * len(node["title"])
        for node, depth in zip(rows, shape.depths, strict=True)
    ]
    sketch, across = Sketch(WIDTH_PX, bottom + 38), Scale(0, 1, 24 + max(names), WIDTH_PX - 16)
    for place, voice in enumerate(case["lineages"]):
        sketch.mark(across.start + 130 * place + 6, 12, MARKS[voice], COLOURS[voice])
        sketch.text(across.start + 130 * place + 18, 12, WORDS[voice])
    sketch.axis(across, top, bottom, (0, 0.2, 0.4, 0.6, 0.8, 1), "Probability")
    _draw_tree(sketch, shape, top)
    for row, node in enumerate(rows):
        y = top + _ROW_PX * (row + 0.5)
        if node["in_set"]:
            sketch.bar((across.start, y - _ROW_PX / 2, WIDTH_PX, y + _ROW_PX / 2), MUTED, opacity=0.16)
        values = node["probability"]
        strength = 0.75 if node["on_path"] else 0.28
        sketch.bar((across(0), y - 8, across(values["fused"]), y + 8), INK, opacity=strength)
        for voice in case["lineages"]:
            sketch.mark(across(values[voice]), y, MARKS[voice], COLOURS[voice])
    return sketch.figure(
        "path",
        title="The tree with the probability of every node",
        description="Probabilities of all lineages together: "
        + "; ".join(f"{node['title']} {number(node['probability']['fused'], 2)}" for node in rows)
        + ".",
        caption="Bars: all lineages together, strong on the way to the decision. Marks: each lineage by itself. Grey "
        "ground: nodes inside the set.",
        sources=("../patients.csv", EVIDENCE),
    )


def _draw_tree(sketch: Sketch, shape: TreeShape, top: float) -> None:
    """Write the nodes with lines from each to its parent."""
    place = {name: row for row, name in enumerate(shape.names)}
    for row, (node, depth) in enumerate(zip(shape.rows, shape.depths, strict=True)):
        y, x = top + _ROW_PX * (row + 0.5), 4 + _INDENT_PX * depth
        if node["parents"]:
            above = top + _ROW_PX * (place[node["parents"][0]] + 0.85)
            corner = x - _INDENT_PX + 5
            sketch.line([(corner, above), (corner, y), (x - 5, y)], MUTED)
        sketch.text(x, y, node["title"], is_bold=node["on_path"])


def node_table(case: Case, shape: TreeShape) -> Table:
    """List the probability of every node, of all together and of each lineage."""
    voices = ("fused", *case["lineages"])
    rows = tuple(
        (
            f"{INDENT * depth}{node['title']}",
            *(number(node["probability"][voice], 3) for voice in voices),
            "yes" if node["in_set"] else "",
        )
        for node, depth in zip(shape.rows, shape.depths, strict=True)
    )
    strong = frozenset(row for row, node in enumerate(shape.rows) if node["on_path"])
    return Table(
        "Probability of every node; the way to the decision is set apart.",
        ("Node", *(capital(WORDS[voice]) for voice in voices), "In the set"),
        rows,
        strong_rows=strong,
        is_sortable=False,
        sources=("../patients.csv", EVIDENCE),
    )


# ---- lineage by lineage ---------------------------------------------------------------------------------------------


def opinions_section(case: Case) -> Section:
    """Show what each lineage says beside the others, and say in a sentence where they part."""
    found = case["agreement"]
    level: Level = "note" if found["is_agreed"] else "caution"
    blocks: list[Block] = [Notice(str(found["sentence"]), level), leaves_figure(case), weights_table(case)]
    blocks += [Text(text) for text in missing_sentences(case)]
    return Section("lineages", "What each lineage says", tuple(blocks))


def weights_table(case: Case) -> Table:
    """List what each lineage calls the patient, how sure it is once calibrated, and how much its word counts."""
    titles = {row["node"]: row["title"] for row in case["tree"]}
    rows = tuple(
        (
            capital(WORDS[name]),
            str(titles.get(case["called"][name], case["called"][name])),
            number(case["certainty"][name], 2),
            number(case["weights"][name], 2),
        )
        for name in case["lineages"]
    )
    return Table(
        "All together is no average: the log-odds of each lineage against the prior are multiplied by its weight and "
        "added, so that lineages that lean the same way make it surer than any of them. Weights were fitted on "
        "validation patients: above 1 a lineage was found too shy, at 0 it is not listened to.",
        ("Lineage", "Says", "By itself, calibrated", "Weight"),
        rows,
        n_text_columns=2,
        sources=("../fusion.json", "../cases.json"),
    )


def missing_sentences(case: Case) -> list[str]:
    """Say which kinds of data there are not."""
    missing = [name for name in MARKS if name not in case["lineages"]]
    return [f"No {WORDS[name]}: {case['evidence'][name]['note']}." for name in missing]


def leaves_figure(case: Case) -> Figure:
    """Draw the probabilities of the leaves, a panel for all together and one for each lineage."""
    leaves = [row for row in TreeShape.of(case["tree"]).rows if row["is_leaf"]]
    voices = ("fused", *case["lineages"])
    left, top = 12 + _LETTER_PX * max(len(leaf["title"]) for leaf in leaves), 24.0
    bottom = top + _ROW_PX * len(leaves)
    sketch = Sketch(WIDTH_PX, bottom + 22)
    panel = (WIDTH_PX - left) / len(voices)
    for row, leaf in enumerate(leaves):
        sketch.text(left - 6, top + _ROW_PX * (row + 0.5), leaf["title"], anchor="end")
    for place, voice in enumerate(voices):
        start = left + panel * place
        across = Scale(0, 1, start, start + panel - 52)
        sketch.text(start, 10, capital(WORDS[voice]), is_bold=True)
        sketch.axis(across, top, bottom, (0, 0.5, 1))
        highest = max(leaf["probability"][voice] for leaf in leaves)
        for row, leaf in enumerate(leaves):
            value, y = leaf["probability"][voice], top + _ROW_PX * (row + 0.5)
            strength = 0.9 if value == highest else 0.4
            sketch.bar((across(0), y - 8, across(value), y + 8), COLOURS[voice], opacity=strength)
            sketch.text(across(value) + 5, y, number(value, 2), px=10.5)
    return sketch.figure(
        "voices",
        title="Diagnoses by lineage",
        description="; ".join(_said(voice, leaves) for voice in voices),
        caption="Probability of each diagnosis; the most probable one of each lineage is strong.",
        sources=("../patients.csv", EVIDENCE),
    )


def _said(voice: str, leaves: Sequence[Mapping[str, Any]]) -> str:
    """Return the opinion of one voice in words."""
    told = ", ".join(f"{leaf['title']} {number(leaf['probability'][voice], 2)}" for leaf in leaves)
    return f"{WORDS[voice]}: {told}"


# ---- not seen before ------------------------------------------------------------------------------------------------


def unseen_section(case: Case) -> Section | None:
    """Show how far the patient lies from the training patients of each lineage."""
    known = [one for one in case["unseen"] if one["percentile"] is not None]
    if not known:
        return None
    far = [capital(WORDS[one["lineage"]]) for one in known if one["is_far"]]
    rows = tuple(
        (
            capital(WORDS[one["lineage"]]),
            number(one["percentile"], 0),
            counted(one["n_reference"], "patient"),
            number(one["distance"], 3),
        )
        for one in known
    )
    table = Table(
        "Share of the validation patients that lie nearer to the training patients, in percent.",
        ("Lineage", "Nearer, %", "Validation", "Distance"),
        rows,
        sources=tuple(f"{case['made']['folders'][one['lineage']]}/{one['file']}" for one in known),
    )
    blocks = (Notice(_unseen_verdict(known, far), "caution" if far else "note"), unseen_figure(known), table)
    return Section("unseen", "Seen before?", blocks)


def _unseen_verdict(known: Sequence[Mapping[str, Any]], far: Sequence[str]) -> str:
    """Say whether the patient is unlike training, as far as so many validation patients can tell."""
    if far:
        return (
            f"{', '.join(far)}: farther from training than nearly all validation patients. What the models say here is "
            "said of something they may not have seen."
        )
    if all(one["n_reference"] < LEAST_REFERENCE for one in known):
        return f"With fewer than {LEAST_REFERENCE} validation patients nobody can be called unlike training."
    return "This patient is no farther from training than validation patients may be."


def unseen_figure(known: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the place of the patient among the validation patients."""
    top, across = 8.0, Scale(0, 100, 96, 520)
    bottom = top + 30 * len(known)
    sketch = Sketch(540, bottom + 38)
    sketch.bar((across(FAR), top, across(100), bottom), SECOND, opacity=0.2)
    sketch.axis(
        across, top, bottom, (0, 25, 50, 75, 100), "Validation patients that lie nearer to training, %"
    )
    for row, one in enumerate(known):
        y, voice = top + 30 * (row + 0.5), one["lineage"]
        sketch.text(across.start - 10, y, capital(WORDS[voice]), anchor="end")
        sketch.line([(across.start, y), (across.end, y)], MUTED, opacity=0.6)
        sketch.mark(across(one["percentile"]), y, MARKS[voice], COLOURS[voice])
    return sketch.figure(
        "unlike",
        title="How unlike training this patient is",
        description="; ".join(
            f"{WORDS[one['lineage']]} at percentile {number(one['percentile'], 0)}" for one in known
        ),
        caption="Distance of the patient's mean expression, mean features of its images, and barcode from the nearest "
        "class of training patients. Shaded: beyond 95 in 100.",
    )


# ---- where it comes from --------------------------------------------------------------------------------------------


def origin_section(case: Case) -> Section:
    """Name the Runs and files that the page was made from."""
    made = case["made"]
    rows = [("Fused by", str(made["run"])), ("Tree", str(made["taxonomy"]))]
    for name, folder in made["folders"].items():
        found = case["evidence"][name]
        told = str(folder) if not found["note"] else f"{folder} ({found['note']})"
        rows.append((f"{capital(WORDS[name])}", told))
    runs = tuple(f"{folder}/run.json" for folder in made["folders"].values())
    return Section("origin", "Where this comes from", (Facts(tuple(rows), ("../run.json", *runs)),))
