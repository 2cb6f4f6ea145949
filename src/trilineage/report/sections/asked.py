"""What was asked: the command, the data with its fingerprint, the options that name the question."""

import tomllib
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Facts, Section
from trilineage.report.numbers import counted

_PURPOSES = {
    "rna": "Learn to tell blood diseases apart from gene expression, on some patients, and test it on others.",
    "rna.study": "Compare variants of a diagnostic model of gene expression on the same held-out patients.",
}


KIND_TITLES = {
    "rna": "Diagnosis from gene expression",
    "rna.study": "Study of variants, diagnosis from gene expression",
}
"""What stands above the name of a Run."""


def asked_section(run: Run) -> Section:
    """Describe the question of a Run."""
    rows = [("Purpose", _PURPOSES.get(run.kind, f"A Run of kind {run.kind}."))]
    if run.manifest.get("command"):
        rows.append(("Command", str(run.manifest["command"])))
    rows += _data_rows(run.manifest.get("data") or {})
    rows += _choice_rows(tomllib.loads(run.read_text("config.toml")) if run.has("config.toml") else {})
    rows.append(("Seed", str(run.seed)))
    return Section("asked", "What was asked", (Facts(tuple(rows)),))


def _data_rows(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Name the file without its folders, which say nothing about the result, and its fingerprint."""
    rows = []
    if data.get("path"):
        rows.append(("Data", str(data["path"]).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]))
    size = [
        counted(int(data[key]), noun)
        for key, noun in (("n_obs", "sample"), ("n_vars", "gene"))
        if key in data
    ]
    if size:
        rows.append(("Size of the file", ", ".join(size)))
    if data.get("sha256"):
        rows.append(("Fingerprint (SHA-256)", str(data["sha256"])))
    return rows


def _choice_rows(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Pick the options that decide what the question is; the whole configuration stands further down."""
    chosen = [
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
