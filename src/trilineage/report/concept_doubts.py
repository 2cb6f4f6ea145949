"""Reasons to doubt the concepts of a Run: controls that do as well, what is dead, unexplained, unstable or shifted."""

from collections.abc import Callable, Mapping

from trilineage.core.artifacts import Run
from trilineage.core.records import Score
from trilineage.report.blocks import Notice
from trilineage.report.concept_results import (
    AUTOENCODER,
    SECOND_READER,
    figures_of,
    quartiles,
    reconstruction_of,
    targets_of,
)
from trilineage.report.numbers import capital, listed, number, percent

MANY_DEAD = 0.5
"""Share of dead latents from which a dictionary is mostly unused."""
LITTLE_EXPLAINED = 0.5
"""Explained variance of held-out tokens below which the latents describe less than half of what the network sees."""
NEAR_CHANCE = 0.1
"""Cosine above that of random directions which a stable latent must at least have."""
SHIFTED = 0.8
"""Correlation of log mean activations below which latents do not mean the same amount in another cohort."""
AS_GOOD = 0.01
"""A control that is less than this below the autoencoder does as well."""

ACTIVATION = "correlation_log_mean_activation"
"""Metric of how alike the strengths of latents are in two cohorts."""


def control_notices(run: Run) -> list[Notice]:
    """Say in plain words where a control does as well as the autoencoder."""
    figures, targets = figures_of(run), targets_of(run)
    notices = []
    if targets is not None:
        found = targets
        means = {one: found.mean(one, found.everything) for one in found.subjects}
        notices += _as_good(
            means,
            lambda others, own: (
                f"Told apart without an autoencoder: over all targets the best single latents of {others} reach a mean "
                f"held-out AUROC as high as those of the autoencoder ({own}). What the concepts say of classes and "
                "attributes is no evidence that the autoencoder is needed."
            ),
        )
    likeness = {subject: _above_chance(row) for subject, row in figures.items()}
    notices += _as_good(
        likeness,
        lambda others, own: (
            f"Not shown to be more of one kind: the references of {others} are as alike, above chance, as those of the "
            f"autoencoder ({own}) to a network that had no part in it."
        ),
    )
    return notices


def _as_good(values: Mapping[str, float | None], say: Callable[[str, str], str]) -> list[Notice]:
    """Return a warning if a control comes as far as the autoencoder."""
    own = values.get(AUTOENCODER)
    if own is None:
        return []
    others = [
        f"{subject} ({number(value, 2)})"
        for subject, value in values.items()
        if subject not in (AUTOENCODER, SECOND_READER) and value is not None and value >= own - AS_GOOD
    ]
    return [Notice(say(listed(others), number(own, 2)), "caution")] if others else []


def _above_chance(row: Mapping) -> float | None:
    found = quartiles(row, "monosemanticity")
    return None if found is None else found[1] - (row.get("monosemanticity_by_chance") or 0.0)


def reconstruction_notices(run: Run) -> list[Notice]:
    """Warn where much of the dictionary is dead, or much of the tokens unexplained."""
    notices = []
    held_out = reconstruction_of(run, "test") or reconstruction_of(run, "train")
    if held_out is None:
        return []
    explained = held_out["explained_variance"]
    if explained is not None and explained < LITTLE_EXPLAINED:
        where = "held-out" if held_out["part"] == "test" else "training"
        notices.append(
            Notice(
                f"The latents explain {percent(round(max(explained, 0.0), 2))} of the variance of {where} tokens: most "
                "of what the network sees in a cell is not among the concepts.",
                "caution",
            )
        )
    trained = reconstruction_of(run, "train") or held_out
    if trained["dead_share"] is not None and trained["dead_share"] > MANY_DEAD:
        notices.append(
            Notice(
                f"{percent(round(trained['dead_share'], 2))} of the latents are dead: they fired for no token of the "
                "training images looked at. Longer training, fewer latents or another remedy for dead latents would "
                "use more of them.",
                "caution",
            )
        )
    return notices


def stability_notices(run: Run) -> list[Notice]:
    """Warn where latents come back from another seed hardly better than random directions would."""
    own = figures_of(run).get(AUTOENCODER)
    known = None if own is None else own.get("returning")
    if not known or known["cosine"] - known["chance"] >= NEAR_CHANCE:
        return []
    return [
        Notice(
            f"Trained again from another seed the autoencoder finds other latents: the nearest decoder row has a mean "
            f"cosine of {number(known['cosine'], 2)}, and random directions reach {number(known['chance'], 2)}. A "
            "concept of this Run may not exist in the next.",
            "caution",
        )
    ]


def shift_notice(score: Score, where: str) -> list[Notice]:
    """Warn where latents fire with other strengths than where they were described."""
    if score.metric != ACTIVATION or not score.value < SHIFTED:
        return []
    return [
        Notice(
            f"{capital(where)}: the strengths of the latents correlate at {number(score.value, 2)} only. Concepts, "
            "barcodes and thresholds from the one do not carry over to the other as they are.",
            "caution",
        )
    ]
