"""Rollout follows attention as a product of matrices, and belongs to transformers only."""

from types import SimpleNamespace

import pytest
import torch

from trilineage.core.errors import ArtifactError, ConfigError
from trilineage.explain.saliency.rollout import rollout_maps


def classifier_of(attention: torch.Tensor, pools: str):
    """A classifier of two patches beside a class token, with attention given by hand."""
    spec = SimpleNamespace(n_prefix_tokens=1, pools=pools, grid=(1, 2))

    class Fixed:
        backbone = SimpleNamespace(spec=spec, attention=lambda pixels: attention[None])

        def __call__(self, pixels):
            raise AssertionError("rollout needs no decision")

    return Fixed()


def test_two_layers_are_multiplied_by_hand():
    first = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    second = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = rollout_maps(classifier_of(torch.stack([first, second])[:, None], "cls"), torch.zeros(1, 3, 8, 8))
    # Second layer: half of the class token stays, half comes from patch 1; first layer: patch 1 is half patch 2.
    torch.testing.assert_close(found[0], torch.tensor([[0.25, 0.25]]))


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_rollout_equals_the_product_of_the_matrices(pictures, tree, pool):
    model, pixels = pictures.classifier("small_vit", tree, backbone={"pool": pool}), pictures.noise(2)
    backbone, product = model.backbone, None
    n_prefix = backbone.spec.n_prefix_tokens
    for attention in backbone.attention(pixels).mean(dim=2).unbind(dim=1):
        mixed = 0.5 * attention + 0.5 * torch.eye(attention.shape[-1])
        product = mixed if product is None else mixed @ product
    row = product[:, 0] if pool == "cls" else product[:, n_prefix:].mean(dim=1)
    expected = row[:, n_prefix:].reshape(2, *backbone.spec.grid)
    torch.testing.assert_close(rollout_maps(model, pixels), expected)


def test_a_network_without_attention_is_refused(pictures, tree):
    with pytest.raises(ConfigError, match="no attention"):
        rollout_maps(pictures.classifier("small_cnn", tree), pictures.noise(1))


def test_attention_that_is_no_number_is_refused():
    with pytest.raises(ArtifactError, match="not finite"):
        rollout_maps(classifier_of(torch.full((1, 1, 3, 3), torch.nan), "cls"), torch.zeros(1, 3, 8, 8))
