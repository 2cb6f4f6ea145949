"""A case per held-out patient: the decision along the tree, who says what, and the evidence of every lineage."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError
from trilineage.core.progress import progress
from trilineage.data.taxonomy import Taxonomy
from trilineage.pipelines._cases import concept_evidence, images_evidence, rna_evidence
from trilineage.pipelines._cases.agreement import PART
from trilineage.pipelines._cases.config import LINEAGES, Config
from trilineage.pipelines._cases.sentences import agreement_sentence
from trilineage.pipelines._cases.store import CASES, EVIDENCE, FUSION, KIND, PATIENTS, TAXONOMY
from trilineage.pipelines._cases.tables import rows_by_patient
from trilineage.pipelines._cases.unseen import read_unseen

CASE, VERSION = "trilineage case", 1
"""Kind and version of `cases/NAME.json`."""
PROBABILITY = "probability: "
"""What the columns of probabilities begin with."""

Take = Callable[[Run, dict[str, Any], Run, str], dict[str, Any]]
"""Copies the pictures of a patient from one Run into another."""


@dataclass(frozen=True)
class Source:
    """The Run of one lineage, with what it knows of each patient."""

    run: Run
    """The Run."""
    found: Mapping[str, dict[str, Any]]
    """Evidence by patient."""
    take: Take
    """Copies the pictures of a patient."""
    file: str
    """File of the evidence in the Run."""
    remedy: str
    """Command that writes it."""
    unseen: Mapping[str, dict[str, Any]]
    """Distance to training by patient."""


def explain_run(run: Run | Path | str) -> Run:
    """See `trilineage.cases.explain`."""
    opened = run if isinstance(run, Run) else Run.open(run, kind=KIND)
    _require_finished(opened)
    tree = Taxonomy.from_toml(opened.read_text(TAXONOMY))
    sources = {name: _source(name, Path(path), opened) for name, path in opened.config(Config).runs().items()}
    said = rows_by_patient(opened, EVIDENCE, [f"{PROBABILITY}{leaf}" for leaf in tree.leaves])
    fused = rows_by_patient(opened, PATIENTS, [f"{PROBABILITY}{leaf}" for leaf in tree.leaves])
    weights = {row["lineage"]: row["weight"] for row in opened.read_json(FUSION)["lineages"]}
    cases = opened.read_json(CASES)
    with progress("cases", len(cases), "patients") as meter:
        for row in cases:
            patient = str(row["patient"])
            case = _decided(row, fused[patient][0], said.get(patient, []), tree)
            case |= _evidence(row, sources, opened) | {"weights": weights}
            made = _made(opened, sources, tree)
            opened.write_json(
                f"cases/{row['name']}.json", {"kind": CASE, "version": VERSION, "made": made, **case}
            )
            meter.advance()
    return opened


# ---- the Runs that were fused ---------------------------------------------------------------------------------------


def _require_finished(run: Run) -> None:
    if not run.is_complete:
        raise ArtifactError(
            f"{run.path} is not finished",
            seen=run.manifest["status"],
            allowed="a Run of `trilineage cases fit` that came to its end",
            remedy="run the same fit again: it goes on",
        )


def _source(name: str, path: Path, cases: Run) -> Source:
    """Open the Run of one lineage, which must be the one that was fused, and read its evidence."""
    run = Run.open(path, kind=name)
    for file, digest in cases.manifest["data"]["runs"][name].items():
        if file != "path" and run.manifest["files"].get(file) != digest:
            raise ArtifactError(
                f"{path} is no longer the Run that was fused",
                seen=f"another {file}",
                allowed=f"SHA-256 {digest[:12]}...",
                remedy="run `trilineage cases fit` again, with --overwrite or another --out",
            )
    readers: dict[str, tuple[Callable[[Run], dict[str, dict[str, Any]]], Take, Any]] = {
        "rna": (rna_evidence.read_genes, lambda _, found, __, ___: found, rna_evidence),
        "images": (images_evidence.read_cells, images_evidence.take_cells, images_evidence),
        "concepts": (
            concept_evidence.read_barcodes_of_patients,
            concept_evidence.take_pictures,
            concept_evidence,
        ),
    }
    read, take, about = readers[name]
    return Source(run, read(run), take, about.FILE, about.REMEDY, read_unseen(run))


def _made(run: Run, sources: Mapping[str, Source], tree: Taxonomy) -> dict[str, Any]:
    """Return what made the case, and the way from its page to the Runs it was read from."""
    pages = (run.path / "cases").resolve()
    to = partial(os.path.relpath, start=pages)
    return {
        "run": run.path.resolve().name,
        "created": run.manifest["created"],
        "trilineage": run.manifest["trilineage"],
        "seed": run.seed,
        "taxonomy": tree.name,
        "coverage": run.config(Config).coverage,
        "folders": {name: Path(to(source.run.path.resolve())).as_posix() for name, source in sources.items()},
    }


# ---- the decision ---------------------------------------------------------------------------------------------------


def _decided(
    row: Mapping[str, Any], fused: Mapping[str, Any], said: list[dict[str, Any]], tree: Taxonomy
) -> dict[str, Any]:
    """Return the decision for a patient, the probability of every node, and who says what."""
    voices = {one["lineage"]: nodes_of(one, tree) for one in said}
    together = nodes_of(fused, tree)
    decision, held = str(fused["decision"]), str(fused["set"])
    path = [tree.nodes[node] for node in tree.path(tree.index(decision))]
    known = ("patient", "name", "label", "node", "is_known", "is_right", "called", "certainty")
    return {
        **{key: row[key] for key in known},
        "lineages": [name for name in LINEAGES if name in voices],
        "decision": {"node": decision, "probability": together[decision], "path": path},
        "set": {"node": held, "leaves": leaves_below(held, tree) if held else []},
        "tree": tree_rows(tree, {"fused": together, **voices}, path, held),
        "agreement": {
            "is_agreed": row["agreement"] != PART,
            "parting": row["parting"],
            "divergence": row["divergence"],
            "sentence": agreement_sentence(row["called"], row["parting"], tree),
        },
    }


def tree_rows(
    tree: Taxonomy, probabilities: Mapping[str, Mapping[str, float]], path: list[str], held: str
) -> list[dict[str, Any]]:
    """Return every node with its probability by voice, and whether it is on the way to the decision and in the set."""
    inside = tree.leaf_sets[tree.index(held)] if held else None
    return [
        {
            "node": node,
            "title": tree.title_of(node),
            "parents": [tree.nodes[above] for above in tree.parents[place]],
            "is_leaf": node in tree.leaves,
            "on_path": node in path,
            "in_set": bool(inside is not None and inside[tree.leaf_sets[place]].all()),
            "probability": {voice: values[node] for voice, values in probabilities.items()},
        }
        for place, node in enumerate(tree.nodes)
    ]


def leaves_below(node: str, tree: Taxonomy) -> list[str]:
    """Return the leaves of a node (a leaf is its own)."""
    below = tree.leaf_sets[tree.index(node)]
    return [leaf for leaf, is_below in zip(tree.leaves, below, strict=True) if is_below]


def nodes_of(row: Mapping[str, Any], tree: Taxonomy) -> dict[str, float]:
    """Return the probability of every node from those of the leaves in a row of a table."""
    leaves = [float(row[f"{PROBABILITY}{leaf}"]) for leaf in tree.leaves]
    return {node: float(tree.leaf_sets[place] @ leaves) for place, node in enumerate(tree.nodes)}


# ---- the evidence ---------------------------------------------------------------------------------------------------


def _evidence(row: Mapping[str, Any], sources: Mapping[str, Source], run: Run) -> dict[str, Any]:
    """Return what every lineage shows of a patient, or why it shows nothing; pictures are copied."""
    patient, folder = str(row["patient"]), f"cases/{row['name']}"
    known = set(row["lineages"])
    evidence: dict[str, Any] = {}
    unseen = []
    for name in LINEAGES:
        source = sources.get(name)
        if source is None:
            evidence[name] = {"note": "no Run of this lineage was named when the lineages were combined"}
        elif name not in known:
            evidence[name] = {"note": "this patient has no data of this kind"}
        elif patient not in source.found:
            evidence[name] = {"note": f"its Run was not explained for single patients: {source.remedy}"}
        else:
            found = source.take(source.run, source.found[patient], run, folder)
            evidence[name] = {"note": "", "file": source.file, **found}
        if source is not None and patient in source.unseen and name in known:
            unseen.append({"lineage": name, **source.unseen[patient]})
    return {"evidence": evidence, "unseen": unseen}
