"""What a page about concepts says first: how many there are, what they tell beside controls, what they leave out."""

from trilineage.core.artifacts import Run
from trilineage.report.concept_results import (
    AUTOENCODER,
    RECOVERED,
    TargetAreas,
    figures_of,
    reconstruction_of,
    rows_of,
    scores_in,
    targets_of,
    value_name,
)
from trilineage.report.findings import headline
from trilineage.report.numbers import counted, interval, listed, number, percent
from trilineage.report.sections.concept_pairs import PAIRS, pair_name
from trilineage.report.sections.subtype import whole


def concept_headline(run: Run) -> list[str]:
    """Return the result of a Run of concepts in a few sentences."""
    sentences = _count_sentence(run)
    targets = targets_of(run)
    if targets is not None:
        sentences += _target_sentences(targets)
    sentences += _reconstruction_sentence(run)
    return sentences + subtype_headline(run)


def subtype_headline(run: Run) -> list[str]:
    """Return how well patients are told apart, if they were classified."""
    return [
        sentence.replace("the model's", "the barcode classifier's", 1)
        for sentence in headline(whole(run), run.comparisons())
    ]


def compare_headline(run: Run) -> list[str]:
    """Say of each pair how alike its members are, the least alike first."""
    cohorts: list[tuple[float, str]] = []
    sentences = []
    for row in rows_of(run, PAIRS):
        if row["kind"] == "cohorts" and not row["note"]:
            lead = scores_in(row["scores"])[0]
            ends = interval(lead.low, lead.high, 2)
            known = number(lead.value, 2) + (f" ({percent(lead.level)} interval {ends})" if ends else "")
            text = (
                f"Between {pair_name(row)} the strengths of {counted(row['n_strong'][2], 'latent')} correlate at "
                f"{known}; {len(row['lost']):,} are lost and {len(row['new']):,} new."
            )
            cohorts.append((lead.value, text))
        elif row["kind"] == "dictionaries":
            found = row["first_in_second"]
            sentences.append(
                f"Of {counted(int(found['n_latents']), 'strong latent')} of {row['first']}, "
                f"{percent(round(found['found'], 3))} come back in {row['second']}; their mean cosine is "
                f"{number(found['cosine'], 2)}, and random directions reach {number(found['chance'], 2)}."
            )
    return [text for _, text in sorted(cohorts)] + sentences


def _count_sentence(run: Run) -> list[str]:
    own = figures_of(run).get(AUTOENCODER)
    if own is None:
        return []
    return [
        f"Of {counted(own['n_latents'], 'latent')} {own['n_strong']:,} are strong and {own['n_concepts']:,} are "
        "concepts: they tell a class or an attribute in the training images, and in held-out ones where that can be "
        "tested."
    ]


def _target_sentences(targets: TargetAreas) -> list[str]:
    """Say what the best latents reach, beside the controls."""
    sentences = []
    if targets.classes:
        known = [(targets.area(one, AUTOENCODER), value_name(one)) for one in targets.classes]
        areas = sorted((area, name) for area, name in known if area is not None)
        mean = targets.mean(AUTOENCODER, targets.classes)
        text = (
            f"On held-out images the best single latents tell {counted(len(targets.classes), 'class')} apart with a "
            f"mean AUROC of {number(mean, 2)}"
        )
        if len(areas) > 1:
            (low, worst), (high, best) = areas[0], areas[-1]
            text += f", from {number(low, 2)} for {worst} to {number(high, 2)} for {best}"
        sentences.append(f"{text}{_beside(targets, targets.classes)}.")
    values = tuple(value for group in targets.attributes.values() for value in group)
    if values:
        mean = targets.mean(AUTOENCODER, values)
        sentences.append(
            f"For {counted(len(targets.attributes), 'attribute')} the mean over their values is {number(mean, 2)}"
            f"{_beside(targets, values)}."
        )
    return sentences


def _beside(targets: TargetAreas, chosen: tuple[str, ...]) -> str:
    others = [
        f"{subject} {number(targets.mean(subject, chosen), 2)}"
        for subject in targets.subjects
        if subject != AUTOENCODER
    ]
    return f"; {listed(others)}" if others else ""


def _reconstruction_sentence(run: Run) -> list[str]:
    row = reconstruction_of(run, "test")
    if row is None or row["explained_variance"] is None:
        return []
    text = (
        f"With {number(row['l0'], 0)} active latents per token they explain {number(row['explained_variance'], 2)} of "
        "the variance of held-out tokens"
    )
    found = scores_in(run.read_json(RECOVERED)["scores"]) if run.has(RECOVERED) else []
    share = next((score for score in found if score.metric == "loss recovered"), None)
    if share is None:
        return [f"{text}."]
    ends = interval(share.low, share.high, 2)
    within = f" ({ends})" if ends else ""
    return [
        f"{text}; a classifier that reads the reconstruction keeps {number(share.value, 2)}{within} of what it had."
    ]
