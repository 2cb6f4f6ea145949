"""Runs beside each other: the page, its JSON twin, and what cannot be compared."""

import json
import re

import numpy as np
import pytest

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.core.errors import ArtifactError, ConfigError
from trilineage.core.records import Prediction
from trilineage.evaluation.settings import EvaluationSettings
from trilineage.report.compare import KIND, names_of, write_comparison

FAST = EvaluationSettings(n_bootstrap=100, n_permutations=99)


class TwoOptions(Settings):
    """Stands for the configuration of a recipe."""

    hidden: int = 8
    """One option."""
    seed: int = 0
    """Another."""


def write_run(path, *, strength, n_patients=10, hidden=8):
    """Write a Run whose model is right the more often the stronger it is."""
    rng = np.random.default_rng(n_patients)
    run = Run.create(
        path, kind="rna", config=TwoOptions(hidden=hidden), seed=0, data={"sha256": "ab", "path": "x/m.h5ad"}
    )
    labels = np.arange(n_patients) % 2
    logits = rng.normal(size=(n_patients, 2))
    logits[np.arange(n_patients), labels] += strength
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = np.array([f"p{number}" for number in range(n_patients)])
    run.write_predictions(Prediction(names, names, ("healthy", "AML"), shares, labels))
    run.finish()
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    write_run(folder / "runs" / "strong", strength=3.0)
    write_run(folder / "runs" / "weak", strength=0.5, hidden=16)
    Run.create(folder / "runs" / "bare <b>", kind="concepts.compare", config=TwoOptions(), seed=0)
    write_comparison(
        [folder / "runs" / name for name in ("strong", "weak", "bare <b>")], folder / "c.html", settings=FAST
    )
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "c.html").read_text()


@pytest.fixture(scope="module")
def twin(folder):
    return json.loads((folder / "c.json").read_text())


def test_the_twin_says_which_pairs_were_compared_and_why_others_were_not(twin):
    assert twin["kind"] == KIND
    pairs = {(pair["first"], pair["second"]): pair for pair in twin["pairs"]}
    assert pairs["strong", "weak"]["is_paired"]
    assert pairs["strong", "weak"]["n_patients"] == 10
    assert not pairs["weak", "bare <b>"]["is_paired"]
    assert pairs["weak", "bare <b>"]["note"] == "bare <b> keeps no predictions of patients."


def test_the_twin_holds_every_score_with_its_interval(twin):
    found = {score["subject"]: score for score in twin["scores"] if score["metric"] == "balanced_accuracy"}
    assert found.keys() == {"strong", "weak"}
    assert all(score["low"] <= score["value"] <= score["high"] for score in found.values())


def test_the_page_shows_the_difference_and_the_option_that_differs(page):
    assert "strong − weak" in page
    assert re.search(r'<th scope="row">hidden</th>\s*<td>8</td>\s*<td>16</td>', page)
    assert '<th scope="row">seed</th>' not in page


def test_what_cannot_be_compared_is_read_before_use(page):
    doubts = page[page.index("Read before use") :][:2000]
    assert "weak and bare &lt;b&gt; cannot be compared." in doubts
    assert "Not finished: bare &lt;b&gt;." in doubts


def test_every_way_out_of_the_page_leads_to_a_file_that_is_there(folder, page):
    from urllib.parse import unquote

    ways = {way for way in re.findall(r'href="([^"]+)"', page) if not way.startswith("#")}
    assert "runs/strong/predictions.npz" in ways
    assert all((folder / unquote(way)).is_file() for way in ways)


def test_the_same_runs_give_the_same_bytes(folder, page):
    runs = [folder / "runs" / name for name in ("strong", "weak", "bare <b>")]
    assert write_comparison(runs, folder / "c.html", settings=FAST).read_text() == page


def test_runs_of_the_same_name_are_told_apart_by_the_folder_above(tmp_path):
    assert names_of([tmp_path / "a" / "run", tmp_path / "b" / "run"]) == ["a/run", "b/run"]


@pytest.mark.parametrize("names", [["strong"], [], ["strong", "strong"]])
def test_fewer_than_two_different_runs_are_refused(folder, names):
    with pytest.raises(ConfigError, match="different Runs"):
        write_comparison([folder / "runs" / name for name in names], folder / "d.html")


def test_a_folder_that_is_no_run_is_refused(folder):
    with pytest.raises(ArtifactError):
        write_comparison([folder / "runs" / "strong", folder], folder / "d.html")


def test_a_page_that_would_take_the_place_of_its_twin_is_refused(folder):
    with pytest.raises(ConfigError, match="ends with .html"):
        write_comparison([folder / "runs" / "strong", folder / "runs" / "weak"], folder / "d.json")
