"""Print the package as a tree in which every file says its one idea (`make tree`)."""

import ast
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "trilineage"


def idea(path: Path) -> str:
    """Return the first line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or "(says nothing)"
    return docstring.splitlines()[0]


def lines(folder: Path, indent: str = "") -> list[str]:
    """Return one line for the folder and one for everything below it, files before folders."""
    rows = [f"{indent}{folder.name + '/':<{30 - len(indent)}} {idea(folder / '__init__.py')}"]
    inner = indent + "  "
    for path in sorted(folder.glob("*.py")):
        if path.stem != "__init__":
            rows.append(f"{inner}{path.name:<{30 - len(inner)}} {idea(path)}")
    for path in sorted(folder.iterdir()):
        if (path / "__init__.py").is_file():
            rows.extend(lines(path, inner))
    return rows


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines(SOURCE)) + "\n")
