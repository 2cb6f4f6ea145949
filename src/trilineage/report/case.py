"""A page for each held-out patient: the decision along the tree, who says what, and the evidence of every lineage.

Reads `cases.json` (the list of patients) and `cases/NAME.json` of a Run of `trilineage cases`, which holds

* `kind`, `version`, `made` (`run`, `created`, `trilineage`, `seed`, `taxonomy`, `coverage`; `folders`: the way from the
  page to the Run of each lineage);
* `patient`, `name`, `label`, `is_known`, `is_right`, `lineages` (who knows the patient), `called`, `certainty`
  and `weights` by lineage;
* `decision` (`node`, `probability`, `path`), `set` (`node`, `leaves`), `tree` (rows of nodes with `probability` by
  voice, `on_path`, `in_set`), `agreement` (`sentence`, `is_agreed`, `parting`, `divergence`);
* `evidence` by lineage, with a `note` where there is none; `unseen` (`lineage`, `percentile`, `n_reference`, ...).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError, NewerVersionError
from trilineage.report.blocks import Section
from trilineage.report.case_evidence import cells_section, concepts_section, genes_section
from trilineage.report.case_opinions import decision_section, opinions_section, origin_section, unseen_section
from trilineage.report.numbers import capital, moment, number, percent
from trilineage.report.rendering import render_page

CASES_NAME = "cases.json"
KIND, VERSION = "trilineage case", 1

Case = Mapping[str, Any]


def write_case_pages(run: Run | Path | str) -> list[Path]:
    """Write the page of every patient that was explained into the Run, and return their paths.

    Raises
    ------
    ArtifactError
        If there is no Run of cases, it was not explained, or a case is damaged.
    NewerVersionError, AlteredFileError
        If a newer version wrote a case, or it was changed.
    """
    opened = run if isinstance(run, Run) else Run.open(run, kind="cases")
    names = case_names(opened)
    if not names:
        raise ArtifactError(
            f"{opened.path} has no cases to show",
            seen="no cases/NAME.json",
            allowed="a Run that was explained",
            remedy="run `trilineage cases explain` on it first",
        )
    paths = []
    for place, name in enumerate(names):
        beside = {
            "previous": names[place - 1] if place else "",
            "following": names[place + 1] if place + 1 < len(names) else "",
        }
        opened.write_text(f"cases/{name}.html", render_case(opened, read_case(opened, name), beside))
        paths.append(opened.path / "cases" / f"{name}.html")
    return paths


def case_names(run: Run) -> list[str]:
    """Return the file-safe names of the patients that were explained, in the order of `cases.json`."""
    listed = run.read_json(CASES_NAME) if run.has(CASES_NAME) else []
    return [str(row["name"]) for row in listed if run.has(f"cases/{row['name']}.json")]


def read_case(run: Run, name: str) -> dict[str, Any]:
    """Return `cases/NAME.json`, checked; raises as `write_case_pages`."""
    found = run.read_json(f"cases/{name}.json")
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise _damaged(name, "another kind of file")
    if not isinstance(found.get("version"), int) or found["version"] > VERSION:
        raise NewerVersionError(
            f"cases/{name}.json was written by a newer trilineage",
            seen=f"version {found.get('version')}",
            allowed=f"up to {VERSION}",
            remedy="update trilineage",
        )
    return found


def render_case(run: Run, case: Case, beside: Mapping[str, str] | None = None) -> str:
    """Return the page of one patient as HTML.

    Parameters
    ----------
    beside
        Names of the `previous` and the `following` patient, empty where there is none.
    """
    try:
        sections = case_sections(run, case)
        summary = case_headline(case)
        made = case["made"]
        return render_page(
            "case.html.j2",
            name=str(case["patient"]),
            title="One patient, every lineage",
            run={"seed": made["seed"], "trilineage": made["trilineage"]},
            created=moment(made["created"]),
            summary=summary,
            summary_sources=["../patients.csv", f"{case['name']}.json"],
            warnings=[],
            sections=sections,
            beside={"previous": "", "following": "", **(beside or {})},
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _damaged(str(case.get("name", "")), repr(error)) from None


def case_headline(case: Case) -> list[str]:
    """Return what matters in a few sentences."""
    decision, held = case["decision"], case["set"]
    titles = {row["node"]: row["title"] for row in case["tree"]}
    sentences = [f"{titles[decision['node']]}, probability {number(decision['probability'], 2)}."]
    sentences.append(str(case["agreement"]["sentence"]))
    if held["node"]:
        many = f"one of {', '.join(held['leaves'])}" if len(held["leaves"]) > 1 else held["leaves"][0]
        sentences.append(
            f"The set that holds the diagnosis of {percent(case['made']['coverage'])} of such patients: {many}."
        )
    if case["label"]:
        sentences.append(f"The table of patients says {case['label']}: {_verdict(case)}.")
    far = [capital(_WORDS[one["lineage"]]) for one in case["unseen"] if one["is_far"]]
    if far:
        sentences.append(f"Unlike what was trained on: {', '.join(far)}.")
    return sentences


def _verdict(case: Case) -> str:
    """Say what the label makes of the decision."""
    if not case["is_known"]:
        return "a diagnosis that the tree does not know, so no decision could be right"
    return "the decision is right" if case["is_right"] else "the decision is wrong"


def case_sections(run: Run, case: Case) -> list[Section]:
    """Return the parts of the page, in order."""
    found = (
        decision_section(case),
        opinions_section(case),
        cells_section(run, case),
        genes_section(case),
        concepts_section(run, case),
        unseen_section(case),
        origin_section(case),
    )
    return [section for section in found if section is not None]


_WORDS = {"rna": "expression", "images": "images", "concepts": "concepts"}


def _damaged(name: str, seen: str) -> ArtifactError:
    return ArtifactError(
        f"cases/{name}.json is no case, or it is damaged",
        seen=seen,
        allowed="a file written by `trilineage cases explain`",
        remedy="explain again",
    )
