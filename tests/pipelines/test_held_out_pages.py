"""What marks each test patient of a concepts Run: written beside the training patients, with pictures and evidence."""

import shutil

import numpy as np
import pytest

from trilineage.core.artifacts import Run
from trilineage.data.barcodes.files import read_barcodes
from trilineage.evaluation.barcodes.neighbours import standing
from trilineage.pipelines import concepts
from trilineage.pipelines._concepts.held_out import read_trained
from trilineage.report.pictures import png_size


@pytest.fixture(scope="module")
def explained(fitted_concepts, tmp_path_factory):
    """A copy of the Run, explained with two concepts of each test patient."""
    copy = shutil.copytree(fitted_concepts.path, tmp_path_factory.mktemp("explained") / "run")
    return concepts.explain(Run.open(copy), n_concepts=24, per_patient=2, device="cpu")


@pytest.fixture(scope="module")
def described(explained):
    return explained.read_json("explain/patients.json")


def patients_in(run, part):
    table = run.read_table("split.csv")
    return {name for name, own in zip(table["patient"], table["part"], strict=True) if own == part}


def test_every_test_patient_stands_beside_the_training_patients(explained, described):
    assert {patient["patient"] for patient in described["patients"]} == patients_in(explained, "test")
    assert described["n_reference"] == len(patients_in(explained, "train"))
    near = {one["patient"] for patient in described["patients"] for one in patient["nearest"]}
    assert near <= patients_in(explained, "train")


def test_only_latents_with_a_card_stand_out_and_two_are_pictured(explained, described):
    cards = {card["latent"] for card in explained.read_json("explain/cards.json")["cards"]}
    for patient in described["patients"]:
        stands = patient["standing"]
        assert {one["latent"] for one in stands} <= cards
        assert [bool(one["pictures"]) for one in stands[2:]] == [False] * len(stands[2:])
    files = [
        picture["file"]
        for patient in described["patients"]
        for one in patient["standing"]
        for picture in one["pictures"]
    ]
    assert files
    assert all(png_size(explained.read_bytes(name)) for name in files)


def test_contributions_of_latents_are_those_of_the_classifier_of_training_patients(explained, described):
    model, barcodes = read_trained(explained), read_barcodes(explained.path / "barcodes.h5ad")
    patient = described["patients"][0]
    row = barcodes.names.tolist().index(patient["patient"])
    own = barcodes.subset(np.array([row]))
    code = model.classes.index(patient["evidence"]["decision"])
    contributions = model.contributions(own.values)[0, code]
    strongest = patient["evidence"]["for"][0]
    assert strongest["contribution"] == pytest.approx(contributions.max())
    assert strongest["latent"] == model.features[contributions.argmax()]
    assert patient["evidence"]["probability"] == pytest.approx(model.probabilities(own.values)[0, code])


def test_standing_among_some_latents_is_that_of_these_latents(fitted_concepts):
    barcodes = read_barcodes(fitted_concepts.path / "barcodes.h5ad")
    everything = standing(barcodes, 0, barcodes, n=1000)
    among = np.sort(everything.latents[::3])
    found = standing(barcodes, 0, barcodes, n=1000, among=among)
    assert found.latents.tolist() == [one for one in everything.latents.tolist() if one in among]


def test_held_out_patients_are_placed_by_their_barcodes(fitted_concepts):
    table = fitted_concepts.read_table("unlike_training.csv")
    wanted = patients_in(fitted_concepts, "valid") | patients_in(fitted_concepts, "test")
    assert set(table["patient"]) == wanted
    assert all(float(value) > 0 for value in table["distance"])
    barcodes = read_barcodes(fitted_concepts.path / "barcodes.h5ad")
    n_images = dict(zip(barcodes.names.tolist(), barcodes.n_images.tolist(), strict=True))
    assert [int(value) for value in table["n_samples"]] == [n_images[name] for name in table["patient"]]
