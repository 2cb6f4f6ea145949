"""Images to their sparse codes: backbone, autoencoder and summary, batch by batch on every core, in order."""

import hashlib
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from trilineage.core.errors import ConfigError, DataError
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.data.codes.store import CodeSource
from trilineage.data.tokens.reader import TokenReader
from trilineage.data.tokens.source import TokenSource
from trilineage.models.encoder import TokenEncoder
from trilineage.models.sae.codes import SparseCodes
from trilineage.models.sae.encoding import TOKEN_CHUNK
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sae.summaries import summarise
from trilineage.models.streaming import Load, images_per_batch, in_batches, stream_batches

TAU = 0.2
"""Activation above which a token counts in a barcode (Dasdelen et al. 2025)."""
_TOKENS_PER_BATCH = 1024
_one_at_a_time = threading.Lock()


def encode_images(  # noqa: PLR0913  (who encodes, what, and where)
    encoder: TokenEncoder,
    sae: SparseAutoencoder,
    load: Load,
    images: int | Int[np.ndarray, " image"],
    *,
    tau: float = TAU,
    first: int = 0,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[ImageCodes]:
    """Encode images and give their codes in order, a batch at a time; nothing is kept on disk.

    Memory above the weights: pixels, activations and tokens of one batch per worker, and, where the active latents of
    a token are not limited, 50 MB per worker at 49,152 latents.

    Parameters
    ----------
    encoder
        Makes the tokens; moved to `device`.
    sae
        Trained on such tokens; moved to `device`.
    load
        From positions to pixels.
    images
        Number of images, at the positions from 0, or their positions.
    tau
        What an activation must exceed to be counted.
    first
        How many of them to leave out at the start: what a resumed encoding has done already.
    workers
        Threads; 0: one per core.

    Raises
    ------
    ConfigError
        If the autoencoder is for tokens of another width.
    DataError
        If a token is not finite; the image is named.
    """
    _require_width(sae, encoder.width, tau)
    encoder.to(device)
    positions = (np.arange(images) if isinstance(images, int) else images)[first:]
    step = images_per_batch(encoder.image_size, device)
    kept: torch.dtype = getattr(torch, encoder.dtype)

    def tokens_of(pixels: Tensor) -> Tensor:
        return encoder.tokens(pixels).to(kept).float()  # rounded as on disk: an image has one code

    summary = _Summary(sae.eval().to(device), tokens_of, encoder.n_prefix, tau)
    return _encode(summary, load, positions, step=step, workers=workers, device=device)


def encode_reader(
    reader: TokenReader,
    sae: SparseAutoencoder,
    positions: Int[np.ndarray, " image"] | None = None,
    *,
    tau: float = TAU,
    first: int = 0,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[ImageCodes]:
    """Encode images whose tokens are read, from disk or made on the fly; as `encode_images`.

    Parameters
    ----------
    reader
        Gives tokens by position.
    positions
        The images; None: all.
    """
    source = reader.source
    _require_width(sae, source.width, tau)
    chosen = (np.arange(len(reader)) if positions is None else positions)[first:]

    def load(batch: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(reader.read(batch)))

    def tokens_of(tokens: Tensor) -> Tensor:
        return tokens.to(device).float()

    step = max(1, _TOKENS_PER_BATCH // source.n_tokens)
    summary = _Summary(sae.eval().to(device), tokens_of, source.n_prefix, tau)
    return _encode(summary, load, chosen, step=step, workers=workers, device=device)


def dictionary_key(sae: SparseAutoencoder) -> str:
    """Return the SHA-256 of what an autoencoder encodes with: two with one give the same codes."""
    settings = sae.settings
    k = settings.k if settings.activation == "topk" else 0
    digest = hashlib.sha256(f"{settings.activation} {k}".encode())
    parts = (sae.encoder_weight, sae.encoder_bias, sae.decoder_weight, sae.decoder_bias, sae.bounds())
    for part in parts:
        digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
        digest.update(part.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def code_source(tokens: TokenSource, sae: SparseAutoencoder, *, tau: float = TAU) -> CodeSource:
    """Return what the codes of tokens under an autoencoder are of."""
    return CodeSource(
        dictionary_key=dictionary_key(sae),
        encoder_key=tokens.encoder_key,
        images=hashlib.sha256(f"{tokens.images} {tokens.reading}".encode()).hexdigest(),
        tau=float(tau),
        n_latents=sae.n_latents,
        n_patches=tokens.n_patches,
        has_cls=tokens.n_prefix > 0,
    )


class _Summary:
    """From a batch as it was loaded to its codes; or, where a token is not finite, to the place of its image."""

    def __init__(
        self, sae: SparseAutoencoder, tokens_of: Callable[[Tensor], Tensor], n_prefix: int, tau: float
    ):
        self.sae, self.tokens_of, self.n_prefix, self.tau = sae, tokens_of, n_prefix, float(tau)

    def __call__(self, batch: Tensor) -> ImageCodes | int:
        with torch.inference_mode():
            tokens = self.tokens_of(batch)
            is_bad = ~torch.isfinite(tokens.sum(dim=(1, 2), dtype=torch.float64))
            if is_bad.any():
                return int(is_bad.nonzero()[0])
            n_images, n_tokens, _ = tokens.shape
            codes = encode_tokens(self.sae, tokens.flatten(0, 1))
        places = np.arange(n_images)
        return summarise(codes, n_tokens=n_tokens, n_prefix=self.n_prefix, tau=self.tau, positions=places)


def encode_tokens(sae: SparseAutoencoder, tokens: Float[Tensor, "token width"]) -> SparseCodes:
    """Return the codes of tokens; several threads may call it at once.

    Tokens are given in even shares: 257 as 129 and 128, since all weights are read for a share of one token too.
    """
    if sae.settings.activation == "topk" or tokens.device.type != "cpu":
        return _encoded(sae, tokens)
    shares = tokens.tensor_split(max(1, math.ceil(len(tokens) / TOKEN_CHUNK)))
    return SparseCodes.concatenate([_encoded(sae, share) for share in shares])


def _encoded(sae: SparseAutoencoder, tokens: Float[Tensor, "token width"]) -> SparseCodes:
    if _threads_may_meet():
        return sae.encode(tokens)
    with _one_at_a_time:
        return sae.encode(tokens)


def _threads_may_meet() -> bool:
    """Tell whether two threads may enter parallel compiled code: not where numba has neither OpenMP nor TBB."""
    try:
        return numba.threading_layer() != "workqueue"
    except ValueError:  # nothing parallel has run yet
        return False


def _encode(
    summary: _Summary,
    load: Load,
    positions: Int[np.ndarray, " image"],
    *,
    step: int,
    workers: int,
    device: torch.device | str,
) -> Iterator[ImageCodes]:
    batches = (positions[places] for places in in_batches(0, len(positions), step))
    for batch, found in stream_batches(summary, load, batches, workers=workers, device=device):
        if isinstance(found, int):
            raise DataError(
                "a token is not finite",
                seen=f"NaN or infinity in the image at position {batch[found]}",
                remedy="extract the tokens again in float32, or leave out that image",
            )
        yield replace(found, positions=batch.astype(np.int64))


def _require_width(sae: SparseAutoencoder, width: int, tau: float) -> None:
    if sae.width != width:
        raise ConfigError(
            "the autoencoder is for other tokens",
            seen=f"tokens of width {width}",
            allowed=f"width {sae.width}",
            remedy="use the backbone and block that it was trained on",
        )
    if not 0 <= tau < math.inf:
        raise ConfigError("tau is no activation", seen=tau, allowed="0 or more")
