"""The page of a demo: what was claimed and whether it holds, each lineage at work, one patient across all of them.

Reads from the folder of a demo: `demo.json` (how it was told: scale, cohort, steps with their seconds, new patients,
commands), `claims.json`, and the Runs `images`, `concepts`, `rna` and, where there is one, `cases`. What it shows of a
Run is made by the sections of that Run's own report; links lead to the files below the page.
"""

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.core.files import write_atomically
from trilineage.report.blocks import (
    Block,
    Cell,
    Facts,
    Figure,
    Fold,
    Gallery,
    Link,
    Linked,
    Notice,
    Section,
    Table,
    Text,
    Verbatim,
)
from trilineage.report.case import case_names, read_case
from trilineage.report.case_evidence import cells_section, concepts_section
from trilineage.report.case_evidence import genes_section as case_genes_section
from trilineage.report.case_opinions import decision_section, opinions_section
from trilineage.report.numbers import capital, counted, moment, number
from trilineage.report.origins import made_with_sources
from trilineage.report.page import summary_of
from trilineage.report.rendering import render_page
from trilineage.report.sections.concept_list import concept_list_section
from trilineage.report.sections.genes import genes_section
from trilineage.report.sections.saliency import panel_blocks
from trilineage.report.sections.tree import tree_section

PAGE, FACTS, CLAIMS = "index.html", "demo.json", "claims.json"
_VERDICTS = {True: "holds", False: "does not hold", None: "could not be checked"}

Record = Mapping[str, Any]


def write_index(folder: Path | str) -> Path:
    """Write the page of a demo into its folder and return its path.

    Raises
    ------
    ArtifactError
        A Run is missing, damaged or of a newer version.
    StorageError
        The folder cannot be written.
    """
    path = Path(folder)
    facts = json.loads((path / FACTS).read_text("utf-8"))
    claims = json.loads((path / CLAIMS).read_text("utf-8"))
    sections = index_sections(path, facts, claims)
    page = render_page(
        "demo.html.j2",
        heading=facts["title"],
        meta=f"{moment(facts['created'])} · scale {facts['scale']} · seed {facts['seed']} · "
        f"trilineage {facts['trilineage']}",
        version=facts["trilineage"],
        summary=index_summary(facts, claims),
        sections=sections,
    )
    write_atomically(path / PAGE, page.encode())
    return path / PAGE


def index_summary(facts: Record, claims: Iterable[Record]) -> list[str]:
    """Return what was done and how much of what is claimed holds."""
    verdicts = [claim["holds"] for claim in claims]
    n_checked = sum(verdict is not None for verdict in verdicts)
    held = f"{sum(verdict is True for verdict in verdicts)} of {counted(n_checked, 'claim')} that could be checked hold"
    return [facts["summary"], f"{held}. Those that do not are shown all the same."]


def index_sections(path: Path, facts: Record, claims: list[Record]) -> list[Section]:
    """Return the parts of the page, in order."""
    runs = {
        name: Run.open(path / name) for name in ("rna", "images", "concepts", "cases") if _is_run(path / name)
    }
    found = [
        claims_section(claims, facts),
        *(
            _lineage_section(name, runs[name], facts)
            for name in ("rna", "images", "concepts")
            if name in runs
        ),
        *(cases_sections(runs["cases"]) if "cases" in runs else [_no_cases()]),
        new_section(facts),
        commands_section(facts),
        steps_section(facts),
    ]
    return [section for section in found if section is not None]


def claims_section(claims: Iterable[Record], facts: Record) -> Section:
    """List every claim beside the truth."""
    rows = tuple(
        (
            (claim["text"], claim["note"]) if claim["note"] else claim["text"],
            claim["found"],
            claim["truth"],
            _VERDICTS[claim["holds"]],
        )
        for claim in claims
    )
    table = Table(
        "Every claim of this page, what the Runs say and what is known to be true.",
        ("Claim", "Found", "Truth or chance", "Verdict"),
        rows,
        n_text_columns=4,
        sources=(CLAIMS, *dict.fromkeys(name for claim in claims for name in claim["sources"])),
    )
    blocks: list[Block] = [Text(facts["about_truth"]), table]
    failed = sum(claim["holds"] is False for claim in claims)
    if failed:
        blocks.insert(
            1, Notice(f"{capital(counted(failed, 'claim'))} below did not hold in this run.", "caution")
        )
    return Section("claims", "What is claimed, and what is true", tuple(blocks))


# ---- lineages -------------------------------------------------------------------------------------------------------

_TITLES = {
    "rna": "Expression: the genes behind a diagnosis",
    "images": "Cell images: a decision at every level, and where it was seen",
    "concepts": "Concepts: what the network sees in cells, one by one",
}
_PARTS = {"rna": genes_section, "images": tree_section, "concepts": concept_list_section}


def _lineage_section(name: str, run: Run, facts: Record) -> Section:
    """Show the heart of a lineage's report, and the way to the rest."""
    blocks: list[Block] = [Text(sentence) for sentence in summary_of(run)[:2]]
    part = made_with_sources(_PARTS[name], run)
    blocks += [block for block in (part.blocks if part else ()) if isinstance(block, Figure | Table)][:1]
    if name == "images":
        blocks += [block for block in panel_blocks(run) if isinstance(block, Gallery)]
    blocks.append(
        Link(f"{name}/report.html", f"The report of this lineage ({capital(facts['lineages'][name])})")
    )
    if name == "concepts" and (run.path / "explain" / "atlas").is_dir():
        blocks.append(
            Link("concepts/explain/atlas/index.html", "The atlas: every concept with the cells that show it")
        )
    return Section(name, _TITLES[name], tuple(_below(block, name) for block in blocks))


def _below(block: Block, folder: str) -> Block:
    """Return a block of a Run whose links start at the page of the demo."""
    if isinstance(block, Fold):
        return replace(block, blocks=tuple(_below(inner, folder) for inner in block.blocks))
    if isinstance(block, Table):
        rows = tuple(tuple(_cell_below(cell, folder) for cell in row) for row in block.rows)
        return replace(block, rows=rows, sources=_names_below(block.sources, folder))
    if isinstance(block, Figure | Facts | Gallery):
        return replace(block, sources=_names_below(block.sources, folder))
    return block


def _cell_below(cell: Cell, folder: str) -> Cell:
    return (
        replace(cell, address=posixpath.normpath(f"{folder}/{cell.address}"))
        if isinstance(cell, Linked)
        else cell
    )


def _names_below(names: Iterable[str], folder: str) -> tuple[str, ...]:
    """Return names of files as the page of the demo sees them."""
    return tuple(posixpath.normpath(f"{folder}/{name}") for name in names)


# ---- cases ----------------------------------------------------------------------------------------------------------


def cases_sections(run: Run) -> list[Section]:
    """Show one patient across all lineages, and the list of all of them."""
    names = case_names(run)
    listed = [row for row in run.read_json("cases.json") if row["name"] in names]
    if not listed:
        return []
    chosen = example_of(listed)
    return [_example_section(run, chosen), _patients_section(listed)]


def example_of(listed: list[Record]) -> Record:
    """Choose the patient to show: of those with most kinds of data and a right decision, where lineages part most."""
    return max(
        listed, key=lambda row: (len(row["lineages"]), bool(row["is_right"]), row["divergence"] or 0.0)
    )


def _example_section(run: Run, row: Record) -> Section:
    case = read_case(run, row["name"])
    blocks: list[Block] = [
        Text(
            f"{row['patient']}, held out: of the patients with every kind of data who were decided rightly, the one "
            "about whom the lineages agree least."
        )
    ]
    parts = (
        decision_section(case),
        opinions_section(case),
        cells_section(run, case),
        case_genes_section(case),
        concepts_section(run, case),
    )
    for part in parts:
        if part is not None:
            blocks += [_renamed(block) for block in _first_of_each(part.blocks)]
    blocks.append(Link(f"cases/cases/{row['name']}.html", f"Everything about {row['patient']}"))
    return Section(
        "patient",
        "One patient across the lineages",
        tuple(_below(block, "cases/cases") for block in blocks),
    )


def _first_of_each(blocks: Iterable[Block]) -> list[Block]:
    """Return what a section says first in facts or a notice, its first figure and its first pictures."""
    seen: dict[str, Block] = {}
    for block in blocks:
        if isinstance(block, Facts | Notice | Figure | Gallery):
            seen.setdefault(block.kind, block)
    return list(seen.values())


def _renamed(block: Block) -> Block:
    """Give a figure ids of its own: the page has others of that name."""
    if not isinstance(block, Figure):
        return block
    before = r'(id="|url\(#|href="#|aria-labelledby="|title )'
    svg = re.sub(f"{before}{re.escape(block.name)}-", rf"\1patient-{block.name}-", block.svg)
    return replace(block, name=f"patient-{block.name}", svg=svg)


def _patients_section(listed: list[Record]) -> Section:
    rows = tuple(
        (
            Linked(str(row["patient"]), f"cases/cases/{row['name']}.html"),
            str(row["label"]),
            str(row["decision"]),
            {True: "right", False: "wrong", None: ""}[row["is_right"]],
            " ".join(row["lineages"]),
            str(row["agreement"]),
            number(row["probability"], 2),
        )
        for row in listed
    )
    table = Table(
        "Every held-out patient; each leads to a page of its own.",
        ("Patient", "Diagnosis", "Decision", "Verdict", "Lineages", "Agreement", "Probability"),
        rows,
        n_text_columns=6,
        sources=("cases/cases.json",),
    )
    return Section(
        "patients",
        "All held-out patients",
        (table, Link("cases/report.html", "How much each lineage has to say, and what together they gain")),
    )


def _no_cases() -> Section:
    return Section(
        "patients",
        "One patient across the lineages",
        (
            Text(
                "Nobody in these public data sets has both smears and expression, so there are no cases to show."
            ),
        ),
    )


# ---- new patients, commands, steps ----------------------------------------------------------------------------------


def new_section(facts: Record) -> Section | None:
    """Show the patients whose diagnosis nobody has learned."""
    if not facts["new"]:
        return None
    lineages = list(facts["new"][0]["percentiles"])
    rows = tuple(
        (
            row["patient"],
            row["diagnosis"],
            row["decision"],
            row["set"],
            *(number(row["percentiles"].get(name), 0) for name in lineages),
        )
        for row in facts["new"]
    )
    table = Table(
        "Percentile of the validation patients that lie nearer to training, by lineage: 90 and more counts as unlike "
        "training.",
        ("Patient", "True diagnosis", "Decision", "Set", *(f"Percentile, {name}" for name in lineages)),
        rows,
        n_text_columns=4,
        sources=("new/cases/patients.csv", *(f"new/{name}_unlike_training.csv" for name in lineages)),
    )
    text = (
        "These patients came later, with diagnoses that are no leaf of the tree: no decision about them can be right. "
        "What should warn is a set that stays high up in the tree, and a place far from training."
    )
    return Section("new", "Patients with a diagnosis that nobody learned", (Text(text), table))


def commands_section(facts: Record) -> Section:
    """List the commands for the same on one's own data."""
    blocks: list[Block] = []
    for what, command in facts["commands"]:
        blocks += [Text(what), Verbatim(command)]
    return Section("yours", "The same on your own data", tuple(blocks))


def steps_section(facts: Record) -> Section:
    """List how long each step took."""
    rows = tuple((step["title"], f"{step['seconds']:.0f} s") for step in facts["steps"])
    table = Table(
        "Seconds of each step; expression runs beside the images.",
        ("Step", "Time"),
        rows,
        sources=(FACTS,),
        is_sortable=False,
    )
    return Section("steps", "How it was made", (Facts(tuple(map(tuple, facts["cohort"]))), table))


def _is_run(path: Path) -> bool:
    return (path / "run.json").is_file()
