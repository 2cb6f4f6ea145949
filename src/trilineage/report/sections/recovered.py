"""What a classifier loses when it reads the reconstruction in place of the tokens."""

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Notice, Section, Table, Text
from trilineage.report.concept_results import RECOVERED, scores_in
from trilineage.report.metrics import described
from trilineage.report.nouns import nouns_of
from trilineage.report.numbers import capital, counted, percent, scored, sentence
from trilineage.report.scoreboard import score_cell


def recovered_section(run: Run) -> Section | None:
    """Show the losses of the classifier that the network comes from, where there is one."""
    if not run.has(RECOVERED):
        return None
    found, nouns = run.read_json(RECOVERED), nouns_of(run)
    scores = scores_in(found["scores"])
    blocks: list[Block] = []
    if found["note"]:
        blocks.append(Notice(sentence(f"not measured: {found['note']}")))
    if scores:
        share = next((score for score in scores if score.metric == "loss recovered"), None)
        blocks.append(
            Text(
                "The classifier that the network comes from reads, after this block, the reconstruction in place of "
                "the tokens. Of the loss between the mean token and the tokens themselves it recovers "
                f"{scored(share, 2)}: 1 means that nothing the classifier uses is lost, 0 that the latents are no "
                "better than the mean token."
            )
        )
        rows = tuple(
            ((capital(described(s.metric).name), described(s.metric).meaning), score_cell(s)) for s in scores
        )
        caption = (
            f"Mean over {counted(scores[0].n_patients, f'held-out {nouns.patient}')}; under each value its "
            f"{percent(scores[0].level)} interval over {nouns.patient}s."
        )
        blocks.append(Table(caption, ("Measure", "Value"), rows))
    return Section("recovered", "What a classifier keeps", tuple(blocks)) if blocks else None
