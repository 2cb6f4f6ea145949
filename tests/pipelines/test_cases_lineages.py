"""Runs and predictions of the real recipes are fused: images and concepts of the same patients, expression alone."""

import csv

import pytest

from trilineage.pipelines import cases, concepts, images, rna

QUICK = {
    "evaluation.n_bootstrap": 100,
    "evaluation.n_permutations": 99,
    "tree.n_bootstrap": 100,
    "tree.n_permutations": 99,
    "fusion.n_resamples": 50,
}


@pytest.fixture(scope="module")
def together(seeing, fitted_concepts, tmp_path_factory):
    """Images and concepts of the drawn cells."""
    config = cases.Config.load(
        None, QUICK | {"images": str(seeing.path), "concepts": str(fitted_concepts.path)}
    )
    return cases.fit(config, tmp_path_factory.mktemp("cases") / "together")


def test_images_and_concepts_of_the_same_patients_are_fused(together, seeing):
    split = seeing.read_table("split.csv")
    tested = {name for name, part in zip(split["patient"], split["part"], strict=True) if part == "test"}
    rows = together.read_json("cases.json")
    assert tested
    assert {row["patient"] for row in rows} == tested
    assert all(row["lineages"] == ["images", "concepts"] for row in rows)
    weights = [row["weight"] for row in together.read_json("fusion.json")["lineages"]]
    assert min(weights) >= 0
    assert max(weights) > 0.2


def test_new_patients_of_both_are_fused(together, seeing, fitted_concepts, newcomers, tmp_path):
    images.predict(seeing, newcomers / "manifest.csv", out=tmp_path / "images", device="cpu")
    concepts.predict(fitted_concepts, newcomers / "manifest.csv", out=tmp_path / "concepts", device="cpu")
    given = {"images": tmp_path / "images", "concepts": tmp_path / "concepts"}
    found = cases.predict(together, **given, out=tmp_path / "out")
    assert found.patients["lineages"] == ["images concepts"] * 6
    assert set(found.patients["decision"]) <= set(together.read_json("fusion.json")["classes"])
    about = (tmp_path / "out" / "about.json").read_text()
    assert str(together.path.resolve()) in about


def test_expression_alone_is_fused_and_predicted(fitted, blood, tmp_path):
    config = cases.Config.load(None, QUICK | {"rna": str(fitted.path)})
    run = cases.fit(config, tmp_path / "cases")
    rna.predict(fitted, blood, out=tmp_path / "said.h5ad", device="cpu")
    found = cases.predict(run, rna=tmp_path / "said.h5ad", out=tmp_path / "out")
    assert len(found.patients["patient"]) == 18
    said = rna.predict(fitted, blood, device="cpu").patients
    evidence = {}
    with open(tmp_path / "out" / "evidence.csv", newline="") as stream:
        for row in csv.DictReader(stream):
            evidence[row["patient"]] = float(row["probability: AML"])
    expected = dict(zip(said["patient"], said["probability: AML"], strict=True))
    assert evidence == pytest.approx(expected, abs=2e-3)  # raised to the floor
