"""What is done with a Run of concepts: atlas, barcodes of new patients, comparisons, subtypes, import and export."""

import csv
import importlib.util
import json
import logging
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from trilineage.cli.main import app
from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError, CohortError, ConfigError, DataError, FormatError
from trilineage.core.progress import set_quiet
from trilineage.data.barcodes.files import read_barcodes
from trilineage.data.codes import store as code_store
from trilineage.data.sae_formats.open import open_sae
from trilineage.explain.concepts.cards import latents_to_show
from trilineage.pipelines import concepts
from trilineage.pipelines._concepts import pathways
from trilineage.pipelines._concepts.explain import read_known
from trilineage.report.atlas import write_atlas

QUICK_SUBTYPE = {
    "subtype.n_folds": 3,
    "subtype.n_repeats": 1,
    "subtype.n_inner_folds": 2,
    "subtype.inverse_penalties": (1.0,),
    "disease.n_permutations": 99,
    "disease.n_bootstrap": 100,
    "evaluation.n_bootstrap": 100,
    "evaluation.n_permutations": 99,
}


def rows_of(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def copy_of(run, out):
    return Run.open(shutil.copytree(run.path, out))


def some_of(masks, out):
    """Copy the masks of every twelfth image."""
    out.mkdir()
    for path in sorted(masks.iterdir())[::12]:
        shutil.copy(path, out)
    return out


# ---- explain --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explained(fitted_concepts, drawn, seeing, tmp_path_factory):
    """The Run with an atlas of 12 concepts, one named by an expert, their place on the cell, and pathways."""
    folder = tmp_path_factory.mktemp("explained")
    run = copy_of(fitted_concepts, folder / "run")
    known = read_known(run)
    named = latents_to_show(known.statistics, known.table, limit=1)[0]
    (folder / "names.csv").write_text(f"latent,name,reviewer\n{named},dark nucleus,Dr A\n")
    masks = concepts.Regions(*(some_of(drawn / name, folder / name) for name in ("cells", "nuclei")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pathways, "N_IMAGES", 18)
        patch.setattr(pathways, "N_CURVES", 6)
        concepts.explain(
            run,
            n_concepts=12,
            names=folder / "names.csv",
            classifier=seeing.path,
            regions=masks,
            device="cpu",
        )
    return Run.open(run.path), int(named)


def test_cards_have_names_pictures_and_references_of_training_patients(explained):
    run, _ = explained
    deck = run.read_json("explain/cards.json")
    assert len(deck["cards"]) == 12
    assert all(row["references"] for row in deck["cards"])
    assert run.read_bytes("explain/sprites/000.jpg").startswith(b"\xff\xd8")
    assert run.read_bytes("explain/sprites/000.png").startswith(b"\x89PNG")
    split = run.read_table("split.csv")
    trained = {name for name, part in zip(split["patient"], split["part"], strict=True) if part != "test"}
    assert {one["patient"] for row in deck["cards"] for one in row["references"]} <= trained


def test_names_of_experts_take_the_place_of_drafts_and_stay_in_the_list(explained):
    run, named = explained
    cards = {row["latent"]: row for row in run.read_json("explain/cards.json")["cards"]}
    names = {int(row["latent"]): row for row in rows_of(run.path / "explain" / "names.csv")}
    assert names[named]["name"] == "dark nucleus"
    assert (cards[named]["name"], cards[named]["is_draft"]) == ("dark nucleus", False)
    assert any(row["is_draft"] for row in cards.values())


def test_activation_is_shared_out_among_nucleus_cytoplasm_and_background_beside_controls(explained):
    found = explained[0].read_json("explain/focus.json")
    assert found["n_images"] == 12
    subjects = {row["subject"] for row in found["rows"]}
    assert subjects == {"autoencoder", "raw neurons", "principal components", "random dictionary"}
    regions = [row["region"] for row in found["rows"] if row["subject"] == "autoencoder"]
    assert regions[:2] == ["nucleus", "cytoplasm"]
    assert all(0 <= share <= 1 for row in found["rows"] for share in row["share"] or ())


def test_decisions_are_followed_back_to_latents(explained):
    found = explained[0].read_json("explain/pathways.json")
    assert found["n_images"] == 18
    latents = [row for decision in found["decisions"] for row in decision["latents"]]
    assert latents
    assert np.mean([row["change"] < 0 for row in latents]) > 0.5
    curves = found["curves"]
    assert curves["off"][0] == pytest.approx(curves["random_off"][0])
    assert curves["off_gap"] > 0


def test_the_atlas_is_written_from_what_explain_left(explained):
    page = write_atlas(explained[0]).read_text()
    assert "Research use only" in page
    assert "dark nucleus" in page


def test_a_classifier_on_another_network_is_refused(fitted_concepts, fitted_images, tmp_path):
    run = copy_of(fitted_concepts, tmp_path / "run")
    with pytest.raises(ConfigError):
        concepts.explain(run, n_concepts=1, classifier=fitted_images.path, device="cpu")


def test_regions_of_no_image_are_refused(fitted_concepts, tmp_path, drawn):
    run = copy_of(fitted_concepts, tmp_path / "run")
    (tmp_path / "masks").mkdir()
    shutil.copy(next((drawn / "cells").iterdir()), tmp_path / "masks" / "other.png")
    with pytest.raises(ConfigError, match="no image has a mask or box"):
        concepts.explain(run, n_concepts=1, regions=concepts.Regions(cells=tmp_path / "masks"), device="cpu")


def test_names_of_latents_that_are_not_there_are_refused(fitted_concepts, tmp_path):
    (tmp_path / "names.csv").write_text("latent,name\n192,granules\n")
    with pytest.raises(DataError, match="192"):
        concepts.explain(fitted_concepts.path, names=tmp_path / "names.csv", device="cpu")


def test_an_encoder_that_has_changed_is_refused(fitted_concepts, tmp_path):
    run = copy_of(fitted_concepts, tmp_path / "run")
    about = run.read_json("tokens.json")
    about["source"] |= {"weights": "0" * 64}
    run.write_json("tokens.json", about)
    with pytest.raises(ArtifactError, match="no longer the one"):
        concepts.explain(run, n_concepts=1, device="cpu")


# ---- predict --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def predicted(fitted_concepts, newcomers, tmp_path_factory):
    """Barcodes of six new patients; one of their images is cut short."""
    folder = shutil.copytree(newcomers, tmp_path_factory.mktemp("new") / "set")
    broken = folder / rows_of(folder / "manifest.csv")[4]["path"]
    broken.write_bytes(broken.read_bytes()[:100])
    out = tmp_path_factory.mktemp("predicted") / "out"
    return concepts.predict(fitted_concepts, folder / "manifest.csv", out=out, device="cpu"), folder


def test_new_patients_have_barcodes_subtypes_and_neighbours(predicted):
    found, _ = predicted
    names = {path.name for path in found.path.iterdir()}
    assert {"about.json", "barcodes.h5ad", "codes", "images.csv", "patients.json", "profile.npz"} <= names
    page = json.loads((found.path / "patients.json").read_text())
    assert page["n_reference"] == 24
    assert [row["patient"] for row in page["patients"]] == found.barcodes.names.tolist()
    for row in page["patients"]:
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["predicted"] == max(row["probabilities"], key=row["probabilities"].get)
        assert len(row["nearest"]) == 5
        assert row["standing"]


def test_an_image_that_cannot_be_read_is_left_out_and_named(predicted):
    found, folder = predicted
    name = rows_of(folder / "manifest.csv")[4]["path"]
    assert [one for one, _ in found.unreadable] == [name]
    about = json.loads((found.path / "about.json").read_text())
    assert about["images"]["n"] == 23
    assert about["unreadable"][0][0] == name
    assert int(found.barcodes.n_images.sum()) == 23
    assert len(rows_of(found.path / "images.csv")) == 23


def test_new_patients_are_told_apart_better_than_by_chance(predicted):
    found, folder = predicted
    labels = {row["patient"]: row["label"] for row in rows_of(folder / "manifest.csv")}
    right = [
        labels[name] == said
        for name, said in zip(found.called["patient"], found.called["predicted"], strict=True)
    ]
    assert np.mean(right) > 0.5


def test_patients_of_the_cohort_keep_their_barcodes(fitted_concepts, drawn, tmp_path):
    found = concepts.predict(fitted_concepts, drawn / "manifest.csv", out=tmp_path, device="cpu")
    own = read_barcodes(fitted_concepts.path / "barcodes.h5ad")
    np.testing.assert_allclose(found.barcodes.values.toarray(), own.values.toarray(), atol=0.2)
    np.testing.assert_allclose(found.barcodes.values.mean(), own.values.mean(), rtol=1e-3)


def test_a_prediction_that_was_stopped_goes_on(fitted_concepts, predicted, tmp_path, monkeypatch):
    found, folder = predicted
    append, kept = code_store.CodeStore.append, []

    def stopping(store, codes):
        if len(kept) == 1:
            raise KeyboardInterrupt
        append(store, codes)
        kept.append(len(codes))

    monkeypatch.setattr(code_store, "_IMAGES_PER_PART", 8)
    monkeypatch.setattr("trilineage.models.sae.encode_images.images_per_batch", lambda *_: 8)
    monkeypatch.setattr(code_store.CodeStore, "append", stopping)
    with pytest.raises(KeyboardInterrupt):
        concepts.predict(fitted_concepts, folder / "manifest.csv", out=tmp_path, device="cpu")
    monkeypatch.setattr(code_store.CodeStore, "append", lambda s, c: (kept.append(len(c)), append(s, c)))
    again = concepts.predict(fitted_concepts, folder / "manifest.csv", out=tmp_path, device="cpu")
    assert kept == [8, 8, 7]
    np.testing.assert_allclose(again.barcodes.values.toarray(), found.barcodes.values.toarray(), atol=0.2)


def test_codes_of_other_images_in_the_folder_are_refused(fitted_concepts, predicted, drawn):
    with pytest.raises(ArtifactError, match="other codes|codes of"):
        concepts.predict(fitted_concepts, drawn / "manifest.csv", out=predicted[0].path, device="cpu")


def test_images_are_brought_to_the_size_of_the_encoder_and_no_other(fitted_concepts, drawn, tmp_path):
    first = rows_of(drawn / "manifest.csv")[0]["path"]
    with pytest.raises(ConfigError, match="another image size"):
        concepts.predict(fitted_concepts, drawn / first, out=tmp_path, options={"size": 64}, device="cpu")


def test_an_unfinished_run_predicts_nothing(fitted_concepts, drawn, tmp_path):
    config = fitted_concepts.config(concepts.Config)
    run = Run.create(tmp_path / "run", kind="concepts", config=config, seed=0)
    with pytest.raises(ArtifactError, match="is not finished; seen: running"):
        concepts.predict(run, drawn / "manifest.csv", out=tmp_path / "out", device="cpu")


# ---- compare --------------------------------------------------------------------------------------------------------


def test_cohorts_of_one_dictionary_are_compared_concept_by_concept(fitted_concepts, predicted, tmp_path):
    run = concepts.compare([fitted_concepts.path, predicted[0].path], tmp_path / "run")
    (row,) = run.read_json("pairs.json")
    assert (row["kind"], row["note"]) == ("cohorts", "")
    assert len(run.scores()) >= 2
    assert all(score.value > 0.3 for score in run.scores())
    assert concepts.compare([fitted_concepts.path, predicted[0].path], tmp_path / "run").is_complete


def test_the_same_latents_in_another_order_are_all_found_again(fitted_concepts, brought, tmp_path):
    run = concepts.compare([fitted_concepts.path, brought.path], tmp_path / "run")
    (row,) = run.read_json("pairs.json")
    assert row["kind"] == "dictionaries"
    for way in ("first_in_second", "second_in_first"):
        assert row[way]["found"] == row[way]["mutual"] == 1
        assert row[way]["cosine"] == pytest.approx(1)
    assert [one["n_latents"] for one in run.read_json("dictionaries.json")] == [192, 192]


def test_cohorts_that_cannot_be_compared_are_refused(fitted_concepts, brought, predicted, tmp_path):
    with pytest.raises(ConfigError, match="nothing to compare"):
        concepts.compare([fitted_concepts.path], tmp_path / "run")
    with pytest.raises(ArtifactError, match="no cohort that can be compared"):
        concepts.compare([fitted_concepts.path, tmp_path / "nowhere"], tmp_path / "run")
    with pytest.raises(ArtifactError, match="predictions of different autoencoders"):
        concepts.compare([brought.path, predicted[0].path], tmp_path / "run")
    arrays = dict(np.load(predicted[0].path / "profile.npz", allow_pickle=False))
    (tmp_path / "other").mkdir()
    np.savez(tmp_path / "other" / "profile.npz", **(arrays | {"encoder_key": np.array("0" * 64)}))
    with pytest.raises(ArtifactError, match="encoder"):
        concepts.compare([fitted_concepts.path, tmp_path / "other"], tmp_path / "run")


# ---- subtype --------------------------------------------------------------------------------------------------------


def test_subtypes_are_told_from_barcodes_that_exist(fitted_concepts, tmp_path):
    config = concepts.SubtypeConfig.load(None, QUICK_SUBTYPE)
    run = concepts.subtype(fitted_concepts.path / "barcodes.h5ad", config, tmp_path / "run")
    assert run.read_json("patients.json") == {"note": "", "n_patients": 24}
    assert [row["disease"] for row in run.read_json("disease.json")] == ["ALL", "AML", "CLL"]
    assert {score.subject for score in run.scores()} == {"model"}
    assert concepts.subtype(fitted_concepts.path / "barcodes.h5ad", config, run.path).is_complete


def test_labels_of_a_table_take_the_place_of_those_in_the_barcodes(fitted_concepts, tmp_path):
    (tmp_path / "labels.csv").write_text("patient,label\nALL0,a\nCLL0,b\n")
    config = concepts.SubtypeConfig.load(None, QUICK_SUBTYPE | {"labels": str(tmp_path / "labels.csv")})
    run = concepts.subtype(fitted_concepts.path / "barcodes.h5ad", config, tmp_path / "run")
    assert run.read_json("patients.json")["note"].startswith("patients were not classified")


def write_features(folder, n_patients=6, n_images=8, width=160):
    """Write HDF5 files of patients of two subtypes, whose images differ by a shift."""
    random = np.random.default_rng(0)
    for number in range(n_patients):
        label = ("NPM1", "PML_RARA")[number % 2]
        (folder / label).mkdir(parents=True, exist_ok=True)
        with h5py.File(folder / label / f"patient{number}.h5", "w") as file:
            shift = 2.0 * (number % 2)
            file["features"] = (random.normal(size=(n_images, width)) + shift).astype(np.float32)
    return folder


def test_features_of_patients_become_barcodes_beside_means_and_attention(fitted_concepts, tmp_path):
    options = QUICK_SUBTYPE | {"run": str(fitted_concepts.path), "width": 160}
    config = concepts.SubtypeConfig.load(None, options)
    run = concepts.subtype(write_features(tmp_path / "features"), config, tmp_path / "run")
    assert run.read_json("patients.json") == {"note": "", "n_patients": 6}
    assert len({score.subject for score in run.scores()}) == 3
    barcodes = read_barcodes(run.path / "barcodes.h5ad")
    own = read_barcodes(fitted_concepts.path / "barcodes.h5ad")
    assert barcodes.dictionary_key == own.dictionary_key
    assert barcodes.n_images.tolist() == [8] * 6


def test_features_without_cells_of_another_width_or_without_a_run_are_refused(fitted_concepts, tmp_path):
    folder = write_features(tmp_path / "features")
    plain = concepts.SubtypeConfig.load(None, QUICK_SUBTYPE | {"width": 160})
    with pytest.raises(FormatError, match="become barcodes by an autoencoder"):
        concepts.subtype(folder, plain, tmp_path / "run")
    with pytest.raises(FormatError, match="another shape"):
        concepts.subtype(folder, plain.replace(width=768), tmp_path / "run")
    with h5py.File(folder / "NPM1" / "patient8.h5", "w") as file:
        file["features"] = np.zeros((0, 160), np.float32)
    with pytest.raises(CohortError, match="has no cells"):
        concepts.subtype(folder, plain.replace(run=str(fitted_concepts.path)), tmp_path / "run")


# ---- import and export ----------------------------------------------------------------------------------------------


def sae_files():
    """Return the module that writes files in the layouts of other packages."""
    path = Path(__file__).parents[1] / "data" / "sae_formats" / "files.py"
    spec = importlib.util.spec_from_file_location("sae_files", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def typed():
    """Type a command of the lineage and return what it says."""

    def type_command(*words):
        found = CliRunner().invoke(app, ["concepts", *map(str, words)])
        assert found.exit_code == 0, found.output
        return found.output

    yield type_command
    logger = logging.getLogger("trilineage")
    logger.handlers = [handler for handler in logger.handlers if handler.name != "terminal"]
    logger.setLevel(logging.NOTSET)
    set_quiet(False)


def test_a_cytosae_checkpoint_is_imported_and_exported_with_the_same_weights(typed, tmp_path):
    files = sae_files()
    parts = files.arrays()
    files.write_cytosae(tmp_path / "cyto.pt", parts)
    said = typed("import", tmp_path / "cyto.pt", "--out", tmp_path / "own.safetensors")
    assert "20 latents on tokens of width 6 (relu)" in said
    typed("export", tmp_path / "own.safetensors", "--out", tmp_path / "lens", "--format", "saelens")
    typed("import", tmp_path / "lens", "--out", tmp_path / "again.safetensors")
    first, second = (open_sae(tmp_path / f"{name}.safetensors") for name in ("own", "again"))
    for name in ("encoder", "encoder_bias", "decoder", "decoder_bias"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert np.array_equal(first.decoder, parts[2].numpy())


def test_the_autoencoder_of_a_run_is_exported_with_what_its_tokens_are_of(typed, fitted_concepts, tmp_path):
    typed("export", fitted_concepts.path, "--out", tmp_path / "lens")
    config = json.loads((tmp_path / "lens" / "cfg.json").read_text())
    assert (config["architecture"], config["d_in"], config["d_sae"], config["k"]) == ("topk", 160, 192, 8)
    assert config["metadata"]["encoder"]["backbone"] == "small_vit"
    exported = concepts.export_dictionary(
        fitted_concepts.path, tmp_path / "own.safetensors", form="safetensors"
    )
    assert np.array_equal(open_sae(tmp_path / "lens").encoder, exported.encoder)


def test_a_file_to_write_must_be_named_as_what_it_is(fitted_concepts, tmp_path):
    with pytest.raises(ConfigError, match="ends with .safetensors"):
        concepts.export_dictionary(fitted_concepts.path, tmp_path / "own.pt", form="safetensors")


# ---- review --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def review_asked(fitted_concepts, tmp_path_factory):
    """A copy of the Run with a review of three concepts and two controls, and the folder of the reviewers."""
    folder = tmp_path_factory.mktemp("review")
    run = Run.open(shutil.copytree(fitted_concepts.path, folder / "run"))
    sheet = concepts.export_review(run, folder / "out", n_concepts=3, n_controls=2)
    return run, folder / "out", sheet


def filled(review_asked, path, says):
    """Fill the sheet in: `says` maps whether an item is a concept to yes or no."""
    _, out, sheet = review_asked
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


def test_reviewers_get_a_picture_of_every_item_and_nothing_that_tells_them_apart(review_asked):
    run, out, sheet = review_asked
    assert len(sheet.items) == 5
    assert {path.stem for path in (out / "items").iterdir()} == set(sheet.items)
    assert len({height_of(path) for path in (out / "items").iterdir()}) == 1
    assert {path.name for path in out.iterdir()} == {"sheet.csv", "items"}
    assert run.read_json("review/key.json")["items"].keys() == set(sheet.items)


def test_answers_are_scored_beside_the_controls_and_kept_in_the_run(review_asked, tmp_path):
    run, *_ = review_asked
    sheets = [
        filled(review_asked, tmp_path / "dr_a.csv", lambda is_concept: "yes" if is_concept else "no"),
        filled(review_asked, tmp_path / "dr_b.csv", lambda is_concept: "yes"),
    ]
    review = concepts.read_review(run, sheets)
    shares = {(score.subject, score.metric): score.value for score in review.confirmed}
    assert shares[("dr_a", "confirmed_controls")] == 0.0
    assert shares[("dr_b", "confirmed_controls")] == 1.0
    assert review.p_values["dr_a"] < review.p_values["dr_b"] == 1.0
    kept = Run.open(run.path)
    assert len(kept.read_json("review/review.json")["votes"]) == 3
    assert {score.subject for score in kept.scores("review/scores.json")} >= {"dr_a", "dr_b"}


def test_the_commands_do_the_same(review_asked, tmp_path):
    run, *_ = review_asked
    sheet = filled(review_asked, tmp_path / "dr_c.csv", lambda is_concept: "yes")
    result = CliRunner().invoke(app, ["concepts", "review", "read", str(run.path), str(sheet), "--json"])
    assert json.loads(result.stdout)["p_values"] == {"dr_c": 1.0}
    words = ["concepts", "review", "export", str(run.path), "--out", str(tmp_path / "o"), "--concepts", "2"]
    assert CliRunner().invoke(app, words).exit_code == 2
    found = CliRunner().invoke(app, [*words, "--controls", "1", "--overwrite"])
    assert "3 items" in found.stdout


def test_two_sheets_of_one_name_are_refused(review_asked, tmp_path):
    with pytest.raises(ConfigError, match="same name"):
        concepts.read_review(review_asked[0], [tmp_path / "a" / "x.csv", tmp_path / "b" / "x.csv"])


def test_a_run_without_a_review_says_so(fitted_concepts, tmp_path):
    with pytest.raises(ArtifactError, match=r"review/key\.json"):
        concepts.read_review(fitted_concepts, [tmp_path / "x.csv"])
