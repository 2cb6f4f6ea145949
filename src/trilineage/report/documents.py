"""Papers that go with a Run: reporting checklists and a model card, filled from its report, the rest left to a person.

Each is described by a file in `papers/`: its items, in our own words, and by `from` what of a Run answers each:

* `SECTION.KIND`: blocks of a section of the report (`split.notice`, `scores.table`; `tables` for all that stand open);
* `options:NAME`: the options of that name, or under it, as in `config.toml`;
* `files:NAME`: a file, or the files of a folder;
* `headline`, `summary`, `warnings`: what stands at the head of the report.

References
----------
Collins et al., BMJ 2024;385:e078378 (TRIPOD+AI). Tejani et al., Radiol Artif Intell 2024;6(4):e240300 (CLAIM, 2024
update). Mitchell et al., FAT* 2019 (model cards).
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.core.config import flatten
from trilineage.core.errors import ArtifactError, UnknownOptionError
from trilineage.core.files import write_atomically
from trilineage.core.registry import nearest_remedy
from trilineage.report.blocks import Block, Section
from trilineage.report.markdown import as_markdown, link, plain
from trilineage.report.origins import noted
from trilineage.report.page import make_sections, summary_of, warnings_of
from trilineage.report.rendering import DISCLAIMER
from trilineage.report.sections.asked import KIND_TITLES
from trilineage.report.sections.papers import DOCUMENTS

TO_FILL_IN = "For you to fill in"
_SEAL = "<!-- as written by trilineage: "


def write_documents(run: Run | Path | str, names: Sequence[str]) -> list[Path]:
    """Write checklists or the model card into a Run and return their paths.

    The files are meant to be edited, so they have no digest in the Run. One that was edited is never written over.

    Parameters
    ----------
    names
        Of `tripod-ai`, `claim` and `model-card`.

    Raises
    ------
    UnknownOptionError
        If there is no such paper.
    ArtifactError
        If there is no Run, it was altered, or the paper that is there was edited.
    StorageError
        If it cannot be written.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    paths = [_place(opened, name) for name in names]
    source = Source.of(opened)
    for name, path in zip(names, paths, strict=True):
        write_atomically(path, sealed(render_document(source, name)).encode())
    return paths


def _place(run: Run, name: str) -> Path:
    """Return where a paper goes, if it may go there."""
    if name not in DOCUMENTS:
        remedy = nearest_remedy(name, tuple(DOCUMENTS))
        raise UnknownOptionError(f"there is no paper {name!r}", allowed=", ".join(DOCUMENTS), remedy=remedy)
    path = run.path / DOCUMENTS[name]
    if path.exists() and not is_as_written(path.read_text(errors="replace")):
        raise ArtifactError(
            f"{path} was edited and is not written over",
            seen="another text than the one that was written",
            allowed="a paper nobody has edited, or none",
            remedy="move it to another place first",
        )
    return path


def render_document(source: "Source", name: str) -> str:
    """Return a paper as Markdown; links lead to files of the Run from where the paper lies."""
    about = tomllib.loads(files("trilineage.report").joinpath("papers", f"{name}.toml").read_text())
    source = replace(source, up="../" * DOCUMENTS[name].count("/"))
    lines = [
        f"# {about['title']}: {plain(source.run.path.resolve().name)}",
        "",
        f"**{DISCLAIMER}** {about['about']}",
        "",
    ]
    lines += [
        f"What the Run says is filled in, with the files it comes from; **{TO_FILL_IN.lower()}** is the rest.",
        "",
    ]
    for part in about["part"]:
        lines += [f"## {part['name']}", ""]
        for item in part["item"]:
            lines += _item(item, source)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _item(item: Mapping[str, Any], source: "Source") -> list[str]:
    """Lay out one item: what it asks, what the Run says, what is left; nothing where nobody has anything to say."""
    number = f"{item['number']}. " if "number" in item else ""
    lines = [f"### {number}{item['title']}", ""]
    lines += [f"*{item['ask']}*", ""] if "ask" in item else []
    lines += [item["fixed"], ""] if "fixed" in item else []
    said = [text for wanted in item.get("from", ()) for text in source.said(wanted)]
    lines += [line for text in said for line in (text, "")]
    if not said and not {"ask", "fixed", "yours"} & item.keys():
        return []
    left = item.get("yours", "" if said or "fixed" in item else "the Run says nothing of this.")
    return [*lines, f"**{TO_FILL_IN}:** {left}", ""] if left else lines


@dataclass(frozen=True)
class Source:
    """What a Run says, by the name under which a paper asks for it."""

    run: Run
    """The Run."""
    sections: Sequence[Section]
    """Sections of its report."""
    options: Mapping[str, Any]
    """Its configuration by dotted names."""
    summary: Sequence[str]
    """Its result in a few sentences."""
    summary_files: Sequence[str]
    """Files the sentences come from."""
    up: str = ""
    """Way from the paper to the Run, such as `../`."""

    @classmethod
    def of(cls, run: Run) -> "Source":
        """Read a Run."""
        options = flatten(tomllib.loads(run.read_text("config.toml"))) if run.has("config.toml") else {}
        return cls(run, make_sections(run), options, *noted(summary_of, run))

    def said(self, wanted: str) -> list[str]:
        """Return what is asked for as pieces of Markdown; empty if the Run does not say it."""
        kind, _, name = wanted.partition(":")
        if name:
            return self.option_lines(name) if kind == "options" else self.file_lines(name)
        if wanted == "headline":
            return [f"{plain(KIND_TITLES.get(self.run.kind, self.run.kind))}."]
        if wanted == "summary":
            said = plain(" ".join(self.summary))
            return [f"{said} {self.links(self.summary_files)}"] if said else []
        if wanted == "warnings":
            found = warnings_of(self.run, list(self.sections))
            return ["\n".join(f"- {plain(notice.text)}" for notice in found)] if found else []
        return self.block_texts(*wanted.split("."))

    def option_lines(self, name: str) -> list[str]:
        """Return the options of a name, or under it."""
        found = [key for key in self.options if key == name or key.startswith(f"{name}.")]
        shown = [key for key in found if self.options[key] not in ("", [], None)]
        if not shown:
            return []
        rows = ", ".join(f"`{key}` = {plain(_value(self.options[key]))}" for key in shown)
        return [f"Options: {rows} {self.links(['config.toml'])}"]

    def file_lines(self, name: str) -> list[str]:
        """Return links to files with their digests."""
        found = [
            (file, sha) for file, sha in sorted(self.run.manifest["files"].items()) if file.startswith(name)
        ]
        rows = [f"- {link(file, self.up + file)}, SHA-256 `{sha}`" for file, sha in found]
        return ["\n".join(rows)] if rows else []

    def block_texts(self, section: str, kind: str) -> list[str]:
        """Return blocks of one kind of a section: the first table or figure, all texts, notices and facts."""
        found = next((one for one in self.sections if one.name == section), None)
        if found is None:
            return []
        blocks = [
            block for block in found.blocks if block.kind == kind.removesuffix("s") or block.kind == kind
        ]
        kept = blocks[:1] if kind in ("table", "figure") else blocks
        return [self._shown(block, _sources(block, found)) for block in kept]

    def _shown(self, block: Block, names: Sequence[str]) -> str:
        """Return a block with the files it comes from: behind a sentence, below a list or a table."""
        between = "\n\n" if block.kind in ("facts", "table") else " "
        return between.join(filter(None, (as_markdown(block, self.up).rstrip("\n"), self.links(names))))

    def links(self, names: Sequence[str]) -> str:
        """Return the files that something comes from, in brackets."""
        return f"({', '.join(link(name, self.up + name) for name in names)})" if names else ""


def _sources(block: Block, section: Section) -> Sequence[str]:
    return getattr(block, "sources", ()) or section.sources


def _value(value: Any) -> str:
    """Return the value of an option, of a path its last part only."""
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return str(value).rstrip("/").rsplit("/", 1)[-1] if str(value).startswith("/") else str(value)


def sealed(text: str) -> str:
    """Return a text with a last line by which a later edit is known."""
    return f"{text}\n{_SEAL}{hashlib.sha256(text.encode()).hexdigest()} -->\n"


def is_as_written(text: str) -> bool:
    """Tell whether a text is one that `sealed` returned.

    Examples
    --------
    >>> is_as_written(sealed("A model card.")), is_as_written(sealed("A model card.").replace("A", "The"))
    (True, False)
    """
    body, seal, _ = text.partition(f"\n{_SEAL}")
    return bool(seal) and text == sealed(body)
