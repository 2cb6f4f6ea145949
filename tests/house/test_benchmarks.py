"""The page of benchmarks says what the results say, and says so where a result has changed its form."""

import hashlib
import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def module_at(path: Path):
    spec = importlib.util.spec_from_file_location(f"trilineage_{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tool():
    """Return tools/benchmarks.py, which writes the page."""
    return module_at(ROOT / "tools" / "benchmarks.py")


@pytest.fixture
def results(tool, tmp_path, monkeypatch):
    """Return a folder with one small result, and let the tool read it."""
    table = "| Who | s | x | x |\n|---|---|---|---|\n| ours, b | 1 | 2.5 | 1,200 |"
    (tmp_path / "speed.md").write_text(f"# Speed\n\n2 threads.\n\n{table}\n\nIt is 7 MB.\n")
    monkeypatch.setattr(tool, "RESULTS", tmp_path)
    return tmp_path


def test_the_page_is_what_the_results_say(tool):
    assert (ROOT / "docs" / "benchmarks.md").read_text() == tool.page(), "write it again with: make docs"


def test_every_result_is_on_the_page_whole(tool):
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    for path in tool.RESULTS.glob("*.md"):
        rows = [line for line in path.read_text().splitlines() if line.startswith("|")]
        assert rows
        assert set(rows) <= set(page.splitlines())


def test_every_figure_of_the_page_stands_in_the_result_it_names(tool):
    for row in [*map(tool.ratio_row, tool.RATIOS), *map(tool.amount_row, tool.AMOUNTS)]:
        name = re.match(r"\[(\w+)\]", row[-1])[1]
        text = (tool.RESULTS / f"{name}.md").read_text()
        for cell in filter(None, row[2:4] if len(row) == 7 else [row[1].split()[0]]):
            assert cell in text, row


@pytest.mark.parametrize(
    ("place", "figure"),
    [
        ({"row": "ours", "column": "x"}, "2.5"),
        ({"row": "ours", "column": "x#2"}, "1,200"),
        ({"row": "ours", "column": "#2"}, "1"),
        ({"sentence": r"It is (\d+) MB"}, "7"),
    ],
)
def test_a_figure_is_read_from_its_place(tool, results, place, figure):
    assert tool.figure("speed", tool.Place(**place)) == figure


@pytest.mark.parametrize("place", [{"row": "theirs", "column": "x"}, {"sentence": r"It is (\d+) GB"}])
def test_a_result_that_has_changed_its_form_is_named(tool, results, place):
    with pytest.raises(SystemExit, match="speed.md has no"):
        tool.figure("speed", tool.Place(**place))


@pytest.mark.parametrize(("clock", "processor", "met"), [(3, 2, "yes"), (3, 1, "in part"), (1, 1, "**no**")])
def test_a_goal_is_met_where_both_ratios_reach_it(tool, clock, processor, met):
    assert tool._met(tool.Goal(2.0), [clock, processor]) == met


def test_the_machine_is_told_only_of_the_table_that_was_made_on_it(tool, results):
    about = {"processor": "Abacus", "cores": 2, "memory_gb": 4, "made": "2026-01-01"}
    about["table_sha256"] = hashlib.sha256((results / "speed.md").read_bytes()).hexdigest()
    (results / "speed.json").write_text(json.dumps(about))
    assert "Abacus, 2 cores" in tool.machine("speed")
    (results / "speed.md").write_text("# Made again elsewhere\n")
    assert "Abacus" not in tool.machine("speed")


def test_a_benchmark_keeps_its_machine_beside_its_table(results, monkeypatch):
    run = module_at(ROOT / "benchmarks" / "run.py")
    monkeypatch.setattr(run, "RESULTS", results)
    run.keep_machine("speed", 12.3)
    about = json.loads((results / "speed.json").read_text())
    assert about["table_sha256"] == hashlib.sha256((results / "speed.md").read_bytes()).hexdigest()
    assert (about["took_s"], about["libraries"]["torch"] is not None) == (12, True)
