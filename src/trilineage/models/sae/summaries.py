"""Codes of tokens to codes of images: sums, counts and peaks over the patches of each, without a dense latent."""

import numpy as np
from jaxtyping import Int

from trilineage.core.errors import DataError
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.models.sae import summaries_kernels
from trilineage.models.sae.codes import SparseCodes


def summarise(
    codes: SparseCodes,
    *,
    n_tokens: int,
    n_prefix: int,
    tau: float,
    positions: Int[np.ndarray, " image"],
) -> ImageCodes:
    """Return what is kept of the codes of images.

    Parameters
    ----------
    codes
        Active latents of the tokens of all images, image after image.
    n_tokens
        Tokens per image.
    n_prefix
        How many of them, the first, are prefix tokens: CLS, then registers, which are left out.
    tau
        What an activation must exceed to be counted, 0 or more.
    positions
        Row of each image in its table.

    Raises
    ------
    DataError
        If the tokens are not those of so many images.
    """
    n_images = len(positions)
    if codes.n_tokens != n_images * n_tokens or not 0 <= n_prefix <= n_tokens:
        raise DataError(
            "these are not the tokens of so many images",
            seen=f"{codes.n_tokens} tokens for {n_images} images",
            allowed=f"{n_images * n_tokens} ({n_tokens} each, {n_prefix} of them prefix tokens)",
            remedy="give all kept tokens of each image, one image after the other",
        )
    given = tuple(part.cpu().numpy() for part in (codes.indptr, codes.latents, codes.values))
    slots = np.full(codes.n_latents, -1, np.int64)
    distinct = np.empty(n_images, np.int64)
    summaries_kernels.count_latents(*given, n_tokens, n_prefix, slots, distinct)
    starts = np.concatenate([[0], np.cumsum(distinct)]).astype(np.int64)
    n_pairs = int(starts[-1])
    latents, counts = np.empty(n_pairs, np.int32), np.zeros(n_pairs, np.int32)
    sums, peaks, cls = np.zeros(n_pairs), np.zeros(n_pairs, np.float32), np.zeros(n_pairs, np.float32)
    at = np.full(n_pairs, -1, np.int32)
    written = (latents, sums, counts, peaks, at, cls)
    summaries_kernels.fill(*given, n_tokens, n_prefix, np.float32(tau), slots, starts, *written)
    return ImageCodes(
        np.asarray(positions, dtype=np.int64),
        starts,
        latents,
        sums.astype(np.float32),
        counts,
        peaks,
        at,
        cls,
        n_latents=codes.n_latents,
        n_patches=n_tokens - n_prefix,
        has_cls=n_prefix > 0,
        tau=tau,
    )
