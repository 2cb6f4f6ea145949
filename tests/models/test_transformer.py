"""The transformer over the latent against torch's own attention."""

import pytest
import torch
from torch import nn

from trilineage.core.errors import ConfigError
from trilineage.models.transformer import LatentTransformer, TransformerSettings

SETTINGS = TransformerSettings(token_width=4, embed_dim=16, hidden=32, n_heads=4, n_layers=2)


def transformer(d_in=10):
    torch.manual_seed(0)
    return LatentTransformer(d_in, 3, settings=SETTINGS, dropout=0.1).eval()


def test_a_layer_equals_the_pre_norm_layer_of_torch():
    model = transformer()
    ours = model.layers[0]
    theirs = nn.TransformerEncoderLayer(16, 4, 32, 0.0, "gelu", batch_first=True, norm_first=True).eval()
    theirs.self_attn.load_state_dict(
        {
            "in_proj_weight": ours.query_key_value.weight,
            "in_proj_bias": ours.query_key_value.bias,
            "out_proj.weight": ours.mix.weight,
            "out_proj.bias": ours.mix.bias,
        }
    )
    theirs.linear1.load_state_dict(ours.hidden[0].state_dict())
    theirs.linear2.load_state_dict(ours.hidden[2].state_dict())
    tokens = torch.randn(5, 7, 16)
    torch.testing.assert_close(ours(tokens), theirs(tokens), atol=1e-5, rtol=1e-5)
    weights = theirs.self_attn(*[ours.norm_attention(tokens)] * 3, average_attn_weights=False)[1]
    torch.testing.assert_close(ours.attention(tokens), weights, atol=1e-6, rtol=1e-5)


def test_units_that_fill_no_token_are_filled_with_zeros():
    model = transformer(10)
    assert model.n_tokens == 3
    assert model(torch.randn(2, 10)).shape == (2, 3)


def test_every_unit_of_the_latent_counts():
    latent = torch.randn(1, 10, requires_grad=True)
    transformer(10)(latent).square().sum().backward()
    assert (latent.grad != 0).all()


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ConfigError, match="heads"):
        TransformerSettings(embed_dim=30, n_heads=4)
