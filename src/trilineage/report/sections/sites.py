"""Whether it holds elsewhere: the scores of every site, and how far the stains of the sites lie apart."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Cell, Figure, Fold, Section, Table, Text
from trilineage.report.forest import Panel, forest
from trilineage.report.image_findings import SITE, has_costs, site_boards, trained_sites, whole
from trilineage.report.nouns import Nouns, nouns_of
from trilineage.report.numbers import counted, interval, metric_heading, number, percent, signed
from trilineage.report.scoreboard import SCORES_NAME, Board, boards, lead_metric, score_cell
from trilineage.report.sections.image_scores import MAIN_METRICS

FAR = 0.8
"""A standardised difference called large (Cohen 1988)."""
N_FEATURES_DRAWN = 12


def sites_section(run: Run) -> Section | None:
    """Show scores and stains by site, where there are several."""
    nouns, found = nouns_of(run), site_boards(run.scores(), nouns_of(run))
    stains = run.read_json("stains.json") if run.has("stains.json") else None
    if not found and not stains:
        return None
    blocks: list[Block] = []
    if found:
        everyone = boards(whole(run.scores()), nouns)
        overall = next((board for board in everyone if board.unit == found[0].unit), None)
        trained = trained_sites(run)
        blocks += [*_site_figure(found, nouns), site_table(found, overall, nouns, trained)]
    if stains:
        blocks += stain_blocks(stains, nouns)
    return Section("sites", "Site by site", tuple(blocks))


def site_table(
    found: Sequence[Board], overall: Board | None, nouns: Nouns, trained: Sequence[str] = ()
) -> Table:
    """Lay out the main metrics of the model, a row per site."""
    everyone = [*found, *([overall] if overall else [])]
    shown = [
        metric
        for metric in MAIN_METRICS
        if any(metric in board.metrics for board in found)
        and (metric != "clinical_cost" or any(map(has_costs, found)))
    ]
    rows = tuple(
        (
            _site_cell(_name(board.population), trained),
            *_sizes(board, nouns),
            *(score_cell(board.best("model", metric)) for metric in shown),
        )
        for board in everyone
    )
    units = (f"{nouns.sample.capitalize()}s", *(("Patients",) if nouns.knows_patients else ()))
    level = percent(found[0].scores[0].level)
    return Table(
        f"The model per {found[0].noun} at each site, with {level} intervals over {nouns.patient}s. Sites differ in "
        "who is seen there as well as in how they stain.",
        ("Site", *units, *map(metric_heading, shown)),
        rows,
        strong_rows=frozenset({len(found)}) if overall else frozenset(),
        sources=(SCORES_NAME,),
    )


def _sizes(board: Board, nouns: Nouns) -> tuple[str, ...]:
    n_samples = max(score.n_samples for score in board.scores)
    n_patients = max(score.n_patients for score in board.scores)
    return (f"{n_samples:,}", f"{n_patients:,}") if nouns.knows_patients else (f"{n_samples:,}",)


def _site_cell(name: str, trained: Sequence[str]) -> Cell:
    """Return the name of a site and, where training was for some sites only, whether it was one of them."""
    if not trained or name == "All":
        return name
    return name, "trained on" if name in trained else "never trained on"


def _name(population: str) -> str:
    return "All" if population == "all" else population.removeprefix(SITE)


def _site_figure(found: Sequence[Board], nouns: Nouns) -> list[Figure]:
    """Draw the leading metric of the model, a row per site."""
    metric = lead_metric([score for board in found for score in board.scores])
    known = [(board, board.best("model", metric)) for board in found]
    rows = tuple(
        replace(score, subject=f"{_name(board.population)} ({board.size()})")
        for board, score in known
        if score is not None
    )
    if not rows:
        return []
    return [
        forest("sites", [Panel(f"Per {found[0].noun}", rows)], title="The model at each site", nouns=nouns)
    ]


def stain_blocks(stains: dict[str, Any], nouns: Nouns) -> list[Block]:
    """Say how well the stain gives the site away, and in what the sites differ."""
    told = stains["separability"]
    value, ends = told["value"], interval(told["low"], told["high"], 2)
    known = number(value, 2) + (f" ({ends})" if ends else "")
    text = (
        f"From colour alone the site of {nouns.patient}s that were left out can be told with an AUROC of {known}; 0.5 "
        "would be no difference. A model can use what tells sites apart, where sites differ in their diagnoses."
    )
    table = stain_table(stains, nouns)
    if len(table.rows) > N_FEATURES_DRAWN:
        return [Text(text), Fold("Stain of each site", (table,))]
    return [Text(text), table]


def stain_table(stains: dict[str, Any], nouns: Nouns) -> Table:
    """List the standardised differences of each site from all others."""
    sites = stains["sites"]
    rows = tuple(
        (
            feature,
            *(
                (_difference(site["differences"][feature]), number(site["means"][feature], 2))
                for site in sites
            ),
        )
        for feature in stains["features"]
    )
    sizes = ", ".join(f"{site['site']}: {counted(site['n_samples'], nouns.sample)}" for site in sites)
    return Table(
        "Stain of each site against all others, in standard deviations; under it the mean. ▲ ▼: more than "
        f"{FAR} apart. Density is optical density. {sizes}.",
        ("Feature", *(str(site["site"]) for site in sites)),
        rows,
        sources=("stains.json",),
    )


def _difference(value: float | None) -> str:
    mark = "" if value is None or abs(value) < FAR else (" ▲" if value > 0 else " ▼")
    return signed(value, 2) + mark
