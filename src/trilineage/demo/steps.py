"""The steps of the story in order, how long each takes, and which of them run side by side."""

from collections.abc import Callable
from typing import NamedTuple

from trilineage.demo import lineages, real_data, telling
from trilineage.demo.places import Demo


class Step(NamedTuple):
    """One piece of the story."""

    name: str
    """Name of its record."""
    title: str
    """What it does, for people."""
    work: Callable[[Demo], object]
    """Does it; finished Runs are returned as they are, so that it can be done again."""
    seconds: float
    """How long it takes at scale `small` on two cores; only ratios matter once the first step is done."""


class Phase(NamedTuple):
    """Steps that follow each other, and others that run beside them."""

    steps: tuple[Step, ...]
    """Steps of this process."""
    beside: tuple[Step, ...] = ()
    """Steps of another process, which touch nothing that `steps` touch."""


SIMULATED = (
    Phase((Step("simulate", "Simulate patients with smears and expression", lineages.simulate, 20),)),
    Phase(
        (
            Step("images.fit", "Images: learn the tree of diagnoses", lineages.fit_images, 50),
            Step("images.explain", "Images: where decisions were seen", lineages.explain_images, 52),
            Step("concepts.fit", "Concepts: learn and test them, make barcodes", lineages.fit_concepts, 54),
            Step("concepts.explain", "Concepts: draw the atlas", lineages.explain_concepts, 39),
            Step("images.predict", "New patients: look at their smears", lineages.predict_images, 3),
        ),
        (
            Step("rna.fit", "Expression: learn diagnoses from genes", lineages.fit_rna, 28),
            Step("rna.explain", "Expression: the genes behind each diagnosis", lineages.explain_rna, 6),
            Step("rna.predict", "New patients: look at their expression", lineages.predict_rna, 1),
        ),
    ),
    Phase(
        (
            Step("cases.fit", "Cases: put the lineages together", lineages.fit_cases, 1),
            Step("cases.explain", "Cases: gather the evidence for every patient", lineages.explain_cases, 14),
            Step("cases.predict", "Cases: new patients", lineages.predict_cases, 1),
            Step("tell", "Check every claim and write the pages", telling.tell, 32),
        )
    ),
)
"""The story of a simulated cohort."""

REAL = (
    Phase(
        (
            Step("images.fit", "Images: learn the cell types", real_data.fit_images, 39),
            Step("images.explain", "Images: where decisions were seen", real_data.explain_images, 41),
            Step("concepts.fit", "Concepts: learn and test them", real_data.fit_concepts, 50),
            Step("concepts.explain", "Concepts: draw the atlas", real_data.explain_concepts, 6),
        ),
        (
            Step("rna.fit", "Expression: learn subtypes of leukemia from genes", real_data.fit_rna, 13),
            Step("rna.explain", "Expression: the genes behind each subtype", real_data.explain_rna, 6),
        ),
    ),
    Phase((Step("tell", "Check every claim and write the pages", telling.tell, 16),)),
)
"""The same on public data: nobody there has both kinds of data, so there are no cases."""


def phases_of(demo: Demo) -> tuple[Phase, ...]:
    """Return the story that a demo tells."""
    return SIMULATED if demo.is_simulated else REAL
