"""What was asked: the command, the data with its fingerprint, the options that name the question."""

import tomllib
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Facts, Section
from trilineage.report.nouns import nouns_of
from trilineage.report.numbers import counted

_PURPOSES = {
    "rna": "Learn to tell blood diseases apart from gene expression, on some patients, and test it on others.",
    "rna.study": "Compare variants of a diagnostic model of gene expression on the same held-out patients.",
    "images": "Learn to place cell images on a tree of diagnoses, on some of them, and test it on others.",
    "images.compare": "Compare ways to place cell images on a tree of diagnoses, on the same held-out images.",
    "images.pretrain": "Train an encoder of cell images, to be taken by classifiers and by concepts.",
    "images.probe": "Measure what the features of an encoder of cell images tell, beside random weights.",
    "concepts": "Take apart what a network sees in cells into single concepts, test each of them beside controls, and "
    "describe images and patients by them.",
    "concepts.compare": "Compare cohorts concept by concept, or dictionaries of concepts with each other.",
    "concepts.subtype": "Tell the diagnosis of patients from the concepts of their cells, and find what marks each.",
    "cases": "Put together what gene expression, cell images and concepts say of the same patients, and hold it "
    "against what each says alone.",
}


KIND_TITLES = {
    "rna": "Diagnosis from gene expression",
    "rna.study": "Study of variants, diagnosis from gene expression",
    "images": "Diagnosis from cell images",
    "images.compare": "Comparison of variants, diagnosis from cell images",
    "images.pretrain": "Encoder of cell images",
    "images.probe": "Probes of an encoder of cell images",
    "concepts": "Concepts in cell images",
    "concepts.compare": "Comparison of cohorts, concept by concept",
    "concepts.subtype": "Diagnosis of patients from concepts",
    "cases": "One patient across the lineages",
}
"""What stands above the name of a Run."""

_FOR_PATIENTS = "Rule for patients"
_VARIED = {
    "backbone.name": "Network",
    "hierarchy.variant": "Head",
    "evaluation.rule": "Rule of decision",
    "evaluation.patient_rule": _FOR_PATIENTS,
}


def asked_section(run: Run) -> Section:
    """Describe the question of a Run."""
    rows = [("Purpose", _PURPOSES.get(run.kind, f"A Run of kind {run.kind}."))]
    if run.manifest.get("command"):
        rows.append(("Command", str(run.manifest["command"])))
    rows += _data_rows(run.manifest.get("data") or {})
    rows += _choice_rows(tomllib.loads(run.read_text("config.toml")) if run.has("config.toml") else {})
    left_out = _without_meaning(run)
    rows = [row for row in rows if row[0] not in left_out]
    rows.append(("Seed", str(run.seed)))
    return Section("asked", "What was asked", (Facts(tuple(rows)),))


def _without_meaning(run: Run) -> set[str]:
    """Return the choices that say nothing about this Run: a rule for patients nobody knows, options that it varies."""
    varied = (
        run.read_table("variants.csv") if run.kind == "images.compare" and run.has("variants.csv") else {}
    )
    names = {name for option, name in _VARIED.items() if option in varied}
    return names if nouns_of(run).knows_patients else {*names, _FOR_PATIENTS}


def _data_rows(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Name the file without its folders, which say nothing about the result, and its fingerprint."""
    rows = []
    if data.get("path"):
        rows.append(("Data", str(data["path"]).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]))
    size = [
        counted(int(data[key]), noun)
        for key, noun in (("n_obs", "sample"), ("n_vars", "gene"), ("n_images", "image"))
        if key in data
    ]
    if size:
        rows.append(("Size of the set" if "n_images" in data else "Size of the file", ", ".join(size)))
    if data.get("sha256"):
        rows.append(("Fingerprint (SHA-256)", str(data["sha256"])))
    return rows


def _choice_rows(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Pick the options that decide what the question is; the whole configuration stands further down."""
    chosen = [
        ("Tree of labels", config.get("taxonomy")),
        ("Trained at sites", _words(config.get("train_sites"), "")),
        ("Network", _words(config.get("backbone"), "name")),
        ("Autoencoder", _words(config.get("sae"), "activation")),
        ("Attributes", _words(config.get("attributes"), "").replace("_", " ")),
        ("Head", _words(config.get("hierarchy"), "variant")),
        ("Rule of decision", _words(config.get("evaluation"), "rule")),
        (_FOR_PATIENTS, _words(config.get("evaluation"), "patient_rule")),
        ("Task", config.get("task")),
        ("Learned from", _words(config.get("population"), "train")),
        ("Scored on", _words(config.get("population"), "test")),
        ("Representation", config.get("representation")),
        ("Classifier", _words(config.get("classifier"), "kind")),
    ]
    return [(name, str(value)) for name, value in chosen if value]


def _words(group: Any, key: str) -> str:
    value = group.get(key) if isinstance(group, dict) else group
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
