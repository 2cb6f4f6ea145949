"""Activations drawn from a seed, their codes made densely, and patients whose barcodes tell their class."""

import numpy as np
import scipy.sparse as sp

from trilineage.core.seeding import generator
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.codes.image_codes import ImageCodes


def draw_activations(n_images, *, n_tokens=6, n_latents=12, seed=0):
    """Return activations (image token latent) of which most are 0; token 0 is CLS."""
    rng = generator(seed, "activations")
    values = rng.gamma(1.0, 0.5, size=(n_images, n_tokens, n_latents)).astype(np.float32)
    return np.where(rng.random(values.shape) < 0.3, values, 0.0).astype(np.float32)


def codes_of(activations, *, tau=0.2):
    """Return the codes of activations whose token 0 is CLS."""
    patches, cls = activations[:, 1:], activations[:, 0]
    images, latents = np.nonzero((activations > 0).any(axis=1))
    own = patches[images, :, latents]
    peaks = own.max(axis=1)
    return ImageCodes(
        positions=np.arange(len(activations)),
        indptr=np.searchsorted(images, np.arange(len(activations) + 1)).astype(np.int64),
        latents=latents.astype(np.int32),
        sums=own.sum(axis=1),
        counts=(own > tau).sum(axis=1).astype(np.int32),
        peaks=peaks,
        peak_patches=np.where(peaks > 0, own.argmax(axis=1), -1).astype(np.int32),
        cls=cls[images, latents],
        n_latents=activations.shape[2],
        n_patches=activations.shape[1] - 1,
        has_cls=True,
        tau=tau,
    )


def draw_patients(n_patients=60, *, n_classes=3, n_latents=200, signal=1.5, seed=0):
    """Return barcodes in which 3 latents of each class are more frequent, and which those are (class latent)."""
    rng = generator(seed, "patients")
    labels = np.arange(n_patients) % n_classes
    logs = rng.normal(-1.0, 1.0, size=(n_patients, n_latents))
    planted = np.arange(3 * n_classes).reshape(n_classes, 3) * 7
    for label in range(n_classes):
        logs[np.ix_(labels == label, planted[label])] += signal
    values = np.where(rng.random(logs.shape) < 0.7, np.exp(logs), 0.0).astype(np.float32)
    barcodes = Barcodes(
        names=np.array([f"p{i:03d}" for i in range(n_patients)]),
        values=sp.csr_array(values),
        n_images=np.full(n_patients, 50),
        labels=np.array(["ABCDEFG"[label] for label in labels]),
    )
    return barcodes, planted
