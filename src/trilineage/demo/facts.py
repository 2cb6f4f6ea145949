"""What the page says besides claims: cohort, steps with their seconds, new patients, commands for one's own data."""

import json
from typing import Any

import pandas as pd

from trilineage import __version__
from trilineage.core.files import write_atomically
from trilineage.core.manifest import to_json
from trilineage.core.provenance import now
from trilineage.data.simulate.cohort.settings import NEW
from trilineage.data.simulate.cohort.write import PATIENTS
from trilineage.demo.places import Demo
from trilineage.demo.unlike import read_percentiles

FACTS = "demo.json"

COMMANDS = (
    (
        "Expression (h5ad, 10x, CSV; a column for the diagnosis, one for the patient):",
        "trilineage rna fit --data FILE.h5ad --out runs/rna\ntrilineage rna explain runs/rna",
    ),
    (
        "Cell images (a folder per class, or a table with path, label, patient), on the bundled encoder:",
        "trilineage images fit --data IMAGES --out runs/images --set taxonomy=leukemia --set frozen=true\n"
        "trilineage images explain runs/images --per-patient 4",
    ),
    (
        "Concepts in the same images, barcodes of patients, and the atlas:",
        "trilineage concepts fit --data IMAGES --out runs/concepts --set data.size=96\n"
        "trilineage concepts explain runs/concepts --per-patient 4",
    ),
    (
        "One patient across the lineages (any of the three may be left out; the same patients in the same part):",
        "trilineage cases fit --rna runs/rna --images runs/images --concepts runs/concepts --out runs/cases\n"
        "trilineage cases explain runs/cases",
    ),
    (
        "Checks before any of it, and any report again:",
        "trilineage data check IMAGES\ntrilineage report runs/rna",
    ),
)


def write_facts(demo: Demo) -> None:
    """Write what the page says besides claims."""
    told = _simulated(demo) if demo.is_simulated else _real(demo)
    facts = {
        "created": now(),
        "trilineage": __version__,
        "scale": demo.settings.scale,
        "seed": demo.settings.seed,
        "lineages": {"rna": "gene expression", "images": "cell images", "concepts": "concepts of cells"},
        "commands": COMMANDS,
        "steps": _steps(demo),
        "new": _new_patients(demo) if demo.is_simulated else [],
        **told,
    }
    write_atomically(demo.path / FACTS, to_json(facts))


def _simulated(demo: Demo) -> dict[str, Any]:
    patients = pd.read_csv(demo.cohort / PATIENTS)
    known = patients[patients["part"] != NEW]
    both = int((known["has_smears"] & known["has_expression"]).sum())
    parts = known["part"].value_counts()
    sizes = ", ".join(f"{name} {parts.get(name, 0)}" for name in ("train", "valid", "test"))
    return {
        "title": "Three lineages on one small cohort",
        "summary": f"{len(known)} simulated patients with {known['diagnosis'].nunique()} diagnoses, {both} of them "
        "with smears and expression: each lineage learns alone, then all are put together, and every claim is held "
        "against the simulator's truth.",
        "about_truth": "The simulator knows which genes a disease changes, where each cell lies in its image, which "
        "signs were planted into which cells, and who has what. No model was shown any of it beyond the diagnosis of "
        "its training patients.",
        "cohort": [
            ("Patients", f"{len(known)} ({sizes}); {len(patients) - len(known)} came later"),
            ("With both kinds of data", str(both)),
            ("Smears only, expression only", _lone(known)),
            ("Diagnoses", ", ".join(known["diagnosis"].drop_duplicates().sort_values())),
        ],
    }


def _lone(known: pd.DataFrame) -> str:
    return f"{int((~known['has_expression']).sum())}, {int((~known['has_smears']).sum())}"


def _real(demo: Demo) -> dict[str, Any]:
    return {
        "title": "The lineages on public data",
        "summary": "Cells of healthy people (PBC) for images and concepts, acute lymphoblastic leukemia in bulk RNA "
        "for expression; nobody has both kinds of data, so nothing is put together.",
        "about_truth": "Held against what people wrote down: cell types, attributes of cells (WBCAtt), subtypes of "
        "leukemia. The bundled encoder was trained with the labels of the same training images, so concepts look "
        "better here than on other cells.",
        "cohort": [("Data", demo.settings.data)],
    }


def _steps(demo: Demo) -> list[dict[str, Any]]:
    """Return the finished steps in the order in which they ended."""
    files = sorted((demo.path / "steps").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text("utf-8")) for path in files]


def _new_patients(demo: Demo) -> list[dict[str, Any]]:
    """Return decision, set and likeness of the patients who came later, with their true diagnosis."""
    patients = pd.read_csv(demo.cohort / PATIENTS, dtype={"patient": str})
    truth = dict(zip(patients["patient"], patients["diagnosis"], strict=True))
    path = demo.new / "cases" / "patients.csv"
    if not path.is_file():
        return []
    table, percentiles = pd.read_csv(path, dtype=str, keep_default_na=False), read_percentiles(demo)
    return [
        {
            "patient": row["patient"],
            "diagnosis": truth[row["patient"]],
            "decision": row["decision"],
            "set": row["set"],
            "percentiles": {name: own.get(row["patient"]) for name, own in percentiles.items()},
        }
        for row in table.to_dict("records")
    ]
