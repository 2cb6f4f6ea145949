"""How the pages of this folder become a website (`make site`): Sphinx with MyST and furo, nothing fetched, ever.

The pages stay plain Markdown, readable where the code lies: what only the website needs is added here while it reads.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (DOCS.parent / "src/trilineage/__init__.py").read_text())
DRAWERS = ("tutorials", "how-to", "explanation", "reference")

project = "trilineage"
author = "the authors of trilineage"
release = VERSION.group(1) if VERSION else ""

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a page may begin with a smaller heading after its first one

html_theme = "furo"
html_title = f"trilineage {release}"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "footer_icons": [],
    "announcement": "Research use only; not a medical device.",
}


def setup(app: Sphinx) -> None:
    """Register what is added to the pages."""
    app.connect("source-read", _add_what_the_site_needs)


def _add_what_the_site_needs(app: Sphinx, name: str, source: list[str]) -> None:
    """Give the front page its menu of all pages, and lead links out of the documentation to plain words."""
    source[0] = _without_outer_links(source[0], name)
    if name == "index":
        menus = [
            _menu("", sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "index")),
            *(_menu(drawer, [f"{drawer}/*"]) for drawer in DRAWERS),
        ]
        source[0] += "\n" + "\n".join(menus)


def _menu(drawer: str, pages: list[str]) -> str:
    caption = [f":caption: {drawer.capitalize()}"] if drawer else []
    return "\n".join(["```{toctree}", ":hidden:", ":glob:", *caption, "", *pages, "```", ""])


def _without_outer_links(text: str, name: str) -> str:
    """Return a page whose links to files outside this folder are code: the website does not hold these files."""
    folder = (DOCS / name).parent

    def outer(link: re.Match[str]) -> str:
        target = (folder / link[2].partition("#")[0]).resolve()
        return link[0] if target.is_relative_to(DOCS) else f"`{target.relative_to(DOCS.parent)}`"

    return re.sub(r"\[([^\]]+)\]\((?!https?://|#|mailto:)([^)\s]+)\)", outer, text)
