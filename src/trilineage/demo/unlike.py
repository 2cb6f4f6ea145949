"""How unlike training the new patients are to each lineage, placed among the validation patients."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Int

from trilineage.core.artifacts import Run
from trilineage.core.files import write_atomically
from trilineage.demo.places import Demo
from trilineage.evaluation.patient_profiles import Profiles, patient_classes, profile_rows

TABLE = "unlike_training.csv"
LINEAGES = ("rna", "images", "concepts")


def write_rna(demo: Demo) -> None:
    """Measure the mean expression of the new patients."""
    from trilineage.data.expression.open import ExpressionSettings, open_expression
    from trilineage.pipelines import rna
    from trilineage.pipelines._rna.unlike_training import expression_profiles

    run = Run.open(demo.run("rna"))
    target_sum = run.config(rna.Config).data.target_sum
    known, new = (
        open_expression(ExpressionSettings(path=str(path), target_sum=target_sum))
        for path in (demo.blood, demo.new_blood)
    )
    new = new.aligned(new.align(known.genes))
    parts, codes = _dealt(run, known.column("patient"))
    learned, valid = (
        expression_profiles(known, rows, known.column("patient")[rows])
        for rows in (np.flatnonzero(parts == part) for part in ("train", "valid"))
    )
    later = expression_profiles(new, np.arange(new.n_obs), new.column("patient"))
    classes = patient_classes(codes[parts == "train"], known.column("patient")[parts == "train"])
    _write(demo, "rna", (learned, classes), valid, later)


def write_images(demo: Demo) -> None:
    """Measure the mean features of the images of the new patients."""
    from trilineage.data.images.open import open_images
    from trilineage.evaluation.patient_profiles import mean_profiles
    from trilineage.pipelines._image_cohort import reading_settings
    from trilineage.pipelines._images.fold import look_at
    from trilineage.pipelines._images.store import read_model
    from trilineage.pipelines._images.trust import read_profiles
    from trilineage.pipelines._runs import prediction_weights
    from trilineage.training.distributed import choose_device

    run, device = Run.open(demo.run("images")), choose_device(demo.device)
    name = prediction_weights(run)
    stored = read_model(run, name, device=device)
    table = open_images(reading_settings(stored.config.data, demo.new_smears, {}))
    found = look_at(stored.model, table, device=device)
    learned, valid, classes = read_profiles(run, name)
    assert table.patients is not None
    _write(demo, "images", (learned, classes), valid, mean_profiles(found.features, table.patients))


def write_concepts(demo: Demo) -> None:
    """Measure the barcodes of the new patients."""
    from trilineage.data.barcodes.files import read_barcodes
    from trilineage.evaluation.barcodes.profiles import barcode_classes, barcode_profiles

    known = read_barcodes(demo.run("concepts") / "barcodes.h5ad")
    new = read_barcodes(demo.new / "concepts" / "barcodes.h5ad")
    parts, _ = _dealt(Run.open(demo.run("concepts")), known.names)
    learned, valid = (known.subset(np.flatnonzero(parts == part)) for part in ("train", "valid"))
    own = barcode_profiles(learned), barcode_classes(learned)
    _write(demo, "concepts", own, barcode_profiles(valid), barcode_profiles(new))


def _dealt(run: Run, patients: np.ndarray) -> tuple[np.ndarray, Int[np.ndarray, " sample"]]:
    """Return the part of each patient named, and the code of its label."""
    table = run.read_table("split.csv")
    part_of = dict(zip(table["patient"], table["part"], strict=True))
    label_of = dict(zip(table["patient"], table["label"], strict=True))
    parts = np.array([part_of.get(str(name), "") for name in patients])
    return parts, np.unique([label_of.get(str(name), "") for name in patients], return_inverse=True)[1]


def read_percentiles(demo: Demo) -> dict[str, Mapping[str, float]]:
    """Return the percentile of each new patient by lineage; only lineages that were measured."""
    found: dict[str, Mapping[str, float]] = {}
    for lineage in LINEAGES:
        path = demo.new / lineage_table(lineage)
        if path.is_file():
            table = pd.read_csv(path, dtype={"patient": str})
            found[lineage] = dict(zip(table["patient"], table["percentile"].astype(float), strict=True))
    return found


def read_known(demo: Demo) -> dict[str, Mapping[str, float]]:
    """Return the percentile of each test patient, whose diagnosis was learned, by lineage that was measured."""
    found: dict[str, Mapping[str, float]] = {}
    for lineage in read_percentiles(demo):
        table = pd.DataFrame(Run.open(demo.run(lineage)).read_table(TABLE))
        tested = table[table["part"] == "test"]
        found[lineage] = dict(zip(tested["patient"], tested["percentile"].astype(float), strict=True))
    return found


def lineage_table(lineage: str) -> str:
    """Return the name of the table of a lineage."""
    return f"{lineage}_{TABLE}"


def _write(
    demo: Demo,
    lineage: str,
    learned: tuple[Profiles, Int[np.ndarray, " patient"]],
    valid: Profiles,
    new: Profiles,
) -> None:
    rows = pd.DataFrame(profile_rows("new", *learned, {"valid": valid, "test": new}))
    table = rows.loc[rows["part"] == "test", ["patient", "distance", "percentile"]]
    write_atomically(demo.new / lineage_table(lineage), table.to_csv(index=False).encode())
