"""How far one prediction can be trusted: sets that hold the truth, images unlike training, the Run's self-test."""

from collections.abc import Sequence
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.core.records import Score
from trilineage.report.blocks import Block, Cell, Notice, Section, Table, Text
from trilineage.report.metrics import described
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import capital, counted, metric_heading, number, percent, sentence
from trilineage.report.scoreboard import score_cell

SETS = "conformal_scores.json"
FAR_TOO_MANY = 5.0
"""So many times more far images than there should be call for a warning."""


def trust_section(run: Run) -> Section | None:
    """Show what the Run says of the trust in single predictions and in itself."""
    nouns = nouns_of(run)
    blocks = [*set_blocks(run, nouns), *novelty_blocks(run), *self_test_blocks(run)]
    return Section("trust", "Trust in a single prediction", tuple(blocks)) if blocks else None


# ---- conformal sets -------------------------------------------------------------------------------------------------


def set_blocks(run: Run, nouns: Nouns) -> list[Block]:
    """Say what was promised of the sets, what was kept, and what breaks it."""
    if not run.has("conformal.json"):
        return []
    about, scores = run.read_json("conformal.json"), run.scores(SETS)
    conformal = about.get("conformal")
    if not conformal or not scores:
        return [Text(f"No sets: {sentence(str(about.get('note') or 'they were not fitted'))}")]
    promised = float(conformal["coverage"])
    fitted = counted(conformal["n_patients"], f"validation {nouns.patient}")
    text = (
        f"Instead of one leaf, a prediction can be a branch of the tree that holds the truth for {percent(promised)} "
        f"of new {nouns.patient}s. Fitted on {fitted}; {about.get('note') or 'nothing else was fitted on them'}."
    )
    blocks: list[Block] = [Text(text), _set_table(scores, promised, nouns)]
    blocks += coverage_notice(scores, promised)
    if conformal.get("warning"):
        blocks.append(Notice(sentence(f"shift: {conformal['warning']}")))
    return blocks


def coverage_notice(scores: Sequence[Score], promised: float) -> list[Notice]:
    """Warn where the sets hold the truth less often than was promised, beyond the interval."""
    kept = next((score for score in scores if score.metric == "set_coverage"), None)
    if kept is None or kept.high is None or kept.high >= promised:
        return []
    text = (
        f"The sets promise the truth for {percent(promised)} and hold it for {percent(round(kept.value, 3))}"
    )
    return [Notice(f"{text}: the test images are not like those the sets were fitted on.", "caution")]


def _set_table(scores: Sequence[Score], promised: float, nouns: Nouns) -> Table:
    rows = tuple(
        (
            (metric_heading(score.metric), described(score.metric).meaning),
            percent(promised) if score.metric == "set_coverage" else "–",
            score_cell(score),
        )
        for score in scores
    )
    size = counted(max(score.n_patients for score in scores), nouns.patient)
    caption = (
        f"Sets on the test part ({size}), with {percent(scores[0].level)} intervals over {nouns.patient}s."
    )
    return Table(caption, ("", "Promised", "Found"), rows, sources=(SETS,))


# ---- novelty --------------------------------------------------------------------------------------------------------


def novelty_blocks(run: Run) -> list[Block]:
    """Say how many test images lie further from training than held-out images usually do."""
    if not run.has("novelty.json"):
        return []
    found = run.read_json("novelty.json")
    groups, usual = found["groups"], 1.0 - found["far_percentile"] / 100.0
    rows = tuple(
        (
            "All test images" if group["group"] == "all" else capital(group["group"]),
            f"{group['n_images']:,}",
            number(group["median_percentile"], 0),
            percent(round(group["share_far"], 4)),
        )
        for group in groups
    )
    caption = (
        f"Likeness to training. Far: beyond percentile {number(found['far_percentile'], 0)} of held-out images of the "
        f"training sites, where {percent(round(usual, 4))} are expected."
    )
    headings = ("Group", "Images", "Median percentile", "Share far")
    table = Table(caption, headings, rows, sources=("novelty.json",))
    far = [group for group in groups if group["share_far"] > FAR_TOO_MANY * usual]
    return [table, *_far_notice(far)]


def _far_notice(far: Sequence[dict[str, Any]]) -> list[Notice]:
    if not far:
        return []
    worst = max(far, key=lambda group: group["share_far"])
    where = "the test images" if worst["group"] == "all" else f"the images of {worst['group']}"
    text = f"{percent(round(worst['share_far'], 3))} of {where} are unlike anything in training"
    return [Notice(f"{text}: the model was not made for them, whatever it scores there.", "caution")]


# ---- self-test ------------------------------------------------------------------------------------------------------


def self_test_blocks(run: Run) -> list[Block]:
    """List what the Run checked about itself, one column per fit; a failure stops the reader."""
    names = sorted(name for name in run.manifest["files"] if name.startswith("self_test/"))
    tests = {name.removeprefix("self_test/").removesuffix(".json"): run.read_json(name) for name in names}
    if not tests:
        return []
    checks = list(dict.fromkeys(check["check"] for test in tests.values() for check in test["checks"]))
    rows: list[tuple[Cell, ...]] = [
        (sentence(check).rstrip("."), *(_outcome(test, check) for test in tests.values())) for check in checks
    ]
    blocks: list[Block] = [
        Table(
            "Self-test of each fit; under the outcome the largest error.",
            ("Check", *tests),
            tuple(rows),
            sources=tuple(names),
        )
    ]
    failed = [name for name, test in tests.items() if not test["passed"]]
    if failed:
        text = f"The self-test of {', '.join(failed)} failed: what this Run predicts is not what it says it does."
        blocks.append(Notice(text, "danger"))
    return blocks


def _outcome(test: dict[str, Any], check: str) -> Cell:
    found = next((one for one in test["checks"] if one["check"] == check), None)
    if found is None:
        return "–"
    error = found.get("largest_error", found.get("max_on_other_heads"))
    return "passed" if found["passed"] else "FAILED", "" if error is None else f"{error:.1g}"
