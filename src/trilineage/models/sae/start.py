"""Where an autoencoder starts: its decoder bias at the middle of the tokens, its decoder rows towards some of them."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from trilineage.core.errors import DataError
from trilineage.core.seeding import derive_seed
from trilineage.models.sae.model import SparseAutoencoder


@torch.no_grad()
def start_from_tokens(
    model: SparseAutoencoder, tokens: Float[Tensor, "token width"], *, seed: int = 0
) -> None:
    """Set decoder bias, token variance and, if the settings ask for it, decoder rows from a sample of tokens.

    Parameters
    ----------
    model
        A new autoencoder.
    tokens
        Sample of the training tokens, 10,000 to 100,000.
    seed
        Decides which tokens decoder rows are drawn from.

    Raises
    ------
    DataError
        If there are fewer than two tokens, or one is not finite.
    """
    model.require(tokens)
    if len(tokens) < 2:
        raise DataError("a start needs tokens", seen=len(tokens), allowed="2 or more")
    exact, settings = tokens.double(), model.settings
    if settings.bias_start == "mean":
        model.decoder_bias.copy_(exact.mean(dim=0))
    elif settings.bias_start == "geometric_median":
        model.decoder_bias.copy_(geometric_median(tokens))
    model.token_variance.copy_(exact.var(dim=0, correction=0).sum())
    if settings.decoder_start == "data":
        rows = _directions(model, tokens, seed=seed)
        model.decoder_weight.copy_(rows)
        if settings.encoder_start == "tied":
            model.encoder_weight.copy_(rows)


def geometric_median(
    tokens: Float[Tensor, "token width"], *, n_rounds: int = 100, tolerance: float = 1e-6
) -> Float64[Tensor, " width"]:
    """Return the point whose distances to the tokens have the smallest sum (Weiszfeld 1937).

    Examples
    --------
    >>> geometric_median(torch.tensor([[0.0], [1.0], [50.0]])).round(decimals=3)
    tensor([1.], dtype=torch.float64)
    """
    exact = tokens.double()
    median = exact.mean(dim=0)
    for _ in range(n_rounds):
        distances = torch.linalg.vector_norm(exact - median, dim=1).clamp_min(1e-12)
        weights = distances.reciprocal()
        moved = (weights @ exact) / weights.sum()
        is_there = torch.linalg.vector_norm(moved - median) <= tolerance * torch.linalg.vector_norm(median)
        median = moved
        if is_there:
            break
    return median


def _directions(
    model: SparseAutoencoder, tokens: Float[Tensor, "token width"], *, seed: int
) -> Float[Tensor, "latent width"]:
    """Return unit rows towards tokens drawn without replacement (again from all when they run out)."""
    draws = torch.Generator().manual_seed(derive_seed(seed, "decoder rows"))
    rounds = -(-model.n_latents // len(tokens))
    drawn = torch.cat([torch.randperm(len(tokens), generator=draws) for _ in range(rounds)])
    rows = model.centre(tokens[drawn[: model.n_latents].to(tokens.device)])
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return torch.where(norms > 0, rows / norms.clamp_min(1e-12), model.decoder_weight)
