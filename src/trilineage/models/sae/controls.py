"""Dictionaries that learned nothing, as autoencoders: raw neurons, principal components, and random directions.

What a trained autoencoder finds means something only beside what these find; as they are autoencoders too, they go
through the same code.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from trilineage.core.errors import DataError
from trilineage.core.seeding import derive_seed
from trilineage.models.sae.encoding import encode_largest_of_batch, nth_largest
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sae.settings import SaeSettings


@torch.no_grad()
def neurons(tokens: Float[Tensor, "token width"]) -> SparseAutoencoder:
    """Return the axes of the tokens as latents: f = ReLU(x - mean) and ReLU(mean - x), axis by axis.

    The reconstruction is perfect. Latent i is axis i upwards, latent i + width downwards.

    Parameters
    ----------
    tokens
        Sample of the training tokens.

    Raises
    ------
    DataError
        If there are fewer than two tokens, or one is not finite.
    """
    return _both_ways(torch.eye(tokens.shape[1], dtype=torch.float64), tokens)


@torch.no_grad()
def components(tokens: Float[Tensor, "token width"], n_components: int | None = None) -> SparseAutoencoder:
    """Return the principal components of the tokens as latents, upwards and downwards around the mean.

    Latent i is component i, by falling variance, its largest loading positive; latent i + n_components the other way.

    Parameters
    ----------
    tokens
        Sample of the training tokens.
    n_components
        How many; None: all, which reconstructs perfectly.

    Raises
    ------
    DataError
        If there are fewer than two tokens, or one is not finite.
    """
    exact = _sound(tokens)
    centred = exact - exact.mean(dim=0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)  # ascending, in columns
    rows = vectors.flip(1).T[:n_components]
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return _both_ways(rows * largest.sign(), tokens)


@torch.no_grad()
def random_sae(
    like: SparseAutoencoder, tokens: Float[Tensor, "token width"], *, seed: int = 0
) -> SparseAutoencoder:
    """Return an autoencoder with random unit rows, as many and as active (L0) as those of another.

    Of a top-k it is a top-k with the same k; else the largest pre-activations of the sample are active, as many as the
    other's, and what they exceed is the threshold of all latents.

    Parameters
    ----------
    like
        A trained autoencoder.
    tokens
        Sample of the training tokens, some thousands.
    seed
        Decides the directions.

    Raises
    ------
    DataError
        If there are fewer than two tokens, one is not finite, or the other autoencoder is silent on them.
    """
    mean = _sound(tokens).mean(dim=0).float()
    draws = torch.Generator().manual_seed(derive_seed(seed, "random dictionary"))
    rows = torch.randn(like.n_latents, like.width, generator=draws)
    rows /= torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min(1e-12)
    is_topk = like.settings.activation == "topk"
    n_active = like.encode(tokens.to(like.decoder_weight.device)).n_active
    if n_active == 0:
        raise DataError("an autoencoder that is silent has no random counterpart", seen="L0 = 0")
    k = like.settings.k if is_topk else min(math.ceil(n_active / len(tokens)), like.n_latents)
    settings = SaeSettings(activation="topk" if is_topk else "batch_topk", latents=like.n_latents, k=k)
    model = _filled(settings, rows, mean)
    if not is_topk:
        model.threshold.fill_(_threshold(model, tokens, n_active))
    return model.to(like.decoder_weight.device)


def _threshold(model: SparseAutoencoder, tokens: Float[Tensor, "token width"], n_active: int) -> float:
    """Return what the `n_active` largest pre-activations exceed."""
    centred = model.centre(tokens.cpu())
    codes, smallest = encode_largest_of_batch(centred, model.encoder, model.settings.k)
    smallest = nth_largest(codes.values, n_active) or smallest
    return float(torch.tensor(smallest).nextafter(torch.tensor(0.0)))


def _both_ways(
    rows: Float[Tensor, "direction width"], tokens: Float[Tensor, "token width"]
) -> SparseAutoencoder:
    """Return orthonormal directions, and their opposites, as latents around the mean of the tokens."""
    mean = _sound(tokens).mean(dim=0)
    settings = SaeSettings(activation="relu", latents=2 * len(rows), auxiliary="none")
    return _filled(settings, torch.cat([rows, -rows]).float(), mean.float()).to(tokens.device)


def _filled(
    settings: SaeSettings, rows: Float[Tensor, "latent width"], mean: Float[Tensor, " width"]
) -> SparseAutoencoder:
    """Return an autoencoder whose encoder and decoder have the same rows, without bias."""
    model = SparseAutoencoder(rows.shape[1], settings, seed=None)
    model.decoder_weight.copy_(rows)
    model.encoder_weight.copy_(rows)
    model.decoder_bias.copy_(mean)
    return model.eval()


def _sound(tokens: Float[Tensor, "token width"]) -> Tensor:
    """Return the tokens in double precision on the CPU, or refuse them."""
    exact = tokens.detach().cpu().double()
    if len(tokens) < 2 or not bool(torch.isfinite(exact).all()):
        raise DataError(
            "a control needs a sample of sound tokens",
            seen=f"{len(tokens)} tokens, {int((~torch.isfinite(exact)).any(dim=1).sum())} of them not finite",
            allowed="2 or more, all finite",
        )
    return exact
