"""Sparse codes back to tokens: the sum of the decoder rows of the active latents, each times its activation."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from trilineage.models.sae import decoding_kernels
from trilineage.models.sae.codes import SparseCodes
from trilineage.models.sparse import Backend, choose_backend, use_torch_threads


@torch.no_grad()
def decode(
    codes: SparseCodes,
    weight: Float[Tensor, "latent width"],
    start: Float[Tensor, " width"],
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "token width"]:
    """Return `start` plus the codes times the decoder, without making the codes dense.

    Parameters
    ----------
    codes
        Active latents.
    weight
        One decoder row per latent.
    start
        What every token begins with: the decoder bias, or zeros.
    backend
        Who computes; the numbers agree to rounding.
    """
    weight, start = weight.detach(), start.detach()
    if choose_backend(backend, weight.device) == "numba":
        out = start.expand(codes.n_tokens, -1).contiguous()
        use_torch_threads()
        arrays = (codes.indptr.numpy(), codes.latents.numpy(), codes.values.numpy(), weight.numpy())
        decoding_kernels.add_decoder_rows(*arrays, out.numpy())
        return out
    if codes.n_active == 0:
        return start.expand(codes.n_tokens, -1).clone()
    bags = F.embedding_bag(
        codes.latents.long(),
        weight,
        codes.indptr,
        mode="sum",
        per_sample_weights=codes.values,
        include_last_offset=True,
    )
    return bags + start
