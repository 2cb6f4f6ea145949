"""Gates: no format that can execute code, no machine's own paths, no registry of packages."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT_SUFFIXES = {
    ".py",
    ".toml",
    ".md",
    ".txt",
    ".csv",
    ".json",
    ".yaml",
    ".yml",
    ".html",
    ".css",
    ".js",
    ".svg",
    "",
}
ARCHIVES = ROOT / "tests" / "core" / "archives"

PICKLES = {
    "torch.load": r"\btorch\.load\((?!.*\bweights_only=True)",
    "torch.save": r"\btorch\.save\(",
    "allow_pickle": r"allow_pickle\s*=\s*True",
    "pickle": r"^\s*(import|from)\s+(c?[pP]ickle|dill|cloudpickle|marshal|shelve|joblib)\b",
    "read_pickle": r"\b(read|to)_pickle\(",
    "eval": r"(?<![\w.])(eval|exec)\(",
    "unsafe yaml": r"\byaml\.(unsafe_)?load\(",
}
MACHINE_PATHS = re.compile(r"(?<![\w.:/~$}-])/(?:home|work|root|tmp|mnt|Users|scratch)/[\w.-]+")
REGISTRIES = re.compile(
    r"https?://[\w.-]*(?:pypi|pythonhosted|anaconda|conda|download\.pytorch|jfrog|artifactory)[\w.-]*|--(?:extra-)?index-url"
    r"|--find-links"
)


def tracked_files() -> list[Path]:
    """Return the text files git knows, new ones included and ignored ones left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip("not a git working copy")
    paths = (ROOT / name for name in found.stdout.splitlines())
    return [
        path for path in paths if path.is_file() and path.suffix in TEXT_SUFFIXES and path != Path(__file__)
    ]


def lines_matching(paths: list[Path], pattern: str | re.Pattern[str]) -> list[str]:
    """Return `file:line: text` for every line that matches."""
    expression = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in paths
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if expression.search(line)
    ]


def test_there_are_files_to_check():
    assert len(tracked_files()) > 50


@pytest.mark.parametrize("name", PICKLES)
def test_nothing_that_ships_can_unpickle_or_evaluate(name):
    shipped = [path for folder in ("src", "tools", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert lines_matching(shipped, PICKLES[name]) == []


@pytest.mark.parametrize(
    "line", ["torch.load(path)", "import pickle", "from joblib import load", "eval(text)"]
)
def test_the_gate_sees_what_it_must(line):
    assert any(re.search(pattern, line) for pattern in PICKLES.values())


def test_no_file_names_a_path_of_somebodys_machine():
    assert lines_matching(tracked_files(), MACHINE_PATHS) == []


def test_no_file_names_a_registry_of_packages():
    assert lines_matching(tracked_files(), REGISTRIES) == []


def test_every_pin_is_exact_and_every_requirement_is_pinned():
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[\w.]+", pin)] == []
    pinned = {normal(pin.partition("==")[0]) for pin in pins}
    required = re.findall(r'^  "([\w.-]+)>=', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert {normal(name) for name in required} - pinned == set()


def normal(name: str) -> str:
    """Return a package name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
