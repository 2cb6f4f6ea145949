"""The end of the story: reports of every Run, pages of every case, claims, and the page that leads to all of it."""

from collections.abc import Iterator

import pandas as pd

from trilineage.core.artifacts import Run
from trilineage.data.simulate.cohort.settings import NEW
from trilineage.data.simulate.cohort.write import PATIENTS
from trilineage.data.simulate.truth import read_truth
from trilineage.demo.checks import Diagnoses, gain_claim, maps_claim, score_claim
from trilineage.demo.claims import Claim, write_claims
from trilineage.demo.facts import write_facts
from trilineage.demo.places import Demo
from trilineage.demo.truths import (
    genes_claim,
    parts_claim,
    sets_claim,
    signs_claim,
    unknown_claim,
    written_claim,
)
from trilineage.demo.unlike import read_known, read_percentiles

LINEAGES = ("images", "concepts", "rna")


def tell(demo: Demo) -> None:
    """Write every page, and hold every claim against the truth."""
    from trilineage.report.demo_index import write_index

    write_claims(demo.path, claims_of(demo))
    write_facts(demo)
    write_pages(demo)
    write_index(demo.path)


def claims_of(demo: Demo) -> tuple[Claim, ...]:
    """Return what the page says, checked."""
    runs = {name: Run.open(demo.run(name)) for name in LINEAGES}
    return tuple(_against_truth(demo, runs) if demo.is_simulated else _without_truth(demo, runs))


def write_pages(demo: Demo) -> None:
    """Write the report of every Run, the atlas, and the page of every case."""
    from trilineage.report.atlas import write_atlas
    from trilineage.report.case import write_case_pages
    from trilineage.report.page import write_report

    for name in (*LINEAGES, "cases"):
        if (demo.run(name) / "run.json").is_file():
            write_report(demo.run(name))
    write_atlas(Run.open(demo.run("concepts")))
    if demo.is_simulated:
        write_case_pages(Run.open(demo.run("cases")))


def _against_truth(demo: Demo, runs: dict[str, Run]) -> Iterator[Claim]:
    """Hold the Runs of a simulated cohort against what the simulator wrote beside it."""
    patients = pd.read_csv(demo.cohort / PATIENTS, dtype={"patient": str})
    diagnoses = dict(zip(patients["patient"], patients["diagnosis"], strict=True))
    cases = Run.open(demo.run("cases"))
    yield parts_claim(runs, patients)
    for name, run in {**runs, "cases": cases}.items():
        yield score_claim(run, name, diagnoses, seed=demo.settings.seed)
    yield gain_claim(cases, cases.read_json("fusion.json")["best"])
    yield from _sets(cases, diagnoses)
    yield genes_claim(strongest_genes(runs["rna"]), read_truth(demo.blood))
    yield maps_claim(runs["images"])
    yield signs_claim(runs["concepts"].read_json("targets.json"), _planted(runs["concepts"]))
    new = patients[patients["part"] == NEW]
    unknown = dict(zip(new["patient"], new["diagnosis"], strict=True))
    if unknown:
        yield unknown_claim(read_percentiles(demo), unknown, read_known(demo))


def _sets(cases: Run, diagnoses: Diagnoses) -> Iterator[Claim]:
    """Check the sets; too few validation patients calibrate none."""
    conformal = cases.read_json("fusion.json")["conformal"]
    if conformal is not None:
        found = sets_of(cases, diagnoses)
        yield sets_claim([held for held, _ in found], conformal["coverage"], [size for _, size in found])


def _without_truth(demo: Demo, runs: dict[str, Run]) -> Iterator[Claim]:
    """Hold the Runs on public data against the labels that their authors gave."""
    for name in ("images", "rna"):
        table = runs[name].read_table("split.csv")
        labels = dict(zip(table["patient"], table["label"], strict=True))
        yield score_claim(runs[name], name, labels, seed=demo.settings.seed)
    yield written_claim(runs["concepts"].read_json("targets.json"))


def strongest_genes(run: Run) -> dict[str, list[str]]:
    """Return the genes of each class by the size of their attribution, the strongest first."""
    table = pd.DataFrame(run.read_table("explain/genes.csv"))
    table["size"] = table["attribution"].astype(float).abs()
    ordered = table.sort_values("size", ascending=False, kind="stable")
    return {str(name): rows["gene"].tolist() for name, rows in ordered.groupby("class", sort=False)}


def sets_of(run: Run, diagnoses: Diagnoses) -> list[tuple[bool, int]]:
    """Tell of the set of each held-out patient whether it holds the true diagnosis, and how many diagnoses it names."""
    from trilineage.data.taxonomy import Taxonomy

    tree, table = Taxonomy.from_toml(run.read_text("taxonomy.toml")), run.read_table("patients.csv")
    rows = zip(table["patient"], table["part"], table["set"], strict=True)
    held = [
        (tree.index(diagnoses[name]), tree.index(node))
        for name, part, node in rows
        if part == "test" and node
    ]
    return [(bool(tree.ancestors[truth, node]), int(tree.leaf_sets[node].sum())) for truth, node in held]


def _planted(run: Run) -> list[str]:
    """Return the attributes of a Run of concepts that say what was planted."""
    import tomllib

    attributes = tomllib.loads(run.read_text("config.toml"))["attributes"]
    return [name for name in attributes if name.startswith("has_")]
