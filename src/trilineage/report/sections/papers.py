"""Papers that go with a Run, as far as they were written: the model card and the checklists."""

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Link, Section, Text

CHECKLISTS = {"tripod-ai": "checklists/tripod-ai.md", "claim": "checklists/claim.md"}
"""Checklists by name, and where each lies in a Run."""
MODEL_CARD = "model-card"
DOCUMENTS = {**CHECKLISTS, MODEL_CARD: "model-card.md"}
"""All papers by name, and where each lies in a Run."""

_TITLES = {"tripod-ai": "TRIPOD+AI checklist", "claim": "CLAIM checklist", MODEL_CARD: "Model card"}


def papers_section(run: Run) -> Section | None:
    """Lead to the papers that were written. They are meant to be edited, so they have no digest in the Run."""
    there = [name for name, file in DOCUMENTS.items() if (run.path / file).is_file()]
    if not there:
        return None
    text = "Filled from this Run and left to a person to finish; what stands there now may be their words."
    links = (Link(DOCUMENTS[name], f"{_TITLES[name]} (Markdown)") for name in there)
    return Section("papers", "For a manuscript", (Text(text), *links))
