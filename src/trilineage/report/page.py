"""One Run in, one page out: the order of the sections, the summary above them, the file itself.

Reads with `core.artifacts`, arranges with `report.sections`, renders `templates/page.html.j2`.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Notice, Section
from trilineage.report.concept_findings import compare_headline, concept_headline, subtype_headline
from trilineage.report.drawing import standalone
from trilineage.report.findings import headline, study_headline, transfer_sentences
from trilineage.report.image_findings import image_headline
from trilineage.report.numbers import moment
from trilineage.report.origins import made_with_sources, noted
from trilineage.report.rendering import render_page
from trilineage.report.sections.agreement import agreement_section
from trilineage.report.sections.asked import KIND_TITLES, asked_section
from trilineage.report.sections.cells import cells_section
from trilineage.report.sections.cohort import cohort_section, split_section
from trilineage.report.sections.concept_cohort import concept_cohort_section
from trilineage.report.sections.concept_figures import concept_figures_section
from trilineage.report.sections.concept_focus import concept_focus_section
from trilineage.report.sections.concept_list import concept_list_section
from trilineage.report.sections.concept_pairs import cohort_pairs_section, dictionary_pairs_section
from trilineage.report.sections.concept_targets import concept_targets_section
from trilineage.report.sections.disease import disease_section
from trilineage.report.sections.fusion import (
    case_list_section,
    fusion_headline,
    fusion_scores_section,
    fusion_section,
)
from trilineage.report.sections.genes import genes_section
from trilineage.report.sections.image_cohort import image_cohort_section
from trilineage.report.sections.image_patients import image_patients_section
from trilineage.report.sections.image_scores import image_scores_section
from trilineage.report.sections.image_study import image_study_headline, image_study_section
from trilineage.report.sections.mistakes import mistakes_section
from trilineage.report.sections.papers import papers_section
from trilineage.report.sections.pathways import pathways_section
from trilineage.report.sections.predictions import predictions_section
from trilineage.report.sections.probes import probes_headline, probes_section
from trilineage.report.sections.provenance import provenance_section
from trilineage.report.sections.reconstruction import reconstruction_section
from trilineage.report.sections.recovered import recovered_section
from trilineage.report.sections.reliability import reliability_section
from trilineage.report.sections.saliency import saliency_section
from trilineage.report.sections.scores import scores_section
from trilineage.report.sections.shift import shift_section
from trilineage.report.sections.sites import sites_section
from trilineage.report.sections.study import study_section
from trilineage.report.sections.subtype import subtype_section
from trilineage.report.sections.training import training_section
from trilineage.report.sections.transfer import SCORES as TRANSFER_SCORES
from trilineage.report.sections.transfer import transfer_section
from trilineage.report.sections.tree import tree_section
from trilineage.report.sections.tree_confusion import tree_confusion_section
from trilineage.report.sections.trust import trust_section

PAGE_NAME = "report.html"

SectionMaker: TypeAlias = Callable[[Run], Section | None]

SECTIONS: dict[str, tuple[SectionMaker, ...]] = {
    "rna": (
        asked_section,
        cohort_section,
        split_section,
        scores_section,
        predictions_section,
        transfer_section,
        genes_section,
        training_section,
        provenance_section,
    ),
    "rna.study": (asked_section, cohort_section, split_section, study_section, provenance_section),
    "images": (
        asked_section,
        image_cohort_section,
        split_section,
        image_scores_section,
        tree_section,
        tree_confusion_section,
        image_patients_section,
        reliability_section,
        sites_section,
        mistakes_section,
        saliency_section,
        agreement_section,
        trust_section,
        training_section,
        provenance_section,
    ),
    "images.compare": (
        asked_section,
        image_cohort_section,
        split_section,
        image_study_section,
        provenance_section,
    ),
    "images.pretrain": (asked_section, image_cohort_section, training_section, provenance_section),
    "images.probe": (asked_section, image_cohort_section, probes_section, provenance_section),
    "concepts": (
        asked_section,
        concept_cohort_section,
        split_section,
        concept_list_section,
        concept_figures_section,
        concept_targets_section,
        concept_focus_section,
        pathways_section,
        reconstruction_section,
        recovered_section,
        shift_section,
        cells_section,
        subtype_section,
        disease_section,
        training_section,
        provenance_section,
    ),
    "concepts.compare": (asked_section, cohort_pairs_section, dictionary_pairs_section, provenance_section),
    "concepts.subtype": (asked_section, subtype_section, disease_section, provenance_section),
    "cases": (
        asked_section,
        fusion_section,
        fusion_scores_section,
        case_list_section,
        tree_section,
        tree_confusion_section,
        provenance_section,
    ),
}
"""Sections of each kind of Run, in order; one that has nothing to say is left out."""

_HEADLINES: dict[str, Callable[[Run], list[str]]] = {
    "concepts": concept_headline,
    "concepts.compare": compare_headline,
    "concepts.subtype": subtype_headline,
    "cases": fusion_headline,
}

logger = logging.getLogger(__name__)


def write_report(run_path: Path | str) -> Path:
    """Write the report of a Run into it and return its path.

    The page is one HTML file that loads nothing from anywhere. The same Run gives the same bytes.

    Raises
    ------
    ArtifactError
        If there is no Run, it was altered, or a newer version wrote it.
    StorageError
        If the folder cannot be written.
    """
    run = Run.open(run_path)
    sections = make_sections(run)
    for figure in (figure for section in sections for figure in section.figures()):
        run.write_text(f"figures/{figure.name}.svg", standalone(figure))
    run.write_text(PAGE_NAME, render(run, sections))
    logger.debug("report: %s", run.path / PAGE_NAME)
    return run.path / PAGE_NAME


def make_sections(run: Run) -> list[Section]:
    """Gather what the page says, in order; a kind of Run that is not known gets what every Run has."""
    makers = SECTIONS.get(run.kind, (asked_section, scores_section, provenance_section))
    found = (made_with_sources(maker, run) for maker in (*makers[:-1], papers_section, makers[-1]))
    return [section for section in found if section is not None]


def render(run: Run, sections: list[Section]) -> str:
    """Return the page as HTML."""
    summary, summary_sources = noted(summary_of, run)
    return render_page(
        "page.html.j2",
        name=run.path.resolve().name,
        title=KIND_TITLES.get(run.kind, run.kind),
        run=run.manifest,
        created=moment(run.manifest.get("created")),
        summary=summary,
        summary_sources=summary_sources,
        warnings=warnings_of(run, sections),
        sections=sections,
    )


def summary_of(run: Run) -> list[str]:
    """Return the result in a few sentences, the most important one first."""
    if run.kind == "images":
        return image_headline(run)
    if run.kind == "images.probe":
        return probes_headline(run)
    if run.kind == "images.compare":
        return image_study_headline(run)
    if run.kind in _HEADLINES:
        return _HEADLINES[run.kind](run)
    if run.kind == "rna.study":
        return study_headline(run.scores(), run.comparisons())
    return headline(run.scores(), run.comparisons()) + transfer_sentences(run.scores(TRANSFER_SCORES))


def warnings_of(run: Run, sections: list[Section]) -> list[Notice]:
    """Collect what must be read before the result: every warning of the sections, the gravest first."""
    notices = [block for section in sections for block in section.blocks if isinstance(block, Notice)]
    if not run.is_complete:
        notices.append(
            Notice("This Run is not finished: the command that makes it was interrupted.", "danger")
        )
    return [notice for level in ("danger", "caution") for notice in notices if notice.level == level]
