"""Write docs/reference/python.md: the recipes in full and the parts they are made of, read from the source."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PAGE = ROOT / "docs" / "reference" / "python.md"
NOTICE = "<!-- Written by `make docs` from the code; change the docstrings, not this page. -->"

PARTS = {
    "Results": ("core.artifacts", "core.records", "core.config"),
    "Data": (
        "data.cohort",
        "data.expression.open",
        "data.images.open",
        "data.taxonomy",
        "data.splits",
        "data.simulate.write",
        "data.simulate.smears.write",
    ),
    "Estimators in the manner of scikit-learn": ("estimators",),
    "Models": ("models.encoder", "models.hierarchy", "models.sae.model"),
    "Scores": (
        "evaluation.metrics",
        "evaluation.intervals",
        "evaluation.comparison",
        "evaluation.calibration",
        "evaluation.agreement",
        "evaluation.hierarchy.decoding",
        "evaluation.hierarchy.scores",
        "evaluation.hierarchy.conformal",
    ),
    "Reports": ("report.page", "report.atlas"),
}
"""Modules whose public names are listed, by what they are for; a package stands for the modules in it."""

_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
_LISTS = ("Parameters", "Returns", "Raises", "Attributes")


def page() -> str:
    """Return the text of the page."""
    parts = [
        "# Python",
        NOTICE,
        "Research use only; not a medical device.",
        "Importing `trilineage` loads no torch; a recipe is loaded when it is first named. Commands and functions\n"
        "have the same words: `trilineage rna fit --config F --set a.b=1 --out O` is\n"
        '`trilineage.rna.fit(trilineage.rna.Config.load(F, ["a.b=1"]), O)`. Options: [options](options.md); errors:\n'
        "[errors](errors.md).",
    ]
    for recipe in recipes():
        parts += [f"## `trilineage.{recipe}`", summary(module_tree(f"pipelines.{recipe}"))]
        parts += [entry(f"trilineage.{recipe}", node) for node in exported(f"pipelines.{recipe}")]
    parts.append("## The parts")
    for title, modules in PARTS.items():
        parts += [f"### {title}", "\n".join(["| Name | What |", "|---|---|", *rows(modules)])]
    return "\n\n".join(parts) + "\n"


def recipes() -> tuple[str, ...]:
    """Return the names of the recipes, as the package lists them."""
    for node in module_tree("__init__").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RECIPES":
            return tuple(ast.literal_eval(node.value))
    raise SystemExit("src/trilineage/__init__.py has no RECIPES: mend tools/python_names.py")


def exported(module: str) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Give what a module names in `__all__`, where it was written."""
    tree = module_tree(module)
    places = {
        alias.asname or alias.name: (node.module or "").removeprefix("trilineage.")
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for name in _all(tree):
        place = module_tree(places[name]) if name in places else tree
        yield next(node for node in _public(place) if node.name == name)


def entry(module: str, node: ast.FunctionDef | ast.ClassDef) -> str:
    """Return a function or class in full."""
    return f"### `{module}.{shown(node)}`\n\n{markdown(inspect.cleandoc(ast.get_docstring(node) or ''))}"


def rows(modules: tuple[str, ...]) -> Iterator[str]:
    """Give a line per public name of some modules."""
    for module in modules:
        for name, tree in _modules(module):
            for node in _public(tree):
                yield f"| `trilineage.{name}.{shown(node)}` | {_cell(summary(node))} |"


def shown(node: ast.FunctionDef | ast.ClassDef) -> str:
    """Return a name, and of a function its arguments with their defaults."""
    if isinstance(node, ast.ClassDef):
        return node.name
    arguments = node.args
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        argument.annotation = None
    for argument in filter(None, (arguments.vararg, arguments.kwarg)):
        argument.annotation = None
    return f"{node.name}({ast.unparse(arguments)})"


def summary(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())


def markdown(text: str) -> str:
    r"""Return a docstring as Markdown: headings in bold, what they list as a list.

    Examples
    --------
    >>> print(markdown("Do it.\n\nParameters\n----------\nn\n    How often."))
    Do it.
    <BLANKLINE>
    **Parameters**
    <BLANKLINE>
    - `n`: How often.
    """
    before, *sections = _SECTION.split(text)
    parts = [before.strip()]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title == "Examples":
            parts.append(f"```pycon\n{body.strip()}\n```")
        else:
            parts += [f"**{title}**", _terms(body) if title in _LISTS else " ".join(body.split())]
    return "\n\n".join(part for part in parts if part)


def module_tree(name: str) -> ast.Module:
    """Return the source of a module as a tree."""
    path = SOURCE / "trilineage" / f"{name.replace('.', '/')}.py"
    return ast.parse(path.read_text(), str(path))


def _modules(name: str) -> Iterator[tuple[str, ast.Module]]:
    folder = SOURCE / "trilineage" / name.replace(".", "/")
    if not folder.is_dir():
        yield name, module_tree(name)
        return
    for path in sorted(folder.glob("*.py")):
        if not path.stem.startswith("_"):
            yield f"{name}.{path.stem}", module_tree(f"{name}.{path.stem}")


def _public(tree: ast.Module) -> list[ast.FunctionDef | ast.ClassDef]:
    return [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]


def _all(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _terms(body: str) -> str:
    """Return a section whose terms stand at the margin and whose explanations are indented as a list."""
    lines: list[str] = []
    for line in body.strip().splitlines():
        if line and not line.startswith(" "):
            lines.append(f"- `{line}`")
        elif line.strip():
            lines[-1] += (
                ": " if lines[-1].endswith("`") and lines[-1].count("`") == 2 else " "
            ) + line.strip()
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE}\n")
