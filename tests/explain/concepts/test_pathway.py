"""From latents to decisions: identities, a network whose changes are known, and orders that beat chance."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trilineage.core.errors import ConfigError
from trilineage.explain.concepts.attribution import concept_maps, encode_tokens
from trilineage.explain.concepts.pathway import (
    LatentEdit,
    change_tokens,
    first_order_changes,
    pathway,
    require_same_backbone,
    switch_curves,
)
from trilineage.explain.saliency.targets import NodeTarget, Targets


@pytest.fixture
def targets(real):
    return Targets.same([NodeTarget(1)], 3, real.tree.nodes)


def active_latent(real, pixels) -> int:
    return encode_tokens(real.encoder, real.sae, pixels[:1]).top_of_image(0, 1)[0].latent


def test_tokens_change_by_the_formula(real, pixels):
    tokens = real.encoder.tokens(pixels)
    codes = real.sae.encode(tokens.flatten(0, 1)).dense()
    changed = codes.clone()
    changed[:, [5, 9]] = 0.7
    expected = tokens.flatten(0, 1) + (changed - codes) @ real.sae.decoder_weight
    found = change_tokens(tokens, real.sae, LatentEdit((5, 9), 0.7), 1)
    torch.testing.assert_close(found.flatten(0, 1), expected.detach())


def test_the_error_of_the_reconstruction_stays(real, pixels):
    tokens = real.encoder.tokens(pixels)
    codes = real.sae.encode(tokens.flatten(0, 1))
    latent = active_latent(real, pixels)
    off = codes.dense()
    off[:, latent] = 0
    error = tokens.flatten(0, 1) - real.sae.decode(codes)
    decoded = off @ real.sae.decoder_weight + real.sae.decoder_bias
    found = change_tokens(tokens, real.sae, LatentEdit((latent,)), 1)
    torch.testing.assert_close(found.flatten(0, 1), (decoded + error).detach(), atol=1e-5, rtol=1e-5)


def test_a_latent_that_is_silent_changes_nothing_when_switched_off(real, pixels):
    maps = concept_maps(real.encoder, real.sae, pixels, list(range(64)))
    in_cls = encode_tokens(real.encoder, real.sae, pixels).of_latents(list(range(64)))[:, :, 0]
    silent = torch.nonzero((maps.amax(dim=(0, 2, 3)) == 0) & (in_cls.amax(dim=0) == 0))[:, 0].tolist()
    assert silent
    found = pathway(real.classifier, real.encoder, real.sae, pixels, [LatentEdit(tuple(silent))])
    np.testing.assert_array_equal(found.change, 0)


def test_off_and_on_again_is_the_image_itself(real, pixels):
    latent = active_latent(real, pixels)
    tokens = real.encoder.tokens(pixels[:1])
    values = encode_tokens(real.encoder, real.sae, pixels[:1]).of_latents([latent])[0, 0]
    off = change_tokens(tokens, real.sae, LatentEdit((latent,)), 1)
    on_again = off + values[None, :, None] * real.sae.decoder_weight[latent].detach()
    torch.testing.assert_close(on_again, tokens)


def test_setting_a_latent_to_what_it_is_changes_nothing(plain_linear_case):
    linear, pixels = plain_linear_case
    found = pathway(*linear, pixels, [LatentEdit((0,), 0.5, "active")])
    np.testing.assert_allclose(found.change, 0, atol=1e-6)


@pytest.fixture
def plain_linear_case(linear):
    pixels = torch.zeros(1, 3, 2, 3)
    pixels[0, 0] = 0.5  # every patch and so the class token
    return linear, pixels


def test_a_linear_network_changes_by_its_weights(linear):
    pixels = torch.zeros(1, 3, 2, 3)
    pixels[0, 0, 0, 1] = 0.6  # patch 1 is token 2 of weight 3; the class token, of weight 1, holds 0.1
    found = pathway(
        *linear, pixels, [LatentEdit((0,)), LatentEdit((2,), 1.0, "patches"), LatentEdit((1,), 1.0, "cls")]
    )
    np.testing.assert_allclose(found.before[0], [1.9, 0.95], rtol=1e-6)
    np.testing.assert_allclose(found.change[0, 0], [-1.9, -0.95], rtol=1e-6)
    np.testing.assert_allclose(found.change[0, 1], [-27.0, 0.0], rtol=1e-6)  # weights 2 to 7
    np.testing.assert_allclose(found.change[0, 2], [0.0, 2.0], rtol=1e-6)


def test_log_odds_of_two_nodes_change_as_their_difference(real, pixels):
    found = pathway(real.classifier, real.encoder, real.sae, pixels, [LatentEdit((1, 2), 3.0)])
    targets = Targets.same([NodeTarget(1, (2,))], 3, real.tree.nodes)
    expected = found.change[:, :, 1] - found.change[:, :, 2]
    np.testing.assert_allclose(found.evidence_change(targets)[:, :, 0], expected, rtol=1e-4, atol=1e-6)


def test_first_order_is_exact_where_the_network_is_linear(linear):
    classifier, encoder, sae = linear
    pixels = torch.rand(2, 3, 2, 3, generator=torch.Generator().manual_seed(3))
    targets = Targets.same([NodeTarget(0)], 2, ("a", "b"))
    exact = [pathway(classifier, encoder, sae, pixels, [LatentEdit((n,))]).change[:, 0, 0] for n in range(3)]
    found = first_order_changes(classifier, encoder, sae, pixels, targets)
    np.testing.assert_allclose(found, np.stack(exact, axis=1), rtol=1e-5, atol=1e-6)


def test_first_order_is_the_slope_of_a_small_change(real, pixels, targets):
    latent = active_latent(real, pixels)
    values = encode_tokens(real.encoder, real.sae, pixels).of_latents([latent])[:, 0]
    found = first_order_changes(real.classifier, real.encoder, real.sae, pixels, targets)[:, latent]
    step = 1e-2 * values[..., None] * real.sae.decoder_weight[latent].detach()
    with torch.inference_mode():
        log_p = [
            real.classifier.node_log_probabilities(
                real.classifier.backbone.edited(pixels, real.encoder.block, lambda x, s=sign: x - s * step)
            )[:, 1]
            for sign in (1, -1)
        ]
    slope = (log_p[0] - log_p[1]) / 2e-2
    np.testing.assert_allclose(found, slope, rtol=0.02, atol=1e-5)


def test_curves_begin_with_the_image_and_end_with_nothing_switched(real, pixels, targets):
    order = np.zeros((3, 64))
    curves = switch_curves(real.classifier, real.encoder, real.sae, pixels, targets, order, counts=(0, 64))
    whole = np.exp(pathway(real.classifier, real.encoder, real.sae, pixels, []).before[:, 1])
    every = tuple(range(64))
    none = np.exp(
        pathway(real.classifier, real.encoder, real.sae, pixels, [LatentEdit(every)]).after[:, 0, 1]
    )
    np.testing.assert_allclose(curves.off, np.stack([whole, none], axis=1), rtol=1e-4)
    np.testing.assert_allclose(curves.on, np.stack([none, whole], axis=1), rtol=1e-4)


def test_the_order_of_effects_beats_random_orders(real, pixels, targets):
    order = -first_order_changes(real.classifier, real.encoder, real.sae, pixels, targets)
    given = (real.classifier, real.encoder, real.sae, pixels, targets, order)
    curves, again = (switch_curves(*given, counts=(1, 4, 12), n_random=2, seed=4) for _ in range(2))
    assert (curves.off_gap > 0).all()
    np.testing.assert_array_equal(curves.random_off, again.random_off)


def test_a_classifier_on_other_weights_is_refused(real):
    other = SimpleNamespace(backbone=torch.nn.Linear(2, 2), node_log_probabilities=len)
    with pytest.raises(ConfigError, match="encoder.run"):
        require_same_backbone(other, real.encoder)


def test_a_classifier_of_several_networks_is_refused(real):
    other = SimpleNamespace(backbone=real.encoder.backbone, backbones=[1, 2], node_log_probabilities=len)
    with pytest.raises(ConfigError, match="2 backbones"):
        require_same_backbone(other, real.encoder)
