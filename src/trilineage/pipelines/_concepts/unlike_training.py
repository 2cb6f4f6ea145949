"""How unlike training each held-out patient is, seen in its barcode."""

import numpy as np

from trilineage.core.artifacts import Run
from trilineage.data.barcodes.barcode import Barcodes
from trilineage.data.cohort import Cohort
from trilineage.data.splits import Split
from trilineage.evaluation.barcodes.profiles import barcode_classes, barcode_profiles
from trilineage.evaluation.patient_profiles import profile_rows
from trilineage.pipelines._concepts.held_out import patient_parts
from trilineage.pipelines._runs import UNLIKE


def write_unlike_training(run: Run, barcodes: Barcodes, cohort: Cohort, split: Split) -> None:
    """Write how far the log barcodes of validation and test patients lie from those of training patients.

    Where nobody validates there is nothing to place a patient among, and nothing is written.
    """
    parts = patient_parts(barcodes, cohort, split)
    learned, valid, test = (
        barcodes.subset(np.flatnonzero(parts == part)) for part in ("train", "valid", "test")
    )
    if len(learned) < 2 or len(valid) == 0:
        return
    held_out = {"valid": barcode_profiles(valid), "test": barcode_profiles(test)}
    rows = profile_rows(split.name, barcode_profiles(learned), barcode_classes(learned), held_out)
    run.write_table(UNLIKE, rows)
