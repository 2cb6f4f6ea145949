"""The product of an encoder by either library."""

import pytest
import torch

from trilineage.models.sae import products
from trilineage.models.sae.products import multiply_into


@pytest.mark.parametrize("n_threads", [0, 1])
def test_both_libraries_give_the_product(n_threads, monkeypatch):
    monkeypatch.setattr(products, "_openblas_threads", lambda: n_threads)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    draws = torch.Generator().manual_seed(0)
    tokens, weight = torch.randn(7, 5, generator=draws), torch.randn(11, 5, generator=draws)
    out = torch.full((9, 11), torch.nan)
    multiply_into(out[:7], tokens, weight.requires_grad_())
    torch.testing.assert_close(out[:7], (tokens.double() @ weight.detach().double().T).float())
    assert out[7:].isnan().all()


def test_numpy_computes_only_with_as_many_threads_as_torch(monkeypatch):
    monkeypatch.setattr(products, "_openblas_threads", lambda: torch.get_num_threads() + 1)
    monkeypatch.setattr(products.np, "matmul", lambda *given, **options: pytest.fail("numpy has computed"))
    out = torch.empty(2, 3)
    multiply_into(out, torch.ones(2, 4), torch.ones(3, 4))
    assert (out == 4).all()


def test_other_types_are_left_to_torch():
    out = torch.empty(2, 3, dtype=torch.bfloat16)
    multiply_into(out, torch.ones(2, 4, dtype=torch.bfloat16), torch.ones(3, 4, dtype=torch.bfloat16))
    assert (out == 4).all()
