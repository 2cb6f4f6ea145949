"""Sections of a case about decisions: along the tree, of each lineage, how far from training, and from which Runs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from trilineage.report.blocks import Block, Facts, Figure, Fold, Notice, Section, Table, Text
from trilineage.report.drawing import INK, MODEL, MUTED, SECOND, THIRD, draw
from trilineage.report.numbers import capital, counted, number, percent
from trilineage.report.tree_shape import TreeShape

WORDS = {"fused": "all together", "rna": "expression", "images": "images", "concepts": "concepts"}
"""Voices as people call them."""
COLOURS = {"fused": INK, "rna": MODEL, "images": SECOND, "concepts": THIRD}
MARKS = {"rna": "o", "images": "s", "concepts": "D"}
"""Shapes beside the colours: told apart in print."""
EVIDENCE = "../evidence.csv"
INDENT = "\N{EM SPACE}"
_ROW_IN = 0.27

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
    voices = case["lineages"]

    def paint(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2, sharey=True, width_ratios=(1.0, 1.5))
        _paint_tree(left, shape)
        for row, node in enumerate(shape.rows):
            if node["in_set"]:
                right.axhspan(row - 0.5, row + 0.5, color=MUTED, alpha=0.16, linewidth=0)
            value = node["probability"]["fused"]
            right.barh(row, value, height=0.62, color=INK, alpha=0.75 if node["on_path"] else 0.28)
        for voice in voices:
            values = [node["probability"][voice] for node in shape.rows]
            right.plot(
                values,
                range(len(values)),
                MARKS[voice],
                color=COLOURS[voice],
                markersize=4.6,
                label=WORDS[voice],
            )
        right.set(xlim=(0, 1.02), ylim=(len(shape.rows) - 0.5, -0.5), xlabel="Probability")
        right.tick_params(axis="y", length=0, labelleft=False)
        right.grid(axis="x")
        right.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, handletextpad=0.2)

    said = "; ".join(f"{node['title']} {number(node['probability']['fused'], 2)}" for node in shape.rows)
    figure = draw(
        "path",
        paint,
        title="The tree with the probability of every node",
        description=f"Probabilities of all lineages together: {said}.",
        caption="Bars: all lineages together, dark on the way to the decision. Marks: each lineage by itself. Grey "
        "ground: nodes inside the set.",
        height_in=1.05 + _ROW_IN * len(shape.rows),
    )
    return replace(figure, sources=("../patients.csv", EVIDENCE))


def _paint_tree(axes: Axes, shape: TreeShape) -> None:
    """Write the nodes with lines from each to its parent."""
    depths, place = shape.depths, {name: row for row, name in enumerate(shape.names)}
    for row, (node, depth) in enumerate(zip(shape.rows, depths, strict=True)):
        if node["parents"]:
            above = place[node["parents"][0]]
            corner = [depth - 0.8, depth - 0.8, depth - 0.15]
            axes.plot(corner, [above + 0.35, row, row], color=MUTED, linewidth=0.9)
        weight = "bold" if node["on_path"] else "normal"
        axes.text(depth, row, node["title"], va="center", weight=weight)
    axes.set(xlim=(-0.2, max(depths) + 2.4))
    axes.set_axis_off()


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
    level = "note" if found["is_agreed"] else "caution"
    blocks: list[Block] = [Notice(str(found["sentence"]), level), leaves_figure(case)]
    blocks += [Text(text) for text in missing_sentences(case)]
    return Section("lineages", "What each lineage says", tuple(blocks))


def missing_sentences(case: Case) -> list[str]:
    """Say which kinds of data there are not."""
    missing = [name for name in MARKS if name not in case["lineages"]]
    return [f"No {WORDS[name]}: {case['evidence'][name]['note']}." for name in missing]


def leaves_figure(case: Case) -> Figure:
    """Draw the probabilities of the leaves, a panel for all together and one for each lineage."""
    leaves = [row for row in TreeShape.of(case["tree"]).rows if row["is_leaf"]]
    voices = ("fused", *case["lineages"])

    def paint(canvas: Canvas) -> None:
        panels = canvas.subplots(1, len(voices), sharey=True, squeeze=False)[0]
        for axes, voice in zip(panels, voices, strict=True):
            values = [leaf["probability"][voice] for leaf in leaves]
            top = max(values)
            for row, value in enumerate(values):
                axes.barh(row, value, height=0.66, color=COLOURS[voice], alpha=0.9 if value == top else 0.4)
                if value >= 0.005:
                    axes.text(value + 0.03, row, number(value, 2), va="center", size=7.5)
            axes.set(xlim=(0, 1.25), ylim=(len(leaves) - 0.4, -0.6), title=capital(WORDS[voice]))
            axes.set_xticks([0, 0.5, 1])
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="x")
        panels[0].set_yticks(range(len(leaves)), [leaf["title"] for leaf in leaves])

    said = "; ".join(
        f"{WORDS[voice]}: "
        + ", ".join(f"{leaf['title']} {number(leaf['probability'][voice], 2)}" for leaf in leaves)
        for voice in voices
    )
    figure = draw(
        "voices",
        paint,
        title="Diagnoses by lineage",
        description=said,
        caption="Probability of each diagnosis; the most probable one of each lineage is dark.",
        height_in=0.85 + 0.25 * len(leaves),
    )
    return replace(figure, sources=("../patients.csv", EVIDENCE))


# ---- not seen before ------------------------------------------------------------------------------------------------


def unseen_section(case: Case) -> Section | None:
    """Show how far the patient lies from the training patients of each lineage."""
    known = [one for one in case["unseen"] if one["percentile"] is not None]
    if not known:
        return None
    far = [capital(WORDS[one["lineage"]]) for one in known if one["is_far"]]
    verdict = (
        f"{', '.join(far)}: farther from training than nearly all validation patients. What the models say here is "
        "said of something they may not have seen."
        if far
        else "This patient is no farther from training than validation patients are."
    )
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
        ("Lineage", "Nearer, %", "Validation", "Mean distance"),
        rows,
        sources=tuple(f"{case['made']['folders'][one['lineage']]}/{one['file']}" for one in known),
    )
    blocks = (Notice(verdict, "caution" if far else "note"), unseen_figure(known), table)
    return Section("unseen", "Seen before?", blocks)


def unseen_figure(known: list[Mapping[str, Any]]) -> Figure:
    """Draw the place of the patient among the validation patients."""

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        axes.axvspan(95, 100, color=SECOND, alpha=0.18, linewidth=0)
        for row, one in enumerate(known):
            axes.plot([0, 100], [row, row], color=MUTED, linewidth=1.2, alpha=0.6)
            voice = one["lineage"]
            axes.plot([one["percentile"]], [row], MARKS[voice], color=COLOURS[voice], markersize=7)
        axes.set_yticks(range(len(known)), [capital(WORDS[one["lineage"]]) for one in known])
        axes.set(xlim=(-2, 102), ylim=(len(known) - 0.5, -0.5))
        axes.set_xlabel("Validation patients that lie nearer to training, %")
        axes.tick_params(axis="y", length=0)

    said = "; ".join(f"{WORDS[one['lineage']]} at percentile {number(one['percentile'], 0)}" for one in known)
    return draw(
        "unseen",
        paint,
        title="How unlike training this patient is",
        description=said,
        caption="Distance to the training patients: of the images in the features of the network, of the samples in "
        "the latent of the autoencoder, of the barcode to the three nearest barcodes. Shaded: beyond 95 in 100.",
        height_in=0.75 + 0.32 * len(known),
        width_in=6.4,
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
