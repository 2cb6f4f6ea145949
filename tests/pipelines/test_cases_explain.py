"""Cases gather what the Runs of the lineages show of each test patient, and name what they do not show."""

import io

import numpy as np
import pytest
from lineage_runs import Written, cohort, write_run
from PIL import Image

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError
from trilineage.pipelines import cases
from trilineage.pipelines._cases.concept_evidence import atlas_row
from trilineage.pipelines._cases.sentences import agreement_sentence
from trilineage.pipelines._cases.store import KIND
from trilineage.report.case import render_case

CLASSES = ("normal", "ALL", "AML")
GENES = ("attribution", "expression", "training_mean", "training_deviation", "class_mean")


def png(colour, size=(8, 4)):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def patients():
    return cohort(CLASSES, ("train",) * 2 + ("valid",) * 4 + ("test",) * 2)


@pytest.fixture(scope="module")
def runs(patients, tmp_path_factory):
    """Expression of all patients, explained; images of every second one, explained; concepts of all, not explained."""
    folder = tmp_path_factory.mktemp("runs")
    rna = write_run(folder / "rna", "rna", patients, classes=CLASSES, seed=1)
    images = write_run(folder / "images", "images", patients[::2], classes=CLASSES, seed=2)
    concepts = write_run(folder / "concepts", "concepts", patients, classes=CLASSES, seed=3)
    tested = [name for name, _, part in patients if part == "test"]
    write_genes(rna, tested)
    write_cells(images, [name for name, _, part in patients[::2] if part == "test"])
    return {"rna": rna, "images": images, "concepts": concepts}


def write_genes(run, patients):
    rows = [(name, side, sign) for name in patients for side, sign in (("for", 1.0), ("against", -1.0))]
    table = {
        "patient": [row[0] for row in rows],
        "decision": ["AML"] * len(rows),
        "n_samples": [3] * len(rows),
    }
    table |= {
        "speaks": [row[1] for row in rows],
        "gene": ["ENSG1"] * len(rows),
        "symbol": ["MPO"] * len(rows),
    }
    run.write_table(
        "explain/patient_genes.csv", {**table, **{key: [row[2] for row in rows] for key in GENES}}
    )
    names = [*patients, *(f"v{number}" for number in range(40))]
    unlike = {
        "patient": names,
        "part": ["test"] * len(patients) + ["valid"] * 40,
        "split": ["holdout"] * len(names),
    }
    numbers = {
        "n_samples": [3] * len(names),
        "distance": [2.0] * len(names),
        "percentile": [97.5] * len(names),
    }
    run.write_table("unlike_training.csv", {**unlike, **numbers})


def write_cells(run, patients):
    run.write_bytes("explain/patients/00000.png", png("red"))
    table = {"patient": patients, "decision": ["AML"] * len(patients), "node": ["AML"] * len(patients)}
    table |= {"image": ["a.png"] * len(patients), "picture": ["explain/patients/00000.png"] * len(patients)}
    table |= {"speaks": ["for"] * len(patients), "called": ["AML"] * len(patients)}
    numbers = {"probability": 0.9, "patient_probability": 0.8, "influence": None}
    run.write_table(
        "explain/patients.csv", {**table, **{key: [value] * len(patients) for key, value in numbers.items()}}
    )


@pytest.fixture(scope="module")
def explained(runs, tmp_path_factory):
    config = cases.Config(
        **{name: str(run.path) for name, run in runs.items()},
        evaluation={"n_bootstrap": 100, "n_permutations": 99, "n_nulls": 0},
        tree={"n_bootstrap": 100, "n_permutations": 99},
        fusion={"n_resamples": 50},
    )
    run = cases.fit(config, tmp_path_factory.mktemp("cases") / "run")
    return cases.explain(run)


def read(run, row):
    return run.read_json(f"cases/{run.read_json('cases.json')[row]['name']}.json")


def test_every_test_patient_has_a_case_with_the_decision_of_the_run(explained, patients):
    listed, table = explained.read_json("cases.json"), explained.read_table("patients.csv")
    assert len(listed) == sum(part == "test" for _, _, part in patients)
    decided = dict(zip(table["patient"], table["decision"], strict=True))
    for row in listed:
        case = explained.read_json(f"cases/{row['name']}.json")
        assert case["decision"]["node"] == decided[case["patient"]]
        fused = {node["node"]: node["probability"]["fused"] for node in case["tree"]}
        assert fused[case["tree"][0]["node"]] == pytest.approx(1.0)
        assert case["decision"]["probability"] == pytest.approx(row["probability"])
        assert set(case["weights"]) == {"rna", "images", "concepts"}


def test_the_probability_of_a_node_is_that_of_the_leaves_below_it(explained):
    rows = read(explained, 0)["tree"]
    for node in rows:
        children = [one for one in rows if node["node"] in one["parents"]]
        for voice, value in node["probability"].items():
            if children:
                assert value == pytest.approx(sum(one["probability"][voice] for one in children))


def test_a_patient_without_images_says_so_and_has_neither_cells_nor_opinion(explained):
    case = next(read(explained, row) for row in range(6) if "images" not in read(explained, row)["lineages"])
    assert case["evidence"]["images"] == {"note": "this patient has no data of this kind"}
    assert "images" not in case["tree"][0]["probability"]
    assert {one["lineage"] for one in case["unseen"]} == {"rna"}


def test_what_a_run_was_not_asked_for_is_named_with_the_command(explained):
    note = read(explained, 0)["evidence"]["concepts"]["note"]
    assert "trilineage concepts explain RUN --per-patient" in note


def test_pictures_are_copied_and_files_lead_to_the_runs(explained, runs):
    case = next(read(explained, row) for row in range(6) if "images" in read(explained, row)["lineages"])
    assert explained.read_bytes(case["evidence"]["images"]["cells"][0]["picture"]) == png("red")
    for name, folder in case["made"]["folders"].items():
        assert (explained.path / "cases" / folder).resolve() == runs[name].path.resolve()


def test_a_patient_far_from_training_is_called_unlike_it(explained):
    (far,) = [one for one in read(explained, 0)["unseen"] if one["lineage"] == "rna"]
    assert far["is_far"]
    assert far["n_reference"] == 40


def test_the_same_run_gives_the_same_case(explained):
    before = explained.read_bytes(f"cases/{explained.read_json('cases.json')[0]['name']}.json")
    cases.explain(explained.path)
    assert Run.open(explained.path).read_bytes(f"cases/{read(explained, 0)['name']}.json") == before


def test_the_page_of_a_case_can_be_made(explained):
    assert "<h1>" in render_case(explained, read(explained, 0))


def test_a_run_that_changed_since_the_fusion_is_refused(patients, tmp_path):
    source = write_run(tmp_path / "rna", "rna", patients, classes=CLASSES, seed=1)
    config = cases.Config(rna=str(source.path), fusion={"n_resamples": 50}, evaluation={"n_bootstrap": 100})
    run = cases.fit(config, tmp_path / "cases")
    source.write_predictions(source.predictions("validation"))
    with pytest.raises(ArtifactError, match="no longer the Run that was fused"):
        cases.explain(run)


def test_an_unfinished_run_has_no_cases(tmp_path):
    Run.create(tmp_path / "run", kind=KIND, config=Written(), seed=0, data={"runs": {}})
    with pytest.raises(ArtifactError, match="not finished"):
        cases.explain(tmp_path / "run")


def test_a_row_of_the_atlas_is_the_cells_of_one_concept(tmp_path):
    run = Run.create(tmp_path / "run", kind="concepts", config=Written(), seed=0)
    sheet = np.zeros((8, 12, 3), np.uint8)
    sheet[4:, :8] = 200
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "PNG")
    run.write_bytes("explain/sprites/000.png", stream.getvalue())
    layout = {"sheets": [["explain/sprites/000.png", "none"]], "tile": [4, 4], "columns": 3}
    found = atlas_row(run, layout, {"sheet": 0, "row": 1, "references": [{}, {}]})
    picture = np.asarray(Image.open(io.BytesIO(found)))
    assert picture.shape == (4, 8, 3)
    assert (picture == 200).all()
    assert atlas_row(run, layout, {"sheet": -1, "row": 0, "references": []}) is None


@pytest.mark.parametrize(
    ("called", "parting", "ending"),
    [
        ({"rna": "AML"}, "AML", "Expression says AML; there is no other to compare with."),
        ({"rna": "AML", "concepts": "AML"}, "AML", "Expression and concepts say AML: they agree."),
        ({"images": "acute", "concepts": "AML"}, "acute", "they agree as far as each of them goes."),
        ({"images": "normal", "rna": "AML"}, "any", "they part at the first level of the tree."),
        ({}, "any", "No lineage knows this patient."),
    ],
)
def test_a_sentence_says_where_lineages_part(called, parting, ending):
    from trilineage.data.taxonomy import load_taxonomy

    tree = load_taxonomy("leukemia")
    assert agreement_sentence(called, tree.root if parting == "any" else parting, tree).endswith(ending)
