"""Integrated gradients of samples of the cohort, a few dense cells at a time."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int

from trilineage.explain.genes import Logits, completeness_gap, integrated_gradients
from trilineage.models.diagnoser import Diagnoser, two_columns
from trilineage.pipelines._rna.material import Material

CELLS_AT_ONCE = 128
"""Cells whose dense gradients are held at a time: 128 x 29,150 values are 15 MB."""

Attributed = tuple[Int[np.ndarray, " cell"], Float[np.ndarray, "cell gene"], float]
"""Positions in the cohort, what each gene adds to the evidence, and how far the sums miss it."""


def attributions(
    diagnoser: Diagnoser,
    material: Material,
    cells: Int[np.ndarray, " cell"],
    baseline: Float[np.ndarray, " gene"],
    code: int,
    *,
    device: torch.device,
) -> Iterator[Attributed]:
    """Give the attributions of some samples to one class, a part at a time, in the order of the samples."""
    start_from = torch.from_numpy(baseline).to(device)
    for start in range(0, len(cells), CELLS_AT_ONCE):
        chosen = cells[start : start + CELLS_AT_ONCE]
        dense = material.expression.to_csr(material.rows[chosen]).toarray()
        values = torch.from_numpy(dense.astype(np.float32)).to(device)
        logits = dense_logits(diagnoser, values)
        found = integrated_gradients(logits, values, start_from, code)
        gap = completeness_gap(logits, values, start_from, code, attributions=found)
        yield chosen, found.double().cpu().numpy(), gap


def dense_logits(diagnoser: Diagnoser, values: Float[torch.Tensor, "cell gene"]) -> Logits:
    """Return the model as a function of dense expression; links of a graph classifier stay those of `values`."""
    encode = diagnoser.encoder.encode_dense
    with torch.no_grad():
        latent = encode(values)  # type: ignore[operator]
    several = len(values)
    held = diagnoser.classifier.held_at(latent)  # type: ignore[operator]

    def logits(moved: Float[torch.Tensor, "cell gene"]) -> Float[torch.Tensor, "cell class"]:
        if len(moved) == several:
            return two_columns(held(encode(moved)))  # type: ignore[operator]
        return two_columns(diagnoser.classifier(encode(moved)))  # type: ignore[operator]

    return logits
