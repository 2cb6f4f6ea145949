"""The documentation becomes a website without a warning, every page has its place in it, and nothing is fetched."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TOOLS = ("sphinx", "myst_parser", "furo")

needs_sphinx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in TOOLS),
    reason='Sphinx, MyST and furo are not installed: pip install -e ".[docs]"',
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the website, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    options = ["-W", "--keep-going", "-q", "-b", "html", "-d", f"{folder}/trees"]
    command = [sys.executable, "-m", "sphinx", *options, str(DOCS), f"{folder}/html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def pages() -> list[Path]:
    return sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)


@needs_sphinx
def test_every_page_is_on_the_website(site):
    wanted = {path.relative_to(DOCS).with_suffix(".html") for path in pages()}
    assert wanted <= {path.relative_to(site) for path in site.rglob("*.html")}


@needs_sphinx
def test_the_website_fetches_nothing(site):
    for page in (*site.rglob("*.html"), *site.rglob("*.css")):
        text = page.read_text()
        fetched = re.findall(r'(?:<script[^>]+src|<img[^>]+src|<link[^>]+href)="((?:https?:)?//[^"]+)', text)
        assert fetched + re.findall(r"(?:@import|url\()\W*((?:https?:)?//[^\"')]+)", text) == [], page


@needs_sphinx
def test_a_link_out_of_the_documentation_is_words_on_the_website(site):
    page = (site / "how-to" / "extract-tokens-on-a-cluster.html").read_text()
    assert "examples/snakemake/tokens.smk" in page
    assert 'href="../../examples' not in page


@pytest.mark.parametrize("drawer", ["tutorials", "how-to", "explanation", "reference"])
def test_a_drawer_has_pages(drawer):
    assert list((DOCS / drawer).glob("*.md"))
