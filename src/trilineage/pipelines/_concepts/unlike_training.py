"""How unlike training each held-out patient is, seen in its barcode."""

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.cohort import Cohort
from trilineage.data.splits import Split
from trilineage.evaluation.barcodes.neighbours import nearest_patients
from trilineage.evaluation.patient_novelty import novelty_rows
from trilineage.pipelines._concepts.held_out import patient_parts
from trilineage.pipelines._runs import UNLIKE

N_NEAREST = 3
"""Training patients whose mean distance counts: one may be an exception."""


def write_unlike_training(run: Run, barcodes: Barcodes, cohort: Cohort, split: Split) -> None:
    """Write how far validation and test patients lie from the nearest training patients (cosine of log barcodes).

    Where nobody validates there is nothing to place a patient among, and nothing is written.
    """
    parts = patient_parts(barcodes, cohort, split)
    learned, valid, test = (
        barcodes.subset(np.flatnonzero(parts == part)) for part in ("train", "valid", "test")
    )
    if len(learned) < N_NEAREST or len(valid) == 0:
        return
    tables = [
        (nearest_patients(one, learned, n=N_NEAREST).distances.mean(axis=1), one.names)
        if len(one)
        else (np.zeros(0), one.names)
        for one in (valid, test)
    ]
    rows = novelty_rows(split.name, tables[0], tables[1])
    counts = dict(zip(barcodes.names.tolist(), barcodes.n_images.tolist(), strict=True))
    run.write_table(UNLIKE, {**rows, "n_samples": [counts[str(name)] for name in rows["patient"]]})
