"""Barcodes as profiles of patients, to tell how unlike training a patient is."""

import numpy as np
from jaxtyping import Int

from trilineage.data.barcodes.barcode import Barcodes
from trilineage.evaluation.barcodes.make import weigh
from trilineage.evaluation.patient_profiles import Profiles


def barcode_profiles(barcodes: Barcodes) -> Profiles:
    """Return log barcodes, dense; how much a barcode varies with the images that were drawn is not known."""
    logs = weigh(barcodes, "log1p") if barcodes.weighting == "mean" else barcodes
    order = np.argsort(barcodes.names, kind="stable")
    values = logs.values[order].toarray().astype(np.float64)
    return Profiles(barcodes.names[order], barcodes.n_images[order], values, np.zeros(len(order)))


def barcode_classes(barcodes: Barcodes) -> Int[np.ndarray, " patient"]:
    """Return the class of each patient in the order of the profiles; 0 for all where nobody has a label."""
    order = np.argsort(barcodes.names, kind="stable")
    labels = np.full(len(order), "") if barcodes.labels is None else barcodes.labels[order]
    return np.unique(labels, return_inverse=True)[1]
