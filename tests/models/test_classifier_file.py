"""Classifiers of images Runs: they come back as they were, or are refused with the reason."""

import pytest
import torch

from trilineage.core.artifacts import Run
from trilineage.core.errors import AlteredFileError, ArtifactError, UnsafeFileError
from trilineage.models.classifier_file import load_image_classifier
from trilineage.models.image_classifier import ImageClassifier
from trilineage.models.parent_networks import ParentNetworks

PIXELS = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_a_classifier_comes_back_with_its_weights_in_evaluation(tmp_path, write_images_run):
    run = write_images_run(tmp_path / "run")
    classifier, taxonomy = load_image_classifier(run.path)
    saved = run.read_weights("final")
    assert isinstance(classifier, ImageClassifier)
    assert not classifier.training
    assert all((value.numpy() == saved[name]).all() for name, value in classifier.state_dict().items())
    with torch.no_grad():
        assert classifier(PIXELS).shape == (2, taxonomy.n_nodes)


def test_the_models_of_a_base_hierarchy_come_back(tmp_path, write_images_run):
    options = {"hierarchy.variant": "base", "backbone.name": "small_cnn", "backbone.pool": "auto"}
    run = write_images_run(tmp_path / "run", **options)
    classifier, taxonomy = load_image_classifier(run.path, "final")
    assert isinstance(classifier, ParentNetworks)
    assert len(classifier.backbones) == len(taxonomy.inner) == 2


def test_an_unfinished_run_is_refused(tmp_path, write_images_run):
    run = write_images_run(tmp_path / "run", finished=False)
    with pytest.raises(ArtifactError, match="is not finished"):
        load_image_classifier(run.path)


def test_weights_that_are_not_there_are_refused(tmp_path, write_images_run):
    run = write_images_run(tmp_path / "run")
    with pytest.raises(ArtifactError, match=r"has no weights/fold7\.safetensors"):
        load_image_classifier(run.path, "fold7")


def test_weights_without_a_configuration_are_refused(tmp_path, write_images_run):
    run = write_images_run(tmp_path / "run")
    run.write_weights("final", run.read_weights("final"), {"taxonomy": "name = 'x'"})
    with pytest.raises(
        ArtifactError, match="not those of a classifier of images; seen: no config beside them"
    ):
        load_image_classifier(run.path)


def test_weights_that_do_not_fit_their_configuration_are_refused(tmp_path, write_images_run):
    run = write_images_run(tmp_path / "run")
    tensors = run.read_weights("final")
    tensors["backbone.net.norm.weight"] = tensors["backbone.net.norm.weight"][:-1]
    run.write_weights("final", tensors, run.read_weights_metadata("final"))
    with pytest.raises(ArtifactError, match="do not fit their configuration"):
        load_image_classifier(run.path)


def test_altered_weights_and_pickles_are_refused(tmp_path, write_images_run):
    run = write_images_run(tmp_path / "run")
    path = run.path / "weights" / "final.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(AlteredFileError):
        load_image_classifier(run.path)
    path.write_bytes(b"\x80\x04\x95" + bytes(100))
    with pytest.raises(UnsafeFileError, match="a pickle"):
        load_image_classifier(Run.open(run.path).path)
