"""A review that hides what is a concept: sheets and pictures for people, the key with the Run, their answers read."""

import csv
import json
import shutil

import pytest
from PIL import Image
from typer.testing import CliRunner

from trilineage.cli.main import app
from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError, ConfigError
from trilineage.pipelines import concepts


@pytest.fixture(scope="module")
def asked(fitted_concepts, tmp_path_factory):
    """A copy of the Run with a review of three concepts and two controls, and the folder of the reviewers."""
    folder = tmp_path_factory.mktemp("review")
    run = Run.open(shutil.copytree(fitted_concepts.path, folder / "run"))
    sheet = concepts.export_review(run, folder / "out", n_concepts=3, n_controls=2)
    return run, folder / "out", sheet


def filled(asked, path, says):
    """Fill the sheet in: `says` maps whether an item is a concept to yes or no."""
    _, out, sheet = asked
    kinds = dict(zip(sheet.items, (sheet.latents >= 0).tolist(), strict=True))
    with open(out / "sheet.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(row | {"is_concept": says(kinds[row["item"]])} for row in rows)
    return path


def height_of(path):
    with Image.open(path) as picture:
        return picture.height


def test_reviewers_get_a_picture_of_every_item_and_nothing_that_tells_them_apart(asked):
    run, out, sheet = asked
    assert len(sheet.items) == 5
    assert {path.stem for path in (out / "items").iterdir()} == set(sheet.items)
    assert len({height_of(path) for path in (out / "items").iterdir()}) == 1
    assert {path.name for path in out.iterdir()} == {"sheet.csv", "items"}
    assert run.read_json("review/key.json")["items"].keys() == set(sheet.items)


def test_answers_are_scored_beside_the_controls_and_kept_in_the_run(asked, tmp_path):
    run, *_ = asked
    sheets = [
        filled(asked, tmp_path / "dr_a.csv", lambda is_concept: "yes" if is_concept else "no"),
        filled(asked, tmp_path / "dr_b.csv", lambda is_concept: "yes"),
    ]
    review = concepts.read_review(run, sheets)
    shares = {(score.subject, score.metric): score.value for score in review.confirmed}
    assert shares[("dr_a", "confirmed_controls")] == 0.0
    assert shares[("dr_b", "confirmed_controls")] == 1.0
    assert review.p_values["dr_a"] < review.p_values["dr_b"] == 1.0
    kept = Run.open(run.path)
    assert len(kept.read_json("review/review.json")["votes"]) == 3
    assert {score.subject for score in kept.scores("review/scores.json")} >= {"dr_a", "dr_b"}


def test_the_commands_do_the_same(asked, tmp_path):
    run, *_ = asked
    sheet = filled(asked, tmp_path / "dr_c.csv", lambda is_concept: "yes")
    result = CliRunner().invoke(app, ["concepts", "review", "read", str(run.path), str(sheet), "--json"])
    assert json.loads(result.stdout)["p_values"] == {"dr_c": 1.0}
    words = ["concepts", "review", "export", str(run.path), "--out", str(tmp_path / "o"), "--concepts", "2"]
    assert CliRunner().invoke(app, words).exit_code == 2
    found = CliRunner().invoke(app, [*words, "--controls", "1", "--overwrite"])
    assert "3 items" in found.stdout


def test_two_sheets_of_one_name_are_refused(asked, tmp_path):
    with pytest.raises(ConfigError, match="same name"):
        concepts.read_review(asked[0], [tmp_path / "a" / "x.csv", tmp_path / "b" / "x.csv"])


def test_a_run_without_a_review_says_so(fitted_concepts, tmp_path):
    with pytest.raises(ArtifactError, match=r"review/key\.json"):
        concepts.read_review(fitted_concepts, [tmp_path / "x.csv"])
