"""How unlike training the new patients are to each lineage, placed among the validation patients."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped

from trilineage.core.artifacts import Run
from trilineage.core.files import write_atomically
from trilineage.demo.places import Demo
from trilineage.evaluation.patient_novelty import mean_distances, patient_novelty

TABLE = "unlike_training.csv"
N_NEAREST = 3

Distances = tuple[Float[np.ndarray, " sample"], Shaped[np.ndarray, " sample"]]
"""Distance from training of each sample, and its patient."""


def write_rna(demo: Demo) -> None:
    """Measure in the latent of the cells (see `evaluation.hierarchy.novelty`)."""
    from trilineage.evaluation.hierarchy.novelty import fit_novelty
    from trilineage.pipelines import rna

    known, new = (
        rna.predict(demo.run("rna"), path, device=demo.device) for path in (demo.blood, demo.new_blood)
    )
    run, patients = Run.open(demo.run("rna")), known.prediction.patients
    table = run.read_table("split.csv")
    part_of = dict(zip(table["patient"], table["part"], strict=True))
    label_of = dict(zip(table["patient"], table["label"], strict=True))
    parts = np.array([part_of.get(str(name), "") for name in patients])
    learned, valid = parts == "train", parts == "valid"
    labels = np.unique([label_of[str(name)] for name in patients[learned]], return_inverse=True)[1]
    novelty = fit_novelty(
        known.latent[learned],
        patients[learned],
        labels=labels,
        held_out=(known.latent[valid], patients[valid]),
        seed=demo.settings.seed,
    )
    usual = (novelty.score(known.latent[valid]).distance, patients[valid])
    _write(demo, "rna", usual, (novelty.score(new.latent).distance, new.prediction.patients))


def write_images(demo: Demo) -> None:
    """Measure by the mean percentile of a patient's images, that of validation patients found in the same way."""
    from trilineage.pipelines import images

    valid = {"keep": ["part=valid"]}
    images.predict(
        demo.run("images"), demo.smears, out=demo.new / "valid_images", device=demo.device, options=valid
    )
    tables = [
        pd.read_csv(demo.new / name / "predictions.csv", dtype={"patient": str})
        for name in ("valid_images", "images")
    ]
    usual, new = (
        (table["unlike_training_percentile"].to_numpy(dtype=np.float64), table["patient"].to_numpy(dtype=str))
        for table in tables
    )
    _write(demo, "images", usual, new)


def write_concepts(demo: Demo) -> None:
    """Measure by the mean distance of a barcode from the nearest training patients."""
    from trilineage.data.barcodes.files import read_barcodes
    from trilineage.evaluation.barcodes.neighbours import nearest_patients

    known = read_barcodes(demo.run("concepts") / "barcodes.h5ad")
    new = read_barcodes(demo.new / "concepts" / "barcodes.h5ad")
    table = Run.open(demo.run("concepts")).read_table("split.csv")
    part_of = dict(zip(table["patient"], table["part"], strict=True))
    parts = np.array([part_of[str(name)] for name in known.names])
    learned, valid = (known.subset(np.flatnonzero(parts == part)) for part in ("train", "valid"))
    usual, found = (
        (nearest_patients(one, learned, n=min(N_NEAREST, len(learned))).distances.mean(axis=1), one.names)
        for one in (valid, new)
    )
    _write(demo, "concepts", usual, found)


def read_percentiles(demo: Demo) -> dict[str, Mapping[str, float]]:
    """Return the percentile of each new patient by lineage; only lineages that were measured."""
    found: dict[str, Mapping[str, float]] = {}
    for lineage in ("rna", "images", "concepts"):
        path = demo.new / lineage_table(lineage)
        if path.is_file():
            table = pd.read_csv(path, dtype={"patient": str})
            found[lineage] = dict(zip(table["patient"], table["percentile"].astype(float), strict=True))
    return found


def lineage_table(lineage: str) -> str:
    """Return the name of the table of a lineage."""
    return f"{lineage}_{TABLE}"


def _write(demo: Demo, lineage: str, usual: Distances, new: Distances) -> None:
    found = patient_novelty(*new, mean_distances(*usual)[1])
    table = pd.DataFrame(
        {"patient": found.patients, "distance": found.distance, "percentile": found.percentile}
    )
    write_atomically(demo.new / lineage_table(lineage), table.to_csv(index=False).encode())
