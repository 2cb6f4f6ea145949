"""Codes of images for tests, made from dense activations."""

import numpy as np

from trilineage.data.codes.image_codes import ImageCodes


def codes_of(f, *, positions=None, n_prefix=1, tau=0.2):
    """Summarise dense activations (image token latent) as plainly as can be."""
    f = np.asarray(f, dtype=np.float32)
    cls = f[:, 0] if n_prefix else np.zeros(f[:, 0].shape, np.float32)
    patches = f[:, n_prefix:]
    rows, latents = np.nonzero((patches > 0).any(axis=1) | (cls > 0))
    peaks = patches.max(axis=1, initial=0)[rows, latents]
    at = patches.argmax(axis=1)[rows, latents] if patches.shape[1] else np.zeros(len(rows), np.int64)
    return ImageCodes(
        np.arange(len(f)) if positions is None else np.asarray(positions, dtype=np.int64),
        np.searchsorted(rows, np.arange(len(f) + 1)).astype(np.int64),
        latents.astype(np.int32),
        patches.sum(axis=1)[rows, latents],
        (patches > tau).sum(axis=1)[rows, latents].astype(np.int32),
        peaks,
        np.where(peaks > 0, at, -1).astype(np.int32),
        cls[rows, latents],
        n_latents=f.shape[2],
        n_patches=patches.shape[1],
        has_cls=n_prefix > 0,
        tau=tau,
    )


def from_scores(scores):
    """Codes of images with one patch, so that the mean activation is what is given (image latent)."""
    return codes_of(np.asarray(scores)[:, None, :], n_prefix=0)
