"""Print the modules a recipe names in its docstring, in order, each with its one idea (`make where RECIPE=rna`)."""

import ast
import re
import sys
from pathlib import Path

from tree import SOURCE, idea


def modules(recipe: str) -> list[Path]:
    """Return the files that the docstring of a recipe names (`data.cohort`, `data/cohort.py`), once each, in order."""
    path = SOURCE / "pipelines" / f"{recipe}.py"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in (SOURCE / "pipelines").glob("[a-z]*.py")))
        raise SystemExit(f"There is no recipe {recipe!r}; there are: {known or 'none'}.")
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    words = re.findall(r"[A-Za-z_][\w./]*\w", docstring)
    found = (_module_path(word) for word in words)
    return list(dict.fromkeys(path for path in found if path is not None))


def _module_path(word: str) -> Path | None:
    """Return the file a word names, or None if it names none; `_rna.fold` is a private part of the recipe."""
    parts = word.removesuffix(".py").replace("/", ".").removeprefix("trilineage.").split(".")
    folder = SOURCE / "pipelines" if parts[0].startswith("_") else SOURCE
    path = folder.joinpath(*parts)
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    return path / "__init__.py" if len(parts) > 1 and (path / "__init__.py").is_file() else None


if __name__ == "__main__":
    for path in modules(sys.argv[1]):
        sys.stdout.write(f"{path.relative_to(SOURCE)!s:<38} {idea(path)}\n")
