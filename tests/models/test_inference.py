"""Fast prediction: the probabilities of a plain loop, in order and bounded; what goes wrong is raised."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from trilineage.core.errors import ImageError
from trilineage.models import inference
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.image_classifier import ImageClassifier
from trilineage.models.inference import InferenceSettings, predict_images


class Head(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, 5)

    def node_log_probabilities(self, features):
        return torch.log_softmax(self.linear(features), dim=1)


def classifier(name="small_cnn", size=16):
    torch.manual_seed(0)
    backbone = build_backbone(BackboneSettings(name=name), size)
    return ImageClassifier(backbone, Head(backbone.spec.width))


IMAGES = torch.rand(11, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def load(positions):
    return IMAGES[torch.from_numpy(positions)]


@pytest.mark.parametrize("name", ["small_cnn", "small_vit"])
@pytest.mark.parametrize("options", [{}, {"batch_size": 3, "workers": 3}, {"batch_size": 64, "workers": 1}])
def test_probabilities_are_those_of_a_plain_loop(name, options):
    model = classifier(name)
    rows = np.concatenate(
        [b.probabilities for b in predict_images(model, load, 11, InferenceSettings(**options))]
    )
    with torch.no_grad():
        expected = torch.cat([model(image[None]) for image in IMAGES]).exp().numpy()
    assert np.allclose(rows, expected, atol=1e-5)


def test_images_come_in_order_however_long_each_takes():
    slow = threading.Event()

    def uneven(positions):
        if positions[0] == 0:
            slow.wait(0.3)
        return load(positions)

    batches = list(predict_images(classifier(), uneven, 11, InferenceSettings(batch_size=2, workers=3)))
    assert np.concatenate([batch.positions for batch in batches]).tolist() == list(range(11))


def test_a_prediction_goes_on_where_it_stopped():
    batches = list(predict_images(classifier(), load, 11, InferenceSettings(batch_size=4), first=8))
    assert [batch.positions.tolist() for batch in batches] == [[8, 9, 10]]


def test_no_more_than_two_batches_per_worker_are_begun_ahead():
    begun, n_before = [], threading.active_count()

    def counted(positions):
        begun.append(positions[0])
        return load(positions[:1])

    stream = predict_images(classifier(), counted, 10_000, InferenceSettings(batch_size=1, workers=2))
    for _ in range(3):
        next(stream)
    assert len(begun) <= 3 + 2 * 2
    stream.close()
    n_begun = len(begun)
    assert threading.active_count() <= n_before
    assert len(begun) == n_begun


def test_an_image_that_cannot_be_read_is_the_callers_error():
    def broken(positions):
        if 5 in positions:
            raise ImageError("cannot decode", seen="cell_5.png")
        return load(positions)

    with pytest.raises(ImageError, match=r"cell_5\.png"):
        list(predict_images(classifier(), broken, 11, InferenceSettings(batch_size=2)))


def test_the_number_of_threads_is_as_it_was_before():
    n_before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        list(predict_images(classifier(), load, 3))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(n_before)


def test_nothing_to_predict_gives_nothing():
    assert list(predict_images(classifier(), load, 0)) == []


def test_without_a_compiler_the_network_runs_as_it_is(monkeypatch, caplog):
    def impossible(module, **options):
        def fail(pixels):
            raise torch._dynamo.exc.TorchDynamoException("no C++ compiler")

        return fail

    monkeypatch.setattr(inference.torch, "compile", impossible)
    batches = list(predict_images(classifier(), load, 3, InferenceSettings(compile=True)))
    assert batches[0].probabilities.shape == (3, 5)
    assert "runs as it is: no C++ compiler" in caplog.text


def test_large_images_are_computed_one_by_one_and_small_ones_together():
    def sizes(size):
        pixels = torch.zeros(1, 3, size, size)
        stream = predict_images(
            classifier(size=size), lambda positions: pixels.expand(len(positions), -1, -1, -1), 70
        )
        return len(next(iter(stream)).positions)

    assert [sizes(16), sizes(128), sizes(264)] == [64, 4, 1]
