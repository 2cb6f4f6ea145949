"""Maps of concepts: raw, in their place, and the same by hand."""

import pytest
import torch

from trilineage.core.errors import ConfigError
from trilineage.explain.concepts.attribution import (
    CLS,
    concept_map,
    concept_maps,
    encode_tokens,
    soft_map,
    top_latents_of_image,
    top_latents_of_patch,
)


def image(**patches) -> torch.Tensor:
    """Return black pixels (3 2 3) with values by `channel_patch`, patches in reading order."""
    pixels = torch.zeros(3, 6)
    for name, value in patches.items():
        channel, patch = name[1:].split("_")
        pixels[int(channel), int(patch)] = value
    return pixels.view(3, 2, 3)


def test_the_class_token_is_not_the_first_patch(plain):
    found = concept_map(*plain, image(c0_0=0.9, c1_5=0.3), [0, 1])
    assert found[0].tolist() == [[pytest.approx(0.9), 0, 0], [0, 0, 0]]
    assert found[1].tolist() == [[0, 0, 0], [0, 0, pytest.approx(0.3)]]


def test_patches_are_numbered_row_by_row(plain):
    (best,) = top_latents_of_image(*plain, image(c2_4=0.5))
    assert best.patch == 4
    assert concept_map(*plain, image(c2_4=0.5), [2])[0, 1, 1] == pytest.approx(0.5)
    assert top_latents_of_patch(*plain, image(c2_4=0.5), 4)[0].latent == 2
    assert top_latents_of_patch(*plain, image(c2_4=0.5), 3) == []


def test_maps_are_raw_activations_that_compare_between_patches_and_images(plain):
    pixels = torch.stack([image(c0_1=0.8, c0_2=0.2), image(c0_1=0.08)])
    maps = concept_maps(*plain, pixels, [0])
    assert maps[0, 0, 0, 1] / maps[0, 0, 0, 2] == pytest.approx(4)
    assert maps[0, 0, 0, 1] / maps[1, 0, 0, 1] == pytest.approx(10)


def test_latents_come_in_the_order_asked_for(real, pixels):
    dense = real.sae.encode(real.encoder.tokens(pixels).flatten(0, 1)).dense().view(3, -1, 64)
    maps = concept_maps(real.encoder, real.sae, pixels, [40, 3, 17])
    torch.testing.assert_close(maps.flatten(2), dense[:, 1:, [40, 3, 17]].transpose(1, 2))


def test_top_latents_of_an_image_are_those_of_its_dense_codes(real, pixels):
    dense = real.sae.encode(real.encoder.tokens(pixels[:1])[0]).dense()[1:]
    found = encode_tokens(real.encoder, real.sae, pixels).top_of_image(0, 5)
    expected = dense.mean(dim=0).topk(5)
    assert [one.latent for one in found] == expected.indices.tolist()
    torch.testing.assert_close(torch.tensor([one.activation for one in found]), expected.values)
    assert [one.patch for one in found] == dense[:, expected.indices].argmax(dim=0).tolist()


def test_a_speck_wins_by_its_peak_and_a_field_by_its_mean(plain):
    pixels = image(c0_2=0.9, c1_0=0.3, c1_1=0.3, c1_2=0.3, c1_3=0.3)
    codes = encode_tokens(*plain, pixels[None])
    assert [one.latent for one in codes.top_of_image(0)] == [1, 0]
    assert [one.latent for one in codes.top_of_image(0, by="peak")] == [0, 1]


def test_what_only_the_class_token_activates_comes_last_and_has_no_patch(plain):
    encoder, sae = plain
    with torch.no_grad():
        sae.encoder_bias[:] = torch.tensor([0.0, -0.35, 0.0])
        sae.encoder_weight[1] = torch.tensor([0.0, 0.0, 0.0])
    tokens = encoder.tokens(image(c0_0=0.6)[None])
    tokens[0, 0, 1] = 2.0
    sae.encoder_weight.data[1, 1] = 1.0
    encoder.tokens = lambda pixels: tokens
    found = top_latents_of_image(encoder, sae, image())
    assert [(one.latent, one.patch) for one in found] == [(0, 0), (1, -1)]
    assert [one.latent for one in top_latents_of_patch(encoder, sae, image(), CLS)] == [1, 0]


def test_a_soft_map_keeps_its_values_at_the_centres_of_patches():
    values = torch.tensor([[[0.0, 3.0], [1.5, 0.0]]])
    found = soft_map(values, (6, 6))
    assert found.shape == (1, 6, 6)
    torch.testing.assert_close(found[0, 1::3, 1::3], values[0])


@pytest.mark.parametrize("latents", [[3], [-1], [0, 0]])
def test_latents_that_do_not_exist_or_come_twice_are_refused(plain, latents):
    with pytest.raises(ConfigError, match="latent"):
        concept_map(*plain, image(), latents)


def test_patches_that_do_not_exist_are_refused(plain):
    with pytest.raises(ConfigError, match="0 to 5|-1 to 5"):
        top_latents_of_patch(*plain, image(), 6)


def test_without_patches_there_is_no_map(plain):
    encoder, sae = plain
    encoder.n_tokens = 1
    encoder.tokens = lambda pixels: pixels.flatten(2).mean(dim=2)[:, None]
    assert top_latents_of_image(encoder, sae, image(c0_0=0.6))[0].patch == -1
    with pytest.raises(ConfigError, match="keep=both"):
        concept_map(encoder, sae, image(), [0])
