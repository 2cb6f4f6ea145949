"""Images to codes: those of a dense computation, whatever the workers and where it goes on; bad tokens are named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from trilineage.core.errors import ConfigError, DataError
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.data.tokens.source import TokenSource
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.encoder import TokenEncoder
from trilineage.models.sae import encode_images as module
from trilineage.models.sae.encode_images import code_source, dictionary_key, encode_images, encode_reader
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sae.settings import SaeSettings

SOURCE = TokenSource("net", "w", 1, (8, 8), (2, 3), 1, "both", 5, "float32", "images")


class Reader:
    source = SOURCE

    def __init__(self, n_images=9):
        draws = torch.Generator().manual_seed(0)
        self.tokens = torch.randn(n_images, 7, 5, generator=draws).numpy()

    def __len__(self):
        return len(self.tokens)

    def read(self, positions):
        return self.tokens[positions]


def sae(activation="topk", width=5, **options):
    return SparseAutoencoder(width, SaeSettings(activation=activation, latents=20, k=3, **options)).eval()


def joined(codes):
    return ImageCodes.concatenate(list(codes))


@pytest.mark.parametrize("activation", ["topk", "relu", "jump_relu", "batch_topk"])
def test_codes_are_those_of_dense_latents(activation):
    reader, model = Reader(), sae(activation)
    found = joined(encode_reader(reader, model, tau=0.5, workers=2))
    f = model.encode(torch.from_numpy(reader.tokens).flatten(0, 1)).dense().view(9, 7, 20).numpy()
    assert np.allclose(found.matrix("mean").toarray(), f[:, 1:].mean(axis=1), atol=1e-6)
    assert np.array_equal(found.matrix("above").toarray(), (f[:, 1:] > 0.5).sum(axis=1))
    assert np.allclose(found.matrix("cls").toarray(), f[:, 0], atol=1e-6)


def test_it_goes_on_where_it_stopped_and_takes_chosen_images():
    reader, model = Reader(), sae()
    whole = joined(encode_reader(reader, model))
    rest = joined(encode_reader(reader, model, first=4, workers=1))
    chosen = joined(encode_reader(reader, model, np.array([1, 5, 8]), workers=1))
    assert rest.positions.tolist() == [4, 5, 6, 7, 8]
    assert chosen.positions.tolist() == [1, 5, 8]
    for part in (rest, chosen):
        for name, array in whole.subset(part.positions).to_arrays().items():
            assert np.allclose(array, part.to_arrays()[name], atol=1e-6), name


def test_pixels_are_encoded_as_their_tokens_are():
    backbone = build_backbone(BackboneSettings(name="vit_tiny_patch16_224.augreg_in21k", weights="none"), 32)
    encoder = TokenEncoder(backbone, 1, dtype="float32")
    pixels = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = sae("relu", width=encoder.width)
    found = joined(encode_images(encoder, model, lambda at: pixels[at], 5, workers=1))
    f = model.encode(encoder.tokens(pixels).flatten(0, 1)).dense().view(5, encoder.n_tokens, 20).numpy()
    assert np.allclose(found.matrix("peak").toarray(), f[:, encoder.n_prefix :].max(axis=1), atol=1e-5)
    assert found.n_patches == 4


def test_an_image_with_a_token_that_is_not_finite_is_named():
    reader = Reader()
    reader.tokens[6, 2, 1] = np.nan
    with pytest.raises(DataError, match="position 6"):
        joined(encode_reader(reader, sae()))


def test_other_tokens_and_an_impossible_tau_are_refused():
    with pytest.raises(ConfigError, match="width 6"):
        encode_reader(Reader(), sae(width=6))
    with pytest.raises(ConfigError, match="tau"):
        encode_reader(Reader(), sae(), tau=-0.1)


def test_where_threads_may_not_meet_they_take_turns(monkeypatch):
    expected = joined(encode_reader(Reader(), sae()))
    monkeypatch.setattr(module, "_threads_may_meet", lambda: False)
    found = joined(encode_reader(Reader(), sae(), workers=3))
    assert np.array_equal(found.sums, expected.sums)


def test_the_key_of_a_dictionary_is_that_of_its_codes():
    model = sae()
    assert dictionary_key(model) == dictionary_key(sae())
    model.steps_silent += 1
    assert dictionary_key(model) == dictionary_key(sae())
    assert len({dictionary_key(other) for other in (sae(), sae(expansion=9), sae("relu"))}) == 2
    model.encoder_bias.data[3] += 1
    assert dictionary_key(model) != dictionary_key(sae())


def test_codes_say_what_they_are_of():
    found = code_source(SOURCE, sae(), tau=0.3)
    assert (found.n_latents, found.n_patches, found.has_cls, found.tau) == (20, 6, True, 0.3)
    assert found.encoder_key == SOURCE.encoder_key
    assert code_source(replace(SOURCE, images="others"), sae(), tau=0.3).images != found.images
