"""What the cases recipe writes to its Run, and how a fusion comes back from it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.core.seeding import derive_seed
from trilineage.data.barcodes.files import read_barcodes
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.hierarchy.conformal import Conformal, conformal_sets
from trilineage.evaluation.hierarchy.decoding import decode
from trilineage.evaluation.hierarchy.patients import Decided
from trilineage.evaluation.hierarchy.per_node import node_scores
from trilineage.evaluation.hierarchy.tables import hierarchical_confusion, node_table
from trilineage.evaluation.opinion_pool import Pool
from trilineage.pipelines._cases.agreement import agreements
from trilineage.pipelines._cases.config import Config
from trilineage.pipelines._cases.evidence import Lineage, digests
from trilineage.pipelines._cases.fusing import Fused, Fusion
from trilineage.pipelines._cases.hearing import Hearing, Opinions, Voice
from trilineage.pipelines._cases.newcomers import CONCEPT_MODEL
from trilineage.pipelines._cases.scores import Results

KIND = "cases"
TAXONOMY, FUSION, EVIDENCE, PATIENTS, CASES = (
    "taxonomy.toml",
    "fusion.json",
    "evidence.csv",
    "patients.csv",
    "cases.json",
)
HELD_OUT_MODEL = "held_out_model.npz"
"""The classifier of the training patients in a Run of concepts."""
_ARROW = " > "


def open_run(config: Config, lineages: Sequence[Lineage], out: Path, *, overwrite: bool = False) -> Run:
    """Make the Run, or go on with the one that is there."""
    named = " ".join(f"--{name} {path}" for name, path in config.runs().items())
    return Run.create(
        out,
        kind=KIND,
        config=config,
        seed=config.seed,
        command=f"trilineage cases fit {named} --out {out}",
        data=digests(lineages),
        overwrite=overwrite,
    )


def write_results(
    run: Run, lineages: Sequence[Lineage], fused: Fused, results: Results, config: Config
) -> None:
    """Write tree, evidence, fusion, patients, predictions, scores and the index of the cases."""
    tree = fused.fusion.hearing.tree
    labels = patient_labels(lineages)
    run.write_text(TAXONOMY, tree.to_toml())
    run.write_json(FUSION, fusion_json(lineages, fused, config))
    parts = {"valid": fused.valid, "test": fused.test}
    run.write_table(
        EVIDENCE, _joined([evidence_table(own, fused.fusion, part, labels) for part, own in parts.items()])
    )
    tables = {
        part: patient_table(own, fused.fusion, config.tree.rule, part, labels) for part, own in parts.items()
    }
    run.write_table(PATIENTS, _joined(list(tables.values())))
    everyone = {part: np.ones(len(own.fused), dtype=bool) for part, own in parts.items()}
    run.write_predictions(fused.test.classes_of(tree, fused.test.fused, everyone["test"]))
    run.write_predictions(fused.valid.classes_of(tree, fused.valid.fused, everyone["valid"]), "validation")
    _copy_concept_model(run, lineages)
    run.add_scores(results.scores)
    run.add_comparisons(results.comparisons)
    run.add_scores(results.sets, "conformal_scores.json")
    _write_tree(run, fused, config)
    run.write_json(CASES, case_index(tables["test"], fused, config.tree.rule))


def patient_labels(lineages: Sequence[Lineage]) -> dict[str, str]:
    """Return the labels of each patient as the Runs write them, joined where there are several."""
    written: dict[str, set[str]] = {}
    for lineage in lineages:
        for patient, labels in lineage.labels.items():
            written.setdefault(patient, set()).update(labels)
    return {patient: " / ".join(sorted(labels)) for patient, labels in written.items()}


def fusion_json(lineages: Sequence[Lineage], fused: Fused, config: Config) -> dict[str, Any]:
    """Return weights, priors and what they rest on; `read_fusion` reads them back."""
    fusion, pool = fused.fusion, fused.fusion.pool
    rows = []
    for place, (lineage, voice) in enumerate(zip(lineages, fusion.hearing.voices, strict=True)):
        rows.append(
            {
                "lineage": voice.lineage,
                "run": str(lineage.run.path),
                "config_sha256": lineage.run.manifest["config_sha256"],
                "weight": float(pool.weights[place]),
                "low": float(fused.intervals[place, 0]),
                "high": float(fused.intervals[place, 1]),
                "temperature_alone": voice.temperature,
                "log_loss_alone": fused.log_losses[voice.lineage],
                "classes": list(voice.classes),
                "nodes": list(voice.called(fusion.hearing.tree)),
                "holds": voice.holds.tolist(),
                "prior": voice.prior.tolist(),
                "is_balanced": lineage.is_balanced,
                "n_valid": int(fused.valid.aligned.has[place].sum()),
                "n_test": int(fused.test.aligned.has[place].sum()),
                **_latents(lineage),
            }
        )
    return {
        "taxonomy": fusion.hearing.tree.name,
        "classes": list(pool.classes),
        "prior": pool.prior.tolist(),
        "floor": fusion.hearing.floor,
        "penalty": config.fusion.penalty,
        "level": config.evaluation.level,
        "lineages": rows,
        "best": fused.best,
        "patients": {
            "weighed": pool.n_patients,
            "valid": len(fused.valid.fused),
            "test": len(fused.test.fused),
        },
        "conformal": None if fusion.conformal is None else fusion.conformal.to_dict(),
        "conformal_note": "calibrated on validation patients, each fused by weights that were fitted on the others",
        "notes": list(fused.notes),
    }


def read_fusion(run: Run) -> Fusion:
    """Return the fusion of a Run."""
    tree, written = Taxonomy.from_toml(run.read_text(TAXONOMY)), run.read_json(FUSION)
    prior = np.array(written["prior"], dtype=np.float64)
    voices = tuple(
        Voice(
            row["lineage"],
            tuple(row["classes"]),
            np.array(row["holds"], dtype=bool),
            np.array(row["prior"], dtype=np.float64),
            float(row["temperature_alone"]),
        )
        for row in written["lineages"]
    )
    weights = np.array([row["weight"] for row in written["lineages"]], dtype=np.float64)
    names = tuple(voice.lineage for voice in voices)
    pool = Pool(names, tuple(written["classes"]), prior, weights, int(written["patients"]["weighed"]))
    return Fusion(
        Hearing(tree, voices, prior, float(written["floor"])), pool, _conformal(written["conformal"])
    )


def evidence_table(
    opinions: Opinions, fusion: Fusion, part: str, labels: dict[str, str]
) -> dict[str, list[Any]]:
    """Return what each lineage says of each patient whom it knows, as columns of a table; not calibrated."""
    tree = fusion.hearing.tree
    columns: dict[str, list[Any]] = {
        name: [] for name in ("lineage", "patient", "part", "label", *_probability_names(tree))
    }
    for place, voice in enumerate(fusion.hearing.voices):
        for row in np.flatnonzero(opinions.aligned.has[place]):
            patient = str(opinions.aligned.patients[row])
            values = (
                voice.lineage,
                patient,
                part,
                labels.get(patient, ""),
                *opinions.spoken[place, row].tolist(),
            )
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
    return columns


def patient_table(
    opinions: Opinions, fusion: Fusion, rule: str, part: str, labels: dict[str, str]
) -> dict[str, list[Any]]:
    """Return decision, way, set, agreement and probabilities of each patient as columns of a table."""
    tree, patients = fusion.hearing.tree, opinions.aligned.patients.tolist()
    everyone = np.ones(len(patients), dtype=bool)
    nodes = opinions.of(tree, opinions.fused, everyone).probabilities
    decided = decode(nodes, tree, rule)
    sets = None if fusion.conformal is None else conformal_sets(nodes, tree, fusion.conformal)
    side_by_side = agreements(opinions, tree, fusion.hearing.voices)
    lineages = np.array(opinions.aligned.lineages)
    return {
        "patient": patients,
        "part": [part] * len(patients),
        "label": [labels.get(name, "") for name in patients],
        "node": [tree.nodes[node] if node >= 0 else "" for node in opinions.nodes],
        "lineages": [" ".join(lineages[own]) for own in opinions.aligned.has.T],
        "decision": [tree.nodes[node] for node in decided],
        "probability": nodes[np.arange(len(decided)), decided].tolist(),
        "path": [_ARROW.join(tree.nodes[node] for node in tree.path(int(end))) for end in decided],
        "set": [""] * len(patients) if sets is None else [tree.nodes[node] for node in sets],
        "agreement": [one.word for one in side_by_side],
        "parting": [one.parting for one in side_by_side],
        "divergence": [one.divergence for one in side_by_side],
        **{
            f"called: {name}": [one.called.get(name, "") for one in side_by_side]
            for name in lineages.tolist()
        },
        **dict(zip(_probability_names(tree), opinions.fused.T.tolist(), strict=True)),
    }


def case_index(table: dict[str, list[Any]], fused: Fused, rule: str) -> list[dict[str, Any]]:
    """Return one row for each held-out patient, in the order of their names."""
    tree, test = fused.fusion.hearing.tree, fused.test
    side_by_side = agreements(test, tree, fused.fusion.hearing.voices)
    cases = []
    for row, patient in enumerate(table["patient"]):
        node, decided = int(test.nodes[row]), tree.index(table["decision"][row])
        label, one = table["label"][row], side_by_side[row]
        cases.append(
            {
                "patient": patient,
                "name": f"{row + 1:03d}-{_slug(patient)}",
                **{
                    key: table[key][row]
                    for key in ("label", "node", "decision", "probability", "set", "agreement")
                },
                "is_known": node > 0,
                "is_right": bool(tree.ancestors[decided, node]) if node > 0 else (False if label else None),
                "lineages": table["lineages"][row].split(),
                "called": dict(one.called),
                "certainty": dict(one.certainty),
                "parting": one.parting,
                "divergence": one.divergence,
            }
        )
    return cases


def _copy_concept_model(run: Run, lineages: Sequence[Lineage]) -> None:
    """Keep the classifier of barcodes by which new patients are heard as those were that the weights rest on."""
    for lineage in lineages:
        if lineage.run.has(HELD_OUT_MODEL):
            run.write_bytes(CONCEPT_MODEL, lineage.run.read_bytes(HELD_OUT_MODEL))


def _latents(lineage: Lineage) -> dict[str, str]:
    """Return whose latents the barcodes of a lineage count, where it has barcodes."""
    if not lineage.run.has(HELD_OUT_MODEL):
        return {}
    barcodes = read_barcodes(lineage.run.path / "barcodes.h5ad")
    return {"encoder_key": barcodes.encoder_key, "dictionary_key": barcodes.dictionary_key}


def _write_tree(run: Run, fused: Fused, config: Config) -> None:
    """Write the scores of every node and who is taken for what, where a test patient has a label."""
    tree, test = fused.fusion.hearing.tree, fused.test
    said = test.of(tree, test.fused, test.nodes > 0)
    if len(said.samples) == 0:
        return
    decided = Decided(said, decode(said.probabilities, tree, config.tree.rule))
    scores = node_scores(said, tree, settings=config.tree, seed=derive_seed(config.seed, "evaluation"))
    run.write_json("nodes.json", node_table(said, tree, scores))
    run.write_json("confusion.json", hierarchical_confusion(decided, tree))


def _conformal(written: dict[str, Any] | None) -> Conformal | None:
    if written is None:
        return None
    threshold = written["threshold"]
    return Conformal(**{**written, "threshold": np.inf if threshold is None else threshold})


def _probability_names(tree: Taxonomy) -> list[str]:
    return [f"probability: {leaf}" for leaf in tree.leaves]


def _joined(tables: Sequence[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    return {name: [value for table in tables for value in table[name]] for name in tables[0]}


def _slug(patient: str) -> str:
    """Return a patient's name as a file may be called; the number before it keeps it apart from others."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", patient).strip("-.")[:60] or "patient"
