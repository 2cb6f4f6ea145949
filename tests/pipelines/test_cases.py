"""The cases recipe: what it reads of the lineages, what it refuses, what it finds, and how new patients are fused."""

import csv
import json

import anndata
import numpy as np
import pandas as pd
import pytest
from lineage_runs import LEAVES, Written, cohort, write_run

from trilineage.core.artifacts import Run
from trilineage.core.errors import (
    ArtifactError,
    CohortError,
    ConfigError,
    FormatError,
    LabelError,
    LeakageError,
)
from trilineage.pipelines import cases
from trilineage.pipelines._cases.evidence import patient_opinions, read_lineages
from trilineage.pipelines._cases.fusing import fuse_lineages
from trilineage.pipelines._cases.store import read_fusion

QUICK = {
    "evaluation.n_bootstrap": 100,
    "evaluation.n_permutations": 99,
    "tree.n_bootstrap": 100,
    "tree.n_permutations": 99,
    "fusion.n_resamples": 50,
}
PATIENTS = cohort()
STRANGER = ("stranger", "MDS", "test")


def settings(**values):
    return cases.Config.load(
        None, QUICK | {key.replace("__", "."): str(value) for key, value in values.items()}
    )


def some(share, patients=PATIENTS):
    """Leave out every so many-th patient."""
    return [row for number, row in enumerate(patients) if number % share]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two lineages that err independently, and one that knows nothing; each misses some patients."""
    folder = tmp_path_factory.mktemp("lineages")
    write_run(folder / "rna", "rna", some(5), skill=2.0, seed=1)
    write_run(folder / "images", "images", [*some(7), STRANGER], skill=2.0, seed=2)
    write_run(folder / "concepts", "concepts", some(3), skill=0.0, seed=3)
    return {name: folder / name for name in ("rna", "images", "concepts")}


@pytest.fixture(scope="module")
def fused(runs, tmp_path_factory):
    return cases.fit(settings(**runs), tmp_path_factory.mktemp("cases") / "run")


def two(tmp_path, first=(), second=(), **config):
    """Write two lineages, one or both in their own way, and return the configuration that fuses them."""
    write_run(tmp_path / "rna", "rna", PATIENTS, **{"seed": 1, **dict(first)})
    write_run(tmp_path / "images", "images", PATIENTS, **{"seed": 2, **dict(second)})
    return settings(rna=tmp_path / "rna", images=tmp_path / "images", **config)


def fuse(config):
    """Fuse without scores and without a Run."""
    return fuse_lineages(read_lineages(config), config)


def weights(run):
    return {row["lineage"]: row["weight"] for row in run.read_json("fusion.json")["lineages"]}


def score(run, subject, metric, population="all"):
    wanted = (subject, metric, population)
    return next(row for row in run.scores() if (row.subject, row.metric, row.population) == wanted)


# ---- what a Run holds -----------------------------------------------------------------------------------------------


def test_a_run_has_every_file(fused):
    wanted = {
        "config.toml",
        "taxonomy.toml",
        "evidence.csv",
        "fusion.json",
        "patients.csv",
        "predictions.npz",
    }
    wanted |= {
        "validation.npz",
        "scores.json",
        "comparisons.json",
        "conformal_scores.json",
        "confusion.json",
        "nodes.json",
    }
    assert set(fused.manifest["files"]) == wanted | {"cases.json"}
    assert fused.is_complete
    assert set(fused.manifest["data"]["runs"]) == {"rna", "images", "concepts"}


def test_evidence_has_a_row_for_each_lineage_that_knows_a_held_out_patient(fused, runs):
    table = fused.read_table("evidence.csv")
    rows = set(zip(table["lineage"], table["patient"], strict=True))
    assert len(rows) == len(table["lineage"])
    for name, path in runs.items():
        split = Run.open(path).read_table("split.csv")
        held_out = {p for p, part in zip(split["patient"], split["part"], strict=True) if part != "train"}
        assert {patient for lineage, patient in rows if lineage == name} == held_out
    sums = np.sum([np.array(table[f"probability: {leaf}"], dtype=float) for leaf in LEAVES], axis=0)
    np.testing.assert_allclose(sums, 1.0)


def test_the_index_of_cases_has_every_test_patient_once_with_a_name_for_files(fused):
    index = fused.read_json("cases.json")
    expected = {name for name, _, part in [*PATIENTS, STRANGER] if part == "test"}
    known = set(fused.read_table("patients.csv")["patient"])
    assert {row["patient"] for row in index} == expected & known
    assert len({row["name"] for row in index}) == len(index)
    one = next(row for row in index if row["patient"] == "p011")
    assert (one["label"], one["node"], one["is_known"]) == ("normal", "normal", True)
    assert one["is_right"] == (one["decision"] == "normal")
    assert set(one["called"]) == set(one["lineages"])


def test_a_diagnosis_outside_the_tree_is_a_case_that_cannot_be_right(fused):
    row = next(row for row in fused.read_json("cases.json") if row["patient"] == "stranger")
    assert (row["label"], row["node"], row["is_known"], row["is_right"]) == ("MDS", "", False, False)
    assert row["lineages"] == ["images"]
    assert row["agreement"] == "one lineage"
    assert any("MDS" in note for note in fused.read_json("fusion.json")["notes"])


def test_lineages_that_part_are_told_by_the_deepest_node_that_they_share(fused):
    rows = fused.read_json("cases.json")
    assert {row["agreement"] for row in rows} == {"agree", "part", "one lineage"}
    for row in rows:
        called = set(row["called"].values())
        assert (row["agreement"] == "part") == (len(called) > 1)
        if called <= {"ALL", "AML", "APML"} and len(called) > 1:
            assert row["parting"] == "acute"
        if called == {"CML", "normal"}:
            assert row["parting"] == "diagnosis"


def test_a_fusion_comes_back_and_says_the_same(fused):
    fusion = read_fusion(fused)
    table = fused.read_table("patients.csv")
    said = {name: Run.open(path) for name, path in fused.config(cases.Config).runs().items()}
    found = fusion.apply({name: patient_opinions(run.predictions()) for name, run in said.items()}, {})
    rows = [table["patient"].index(name) for name in found.aligned.patients]
    written = np.array(table["probability: AML"], dtype=float)[rows]
    np.testing.assert_allclose(found.fused[:, fusion.hearing.tree.leaves.index("AML")], written)


def test_a_finished_run_is_returned_as_it_is_and_changed_runs_are_noticed(tmp_path):
    few = cohort(("ALL", "AML"), ("train",) * 2 + ("valid",) * 2 + ("test",) * 2)
    own = write_run(tmp_path / "own", "images", few, classes=("ALL", "AML"))
    config = settings(images=own.path)
    first = cases.fit(config, tmp_path / "cases")
    assert cases.fit(config, tmp_path / "cases").manifest == first.manifest
    other = write_run(tmp_path / "new", "images", few, classes=("ALL", "AML"), seed=9)
    own.write_bytes("predictions.npz", other.read_bytes("predictions.npz"))
    with pytest.raises(ConfigError, match="content of the data"):
        cases.fit(config, tmp_path / "cases")


# ---- what it finds --------------------------------------------------------------------------------------------------


def test_two_lineages_that_err_independently_are_better_together_and_noise_is_not_heard(fused):
    found = weights(fused)
    assert min(found["rna"], found["images"]) > 0.5
    assert found["concepts"] < 0.3
    assert score(fused, "fused", "log_loss").value < 0.6
    for name in ("rna", "images"):
        gain = next(
            row
            for row in fused.comparisons()
            if (row.second, row.metric, row.population) == (name, "log_loss", "with every lineage")
        )
        assert gain.high < 0


def test_single_lineages_are_scored_on_those_whom_they_know_beside_all_together(fused):
    populations = {
        row.population: {s.subject for s in fused.scores() if s.population == row.population}
        for row in fused.scores()
    }
    assert populations == {
        "all": {"fused", "baseline: class shares"},
        "with every lineage": {"fused", "rna", "images", "concepts"},
        **{f"with {name}": {"fused", name} for name in ("rna", "images", "concepts")},
    }
    assert score(fused, "rna", "accuracy", "with rna").n_patients == sum(
        row["label"] != "MDS" and "rna" in row["lineages"] for row in fused.read_json("cases.json")
    )


def test_where_everyone_has_everything_there_is_one_population(tmp_path):
    run = cases.fit(two(tmp_path), tmp_path / "cases")
    assert {row.population for row in run.scores()} == {"all"}
    assert {row.subject for row in run.scores()} == {"fused", "rna", "images", "baseline: class shares"}


def test_the_best_single_lineage_is_chosen_on_validation_patients(tmp_path):
    assert fuse(two(tmp_path, {"skill": 1.0}, {"skill": 3.0})).best == "images"


def test_test_patients_change_neither_weights_nor_sets(tmp_path):
    first = fuse(two(tmp_path))
    swapped = [(name, LEAVES[0] if part == "test" else label, part) for name, label, part in PATIENTS]
    for kind in ("rna", "images"):
        own = write_run(tmp_path / "other" / kind, kind, swapped, seed=9)
        own.write_bytes("validation.npz", Run.open(tmp_path / kind).read_bytes("validation.npz"))
    second = fuse(settings(rna=tmp_path / "other/rna", images=tmp_path / "other/images"))
    np.testing.assert_array_equal(first.fusion.pool.weights, second.fusion.pool.weights)
    assert first.fusion.conformal == second.fusion.conformal
    assert not np.array_equal(first.test.fused, second.test.fused)


def test_one_lineage_alone_gives_what_it_says_sharpened(tmp_path):
    write_run(tmp_path / "rna", "rna", PATIENTS, seed=1)
    run = cases.fit(settings(rna=tmp_path / "rna"), tmp_path / "cases")
    own, fused = score(run, "rna", "accuracy"), score(run, "fused", "accuracy")
    assert fused.value == pytest.approx(own.value, abs=0.03)
    assert {row["agreement"] for row in run.read_json("cases.json")} == {"one lineage"}


def test_sets_are_calibrated_on_validation_patients_and_scored_on_test_patients(fused):
    fusion = fused.read_json("fusion.json")
    assert fusion["conformal"]["n_patients"] == fusion["patients"]["weighed"]
    coverage = next(row for row in fused.scores("conformal_scores.json") if row.metric == "set_coverage")
    assert coverage.value > 0.75
    assert set(fused.read_table("patients.csv")["set"]) > {"acute"}


def test_too_few_validation_patients_give_no_sets(tmp_path):
    few = cohort(classes=("ALL", "AML"), parts=("train",) * 3 + ("valid",) * 2 + ("test",) * 3)
    write_run(tmp_path / "rna", "rna", few, classes=("ALL", "AML"))
    run = cases.fit(settings(rna=tmp_path / "rna"), tmp_path / "cases")
    assert run.read_json("fusion.json")["conformal"] is None
    assert set(run.read_table("patients.csv")["set"]) == {""}
    assert not run.has("conformal_scores.json") or run.scores("conformal_scores.json") == []


# ---- classes as nodes of one tree -----------------------------------------------------------------------------------


def test_a_lineage_may_know_coarser_classes_or_fewer(tmp_path):
    coarse = ("normal", "reactive", "leukemia")
    labels = [(name, label if label in coarse else "leukemia", part) for name, label, part in PATIENTS]
    write_run(tmp_path / "rna", "rna", labels, classes=coarse, skill=3.0)
    write_run(tmp_path / "images", "images", PATIENTS, seed=2)
    run = cases.fit(settings(rna=tmp_path / "rna", images=tmp_path / "images"), tmp_path / "cases")
    rows = {row["lineage"]: row for row in run.read_json("fusion.json")["lineages"]}
    assert rows["rna"]["nodes"] == ["normal", "reactive", "leukemia"]
    assert run.read_json("fusion.json")["classes"] == list(LEAVES)
    assert {row["node"] for row in run.read_json("cases.json")} == set(LEAVES)
    agreed = [
        row for row in run.read_json("cases.json") if row["called"] == {"rna": "leukemia", "images": "AML"}
    ]
    assert {row["agreement"] for row in agreed} == {"agree"}


def test_names_are_translated_by_synonyms_and_case_does_not_count(tmp_path):
    names = dict(zip(LEAVES, ("Healthy", "REACTIVE", "B-ALL", "aml", "APL", "cll", "cml"), strict=True))
    labels = [(name, names[label], part) for name, label, part in PATIENTS]
    plain = fuse(two(tmp_path))
    write_run(tmp_path / "other", "images", labels, classes=tuple(names.values()), seed=2)
    translated = fuse(settings(rna=tmp_path / "rna", images=tmp_path / "other"))
    np.testing.assert_array_equal(plain.test.fused, translated.test.fused)


def test_a_class_that_is_no_node_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(LabelError, match="'CMLL' is no node"):
        fuse(two(tmp_path, second={"classes": (*LEAVES[:-1], "CMLL")}))


def test_classes_of_one_lineage_that_hold_each_other_are_refused(tmp_path):
    with pytest.raises(CohortError, match="overlap"):
        fuse(two(tmp_path, second={"classes": ("normal", "reactive", "leukemia", "AML")}))


def test_a_lineage_trained_without_class_weights_has_the_shares_of_its_training_as_prior(tmp_path):
    uneven = [
        *PATIENTS,
        *(
            ("more" + name, label, part)
            for name, label, part in PATIENTS
            if label == "AML" and part == "train"
        ),
    ]
    write_run(tmp_path / "rna", "rna", uneven, config=Written(weighting="none"))
    config = settings(rna=tmp_path / "rna")
    (lineage,), found = read_lineages(config), fuse(config)
    assert lineage.is_balanced is False
    expected = np.where(np.array(LEAVES) == "AML", 10.5, 5.5)
    np.testing.assert_allclose(found.fusion.hearing.voices[0].prior, expected / expected.sum())
    np.testing.assert_allclose(found.fusion.pool.prior, expected / expected.sum())


def test_equal_priors_can_be_asked_for(tmp_path):
    found = fuse(two(tmp_path, fusion__prior="equal"))
    np.testing.assert_allclose(found.fusion.pool.prior, 1 / 7)


# ---- what it refuses ------------------------------------------------------------------------------------------------


def test_no_run_at_all_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no lineage to combine"):
        cases.fit(settings(), tmp_path / "cases")


def test_a_patient_who_trains_here_and_tests_there_is_refused(tmp_path):
    moved = [(name, label, "test" if name == "p000" else part) for name, label, part in PATIENTS]
    write_run(tmp_path / "rna", "rna", PATIENTS)
    write_run(tmp_path / "images", "images", moved)
    with pytest.raises(LeakageError, match=r"p000 \(train in rna, test in images\)"):
        cases.fit(settings(rna=tmp_path / "rna", images=tmp_path / "images"), tmp_path / "cases")
    assert not (tmp_path / "cases").exists()


def test_a_patient_who_validates_here_and_trains_there_is_heard_by_the_first_alone(tmp_path):
    moved = [(name, label, "train" if name == "p005" else part) for name, label, part in PATIENTS]
    write_run(tmp_path / "rna", "rna", PATIENTS, seed=1)
    write_run(tmp_path / "images", "images", moved, seed=2)
    found = fuse(settings(rna=tmp_path / "rna", images=tmp_path / "images"))
    row = found.valid.aligned.patients.tolist().index("p005")
    assert found.valid.aligned.has[:, row].tolist() == [True, False]
    assert any("p005" in note for note in found.notes)


def test_a_patient_with_another_diagnosis_there_is_refused(tmp_path):
    other = [(name, "CML" if name == "p000" else label, part) for name, label, part in PATIENTS]
    write_run(tmp_path / "rna", "rna", PATIENTS)
    write_run(tmp_path / "images", "images", other)
    with pytest.raises(LeakageError, match="diagnoses that exclude each other"):
        cases.fit(settings(rna=tmp_path / "rna", images=tmp_path / "images"), tmp_path / "cases")


def test_a_patient_who_plays_two_parts_in_one_run_is_refused(tmp_path):
    write_run(tmp_path / "rna", "rna", [*PATIENTS, ("p000", "normal", "test")])
    with pytest.raises(LeakageError, match="plays two parts"):
        cases.fit(settings(rna=tmp_path / "rna"), tmp_path / "cases")


def test_a_cross_validated_run_is_refused(tmp_path):
    run = write_run(tmp_path / "rna", "rna", PATIENTS)
    table = run.read_table("split.csv")
    table["fold"][0] = "fold 2"
    run.write_table("split.csv", table)
    with pytest.raises(ConfigError, match="every part in turn"):
        cases.fit(settings(rna=tmp_path / "rna"), tmp_path / "cases")


def test_an_unfinished_run_is_refused(tmp_path):
    write_run(tmp_path / "rna", "rna", PATIENTS, finish=False)
    with pytest.raises(ArtifactError, match="not finished"):
        cases.fit(settings(rna=tmp_path / "rna"), tmp_path / "cases")


def test_a_run_of_another_kind_is_refused(tmp_path):
    write_run(tmp_path / "rna", "images", PATIENTS)
    with pytest.raises(ArtifactError, match="another kind"):
        cases.fit(settings(rna=tmp_path / "rna"), tmp_path / "cases")


@pytest.mark.parametrize("kind", ["rna", "concepts"])
def test_a_run_without_validation_patients_is_refused_with_what_to_do(tmp_path, kind):
    nobody = [(name, label, part) for name, label, part in PATIENTS if part != "valid"]
    write_run(tmp_path / kind, kind, nobody)
    with pytest.raises(ArtifactError, match=r"no validation\.npz.*Fit it again"):
        cases.fit(settings(**{kind: tmp_path / kind}), tmp_path / "cases")


def test_validation_patients_without_a_label_cannot_weigh(tmp_path):
    unknown = [(name, "" if part == "valid" else label, part) for name, label, part in PATIENTS]
    write_run(tmp_path / "rna", "rna", unknown)
    with pytest.raises(CohortError, match="no labelled patient"):
        cases.fit(settings(rna=tmp_path / "rna"), tmp_path / "cases")


# ---- new patients ---------------------------------------------------------------------------------------------------


def diagnosed(path, names, p, *, digest, classes=LEAVES):
    """Write what `rna predict` writes of patients."""
    table = pd.DataFrame({"patient": names, "n_samples": 1, "predicted": "AML"})
    for leaf, column in zip(classes, np.asarray(p).T, strict=True):
        table[f"probability: {leaf}"] = column
    adata = anndata.AnnData(X=np.zeros((len(names), 1), np.float32), obs=pd.DataFrame(index=names))
    adata.uns["trilineage"] = {"patients": table, "run_config_sha256": digest, "classes": np.array(classes)}
    adata.write_h5ad(path)
    return path


def looked_at(folder, names, p, *, digest, classes=LEAVES):
    """Write what `images predict` writes, two images of each patient."""
    folder.mkdir()
    (folder / "about.json").write_text(json.dumps({"run_config_sha256": digest}))
    with open(folder / "predictions.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "patient", "predicted", *(f"probability: {leaf}" for leaf in classes)])
        writer.writerows(
            [f"{n} {i}", n, "AML", *row] for n, row in zip(names, p, strict=True) for i in range(2)
        )
    return folder


def digest_of(run, name):
    return next(
        row["config_sha256"] for row in run.read_json("fusion.json")["lineages"] if row["lineage"] == name
    )


def test_new_patients_are_fused_by_those_lineages_that_know_them(fused, tmp_path):
    aml, unsure = np.where(np.array(LEAVES) == "AML", 0.7, 0.05), np.full(7, 1 / 7)
    rna = diagnosed(tmp_path / "new.h5ad", ["a", "b"], [aml, unsure], digest=digest_of(fused, "rna"))
    images = looked_at(tmp_path / "new", ["b", "c"], [aml, unsure], digest=digest_of(fused, "images"))
    found = cases.predict(fused, rna=rna, images=images, out=tmp_path / "out")
    rows = dict(zip(found.patients["patient"], zip(*found.patients.values(), strict=True), strict=True))
    assert found.patients["lineages"] == ["rna", "rna images", "images"]
    assert found.patients["decision"][:2] == ["AML", "AML"]
    own, prior = weights(fused), np.array(fused.read_json("fusion.json")["prior"])
    expected = prior * aml ** own["rna"]
    np.testing.assert_allclose(rows["a"][-7:], expected / expected.sum(), rtol=1e-6)
    np.testing.assert_allclose(rows["c"][-7:], prior, rtol=1e-6)
    assert "label" not in found.patients
    assert {path.name for path in found.path.iterdir()} == {"patients.csv", "evidence.csv", "about.json"}


def test_predictions_of_another_run_are_refused(fused, tmp_path):
    images = looked_at(tmp_path / "new", ["a"], [np.full(7, 1 / 7)], digest="0" * 64)
    with pytest.raises(ArtifactError, match="another Run than the one that was fused"):
        cases.predict(fused, images=images, out=tmp_path / "out")


def test_nothing_to_fuse_is_refused(fused, tmp_path):
    with pytest.raises(ConfigError, match="nothing to fuse"):
        cases.predict(fused, out=tmp_path / "out")


def test_a_lineage_that_was_not_fused_is_refused(tmp_path):
    write_run(tmp_path / "rna", "rna", PATIENTS)
    run = cases.fit(settings(rna=tmp_path / "rna"), tmp_path / "cases")
    with pytest.raises(ArtifactError, match="was made without images"):
        cases.predict(run, images=tmp_path, out=tmp_path / "out")


@pytest.mark.parametrize(
    ("classes", "value", "message"),
    [
        (LEAVES[:-1], 0.1, "has no column 'probability: CML'"),
        (LEAVES, -0.1, "probabilities of images that are none"),
        (LEAVES, "x", "no number"),
    ],
)
def test_tables_that_are_not_of_that_predict_are_refused(fused, tmp_path, classes, value, message):
    images = looked_at(tmp_path / "new", ["a"], [[value] * len(classes)], digest="", classes=classes)
    with pytest.raises(FormatError, match=message):
        cases.predict(fused, images=images, out=tmp_path / "out")


def test_a_folder_or_file_of_something_else_is_refused(fused, tmp_path):
    with pytest.raises(FormatError, match="not what a `predict` writes"):
        cases.predict(fused, images=tmp_path, out=tmp_path / "out")
    plain = anndata.AnnData(X=np.zeros((1, 1), np.float32))
    plain.write_h5ad(tmp_path / "plain.h5ad")
    with pytest.raises(FormatError, match="no diagnoses of patients"):
        cases.predict(fused, rna=tmp_path / "plain.h5ad", out=tmp_path / "out")


def test_an_unfinished_fusion_predicts_nothing(fused, tmp_path):
    run = Run.create(tmp_path / "run", kind="cases", config=settings(), seed=0)
    with pytest.raises(ArtifactError, match="not finished"):
        cases.predict(run, rna=tmp_path / "x.h5ad", out=tmp_path / "out")
