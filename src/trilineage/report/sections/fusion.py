"""The lineages side by side: what each weighs, what all say together beside each alone, and every held-out patient."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure as Canvas

from trilineage.core.artifacts import Run
from trilineage.core.records import Comparison
from trilineage.report.blocks import Block, Cell, Figure, Fold, Linked, Notice, Section, Table, Text
from trilineage.report.drawing import INK, MODEL, MUTED, draw
from trilineage.report.findings import score_notices
from trilineage.report.numbers import compared, counted, interval, listed, number, percent, sentence
from trilineage.report.scoreboard import Board, boards, comparison_table, score_table
from trilineage.report.sections.scores import chance_level, score_figure

FUSION, CASES = "fusion.json", "cases.json"
FUSED = "fused"
"""Subject of the scores of all lineages together."""
MAIN_METRICS = ("balanced_accuracy", "macro_f1", "log_loss", "hierarchical_distance", "ece")
COMPARED = ("balanced_accuracy", "log_loss")
"""Metrics of the differences that are shown at once."""
SETS = {
    "set_coverage": "Share of patients whose set holds the truth",
    "set_size": "Diagnoses in a set, mean",
    "set_is_leaf": "Share of sets with one diagnosis",
    "set_is_root": "Share of sets that hold everything",
}
_ROW_IN = 0.32


def fusion_section(run: Run) -> Section | None:
    """Show what each lineage weighs and what the weights rest on."""
    if not run.has(FUSION):
        return None
    fusion = run.read_json(FUSION)
    blocks: list[Block] = [
        Text(
            "What each lineage says of a patient is added up as log-odds against the class shares of the training "
            "patients, each lineage times its weight: 1 takes it at its word, 0 does not listen, above 1 finds it "
            f"too shy. The weights were fitted on {counted(fusion['patients']['weighed'], 'validation patient')}, who "
            "trained no lineage and test none. A lineage that does not know a patient adds nothing."
        )
    ]
    blocks += [Notice(sentence(note), "caution") for note in fusion["notes"]]
    blocks += [weight_figure(fusion), weight_table(fusion)]
    return Section("weights", "What each lineage weighs", tuple(blocks))


def weight_figure(fusion: Mapping[str, Any]) -> Figure:
    """Draw the weights with their intervals."""
    rows: Sequence[Mapping[str, Any]] = fusion["lineages"]

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for place, row in enumerate(rows):
            axes.plot([row["low"], row["high"]], [place, place], color=MODEL, linewidth=2.2)
            axes.plot(row["weight"], place, "o", color=MODEL, markersize=7, clip_on=False)
        for value in (0.0, 1.0):
            axes.axvline(
                value, color=INK if value else MUTED, linestyle=(0, (4, 3)), linewidth=0.8, alpha=0.6
            )
        axes.set_yticks(range(len(rows)), [row["lineage"] for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0.0, None)
        axes.set_xlabel("Weight")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")

    words = "; ".join(f"{row['lineage']} {_weight(row)}" for row in rows)
    level = percent(fusion["level"])
    return draw(
        "weights",
        paint,
        title="Weights of the lineages",
        description=f"{words}.",
        caption=f"Bars: {level} intervals over validation patients. Dashed line: taken at its word.",
        height_in=0.7 + _ROW_IN * len(rows),
    )


def weight_table(fusion: Mapping[str, Any]) -> Table:
    """List the lineages with what each knows and how good it was alone where the weights were fitted."""
    rows: list[tuple[Cell, ...]] = [
        (
            row["lineage"],
            str(row["run"]).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1],
            (number(row["weight"], 2), interval(row["low"], row["high"], 2)),
            number(row["log_loss_alone"], 2),
            f"{row['n_valid']:,}",
            f"{row['n_test']:,}",
        )
        for row in fusion["lineages"]
    ]
    best = [place for place, row in enumerate(fusion["lineages"]) if row["lineage"] == fusion["best"]]
    return Table(
        f"The lineages; under each weight its {percent(fusion['level'])} interval. The log-loss is of the lineage "
        f"alone, calibrated, on validation patients: {fusion['best']} has the least: what all together must beat.",
        ("Lineage", "Run", "Weight", "Log-loss alone", "Validation patients", "Test patients"),
        tuple(rows),
        n_text_columns=2,
        strong_rows=frozenset(best),
        sources=(FUSION,),
    )


def fusion_scores_section(run: Run) -> Section | None:
    """Show all together beside each lineage alone, and how the sets did."""
    scores, comparisons = run.scores(), run.comparisons()
    if not scores or not run.has(FUSION):
        return None
    found = boards(scores)
    notices = score_notices(list(found[0].scores), comparisons)
    blocks: list[Block] = [notice for notice in notices if notice.level != "note"]
    blocks.append(
        score_figure(
            "scores", scores, title="All together beside each alone", chance=chance_level(run, scores)
        )
    )
    blocks += [Text(_ABOUT_ALONE)]
    leading = [row for row in comparisons if row.metric in COMPARED]
    if leading:
        blocks.append(comparison_table(leading))
    blocks += [score_table(board, MAIN_METRICS) for board in found]
    blocks += _set_blocks(run)
    blocks.append(Fold("All metrics", tuple(score_table(board) for board in found)))
    if len(comparisons) > len(leading):
        blocks.append(Fold("All paired differences", (comparison_table(comparisons),)))
    remarks = tuple(notice for notice in notices if notice.level == "note")
    if remarks:
        blocks.append(Fold("Remarks on single scores", remarks))
    return Section("scores", "All together beside each alone", tuple(blocks))


_ABOUT_ALONE = (
    "Each lineage alone is calibrated by one temperature on validation patients, which changes none of its decisions, "
    "so that its probabilities are compared fairly. A lineage is scored on the patients whom it knows, beside all "
    "together on the same patients."
)


def _set_blocks(run: Run) -> list[Block]:
    scores = {score.metric: score for score in run.scores("conformal_scores.json")}
    conformal = run.read_json(FUSION)["conformal"]
    if not scores or conformal is None:
        return []
    rows = tuple(
        (title, (number(scores[name].value), interval(scores[name].low, scores[name].high)))
        for name, title in SETS.items()
        if name in scores
    )
    return [
        Table(
            f"Sets of diagnoses on {counted(scores['set_coverage'].n_patients, 'test patient')}: each is a node of the "
            f"tree, wide enough to hold the truth of {percent(conformal['coverage'])} of new patients. Calibrated on "
            f"{counted(conformal['n_patients'], 'validation patient')}, each fused by weights of the others.",
            ("Sets", "Value"),
            rows,
            is_sortable=False,
            sources=("conformal_scores.json", FUSION),
        ),
        Notice(sentence(conformal["warning"])),
    ]


def case_list_section(run: Run) -> Section | None:
    """List every held-out patient, with a way to its page where it was explained."""
    if not run.has(CASES):
        return None
    cases = run.read_json(CASES)
    has_pages = any(run.has(_page(case)) for case in cases)
    several = [case for case in cases if len(case["lineages"]) > 1]
    parting = [case for case in several if case["agreement"] == "part"]
    blocks: list[Block] = [
        Text(
            f"{counted(len(several), 'patient')} of {len(cases):,} are known to several lineages; they part on "
            f"{len(parting):,} of them."
        )
    ]
    if not has_pages:
        blocks.append(Notice("`trilineage cases explain` writes a page for each of them."))
    strangers = [case for case in cases if case["label"] and not case["is_known"]]
    if strangers:
        blocks.append(
            Notice(
                f"{counted(len(strangers), 'patient')} with a diagnosis that no lineage was taught "
                f"({listed(sorted({case['label'] for case in strangers}))}) "
                f"{'counts' if len(strangers) == 1 else 'count'} in no score."
            )
        )
    blocks.append(case_table(run, cases))
    return Section("cases", "Every held-out patient", tuple(blocks))


def case_table(run: Run, cases: Sequence[Mapping[str, Any]]) -> Table:
    """Lay out the patients; wrong decisions are set apart."""
    rows = tuple(_case_row(run, case) for case in cases)
    wrong = frozenset(place for place, case in enumerate(cases) if case["is_right"] is False)
    return Table(
        "Held-out patients; bold where the decision is wrong. Under a decision its probability; the last column says "
        "whether the lineages agree, or below which node they part.",
        ("Patient", "Label", "Decision", "Set", "Known to", "Lineages"),
        rows,
        n_text_columns=6,
        strong_rows=wrong,
        sources=(CASES,),
    )


def _case_row(run: Run, case: Mapping[str, Any]) -> tuple[Cell, ...]:
    page = _page(case)
    name: Cell = Linked(case["patient"], page) if run.has(page) else case["patient"]
    word = f"part below {case['parting']}" if case["agreement"] == "part" else case["agreement"]
    decision = (case["decision"], number(case["probability"], 2))
    return name, case["label"], decision, case["set"], ", ".join(case["lineages"]), word


def _page(case: Mapping[str, Any]) -> str:
    return f"cases/{case['name']}.html"


# ---- what the page says first ---------------------------------------------------------------------------------------


def fusion_headline(run: Run) -> list[str]:
    """Return what all lineages reach together, what that is over the best alone, and where they part."""
    if not run.has(FUSION):
        return []
    found, fusion = boards(run.scores()), run.read_json(FUSION)
    sentences = _reached(found)
    gain = gain_of(run.comparisons(), fusion["best"])
    if gain is not None:
        sentences.append(_gain_sentence(gain))
    coverage = next(
        (row for row in run.scores("conformal_scores.json") if row.metric == "set_coverage"), None
    )
    if coverage is not None and fusion["conformal"] is not None:
        sentences.append(
            f"Sets that promise to hold the truth of {percent(fusion['conformal']['coverage'])} of new patients hold "
            f"that of {percent(round(coverage.value, 3))}."
        )
    return sentences


def gain_of(comparisons: Sequence[Comparison], best: str) -> Comparison | None:
    """Return all together minus the best lineage alone in balanced accuracy, on as many of their data as possible."""
    rows = [row for row in comparisons if row.second == best and row.metric == COMPARED[0]]
    order = ("all", "with every lineage", f"with {best}")
    return min(rows, key=lambda row: order.index(row.population), default=None)


def _reached(found: Sequence[Board]) -> list[str]:
    score = next((score for board in found[:1] if (score := board.get(FUSED, COMPARED[0])) is not None), None)
    if score is None:
        return []
    ends = interval(score.low, score.high, 2)
    where = f" ({percent(score.level)} interval {ends})" if ends else ""
    return [
        f"On {counted(score.n_patients, 'held-out patient')} the lineages together reach a balanced accuracy of "
        f"{number(score.value, 2)}{where}."
    ]


def _gain_sentence(gain: Comparison) -> str:
    clear = gain.low is not None and gain.high is not None and (gain.low > 0 or gain.high < 0)
    where = "" if gain.population == "all" else f" {gain.population}"
    return (
        f"Over {gain.second} alone, the best lineage on validation patients, the difference is "
        f"{compared(gain, 2)} on the {counted(gain.n_patients, 'patient')}{where}: "
        f"{'a clear difference' if clear else 'no clear difference'}."
    )


def _weight(row: Mapping[str, Any]) -> str:
    return f"{number(row['weight'], 2)} ({interval(row['low'], row['high'], 2)})"
