"""How to make it again: configuration, versions, and the digest of every file."""

from trilineage.core.artifacts import Run
from trilineage.core.manifest import MANIFEST_NAME
from trilineage.report.blocks import Facts, Fold, Linked, Section, Table, Verbatim
from trilineage.report.numbers import moment


def provenance_section(run: Run) -> Section:
    """List what the result was made with."""
    manifest = run.manifest
    facts = [
        ("trilineage", str(manifest.get("trilineage", "unknown"))),
        ("Python", str(manifest.get("python", "unknown"))),
        ("Platform", str(manifest.get("platform", "unknown"))),
        *((name, str(version)) for name, version in sorted((manifest.get("libraries") or {}).items())),
        ("Seed", str(run.seed)),
        ("Begun", moment(manifest.get("created"))),
        ("Finished", moment(manifest.get("finished", "not finished"))),
        ("Run format", f"{run.kind}, version {manifest['format_version']}"),
    ]
    files = sorted((name, sha) for name, sha in manifest["files"].items() if not _is_made_here(name))
    rows = tuple((Linked(name, name), sha) for name, sha in files)
    digests = Table(
        "Files of the Run with their SHA-256.",
        ("File", "SHA-256"),
        rows,
        n_text_columns=2,
        sources=(MANIFEST_NAME,),
    )
    blocks = [Facts(tuple(facts))]
    config = run.read_text("config.toml") if run.has("config.toml") else ""
    return Section(
        "provenance",
        "Configuration and provenance",
        (*blocks, Fold("Configuration", (Verbatim(config),)), Fold("Digests", (digests,))),
    )


def _is_made_here(name: str) -> bool:
    """Tell what this page brings into the Run; left out, so that the same Run always gives the same page."""
    return name == "report.html" or (name.startswith("figures/") and name.endswith(".svg"))
