"""The same story on public data: cells of healthy people for images and concepts, leukemia in bulk for expression."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trilineage.core.errors import ConfigError
from trilineage.demo.lineages import CONCEPTS, ENCODER, IMAGES, RNA
from trilineage.demo.places import Demo

CELLS, LEUKEMIA = "images/pbc_144", "rna/bulk_all_multicohort/all_multicohort_logcpm.h5ad"
"""What is read below the folder of public data sets."""

PER_CLASS: Mapping[str, int] = {"small": 120, "full": 0}
"""Images of each cell type, 0 for all."""

SUBTYPES = (
    *("PAX5alt", "HeH", "ETV6::RUNX1_or_like", "DUX4-r", "BCR::ABL1_or_like"),
    *("ZNF384-r", "T-ALL", "KMT2A-r", "iAMP21", "TCF3::PBX1"),
)
"""Subtypes of acute lymphoblastic leukemia with enough patients."""

_SITES: Mapping[str, Any] = {
    "data.label_column": "class",
    "data.site_column": "acquisition_group",
    "train_sites": ["A"],
    "split.kind": "column",
    "taxonomy": "white_cells",
}
"""The official split; images of the other acquisition only test."""

ATTRIBUTES = ("granularity", "nuclear_cytoplasmic_ratio", "cytoplasm_vacuole", "nucleus_shape")
"""What experts wrote down of each cell (WBCAtt), which concepts are held against."""


def require_data(demo: Demo) -> None:
    """Refuse a folder that lacks what the story is told on.

    Raises
    ------
    ConfigError
        Names what is missing.
    """
    root = Path(demo.settings.data)
    missing = [name for name in (CELLS, LEUKEMIA) if not (root / name).exists()]
    if missing:
        raise ConfigError(
            "the folder of public data lacks what the demo is told on",
            seen=f"no {', no '.join(missing)} in {root}",
            allowed=f"a folder with {CELLS} and {LEUKEMIA}",
            remedy="name such a folder, or leave --data out for a simulated cohort",
        )


def fit_images(demo: Demo) -> None:
    """Learn cell types on top of the bundled encoder."""
    from trilineage.pipelines import images

    given = {**IMAGES, **_SITES, "n_views": 1, **_cells(demo)}
    config = images.Config.load(None, demo.settings.recipe("images", given))
    images.fit(config, demo.run("images"), device=demo.device)


def explain_images(demo: Demo) -> None:
    """Show where decisions were seen."""
    from trilineage.pipelines import images

    images.explain(demo.run("images"), n_images=demo.settings.n_explained, device=demo.device)


def fit_concepts(demo: Demo) -> None:
    """Learn concepts, held against what experts saw in each cell."""
    from trilineage.pipelines import concepts

    given = {
        **ENCODER,
        **_SITES,
        **CONCEPTS[demo.settings.scale],
        **_cells(demo),
        "attributes": list(ATTRIBUTES),
        "encoder.run": "bundled",
        "concepts.controls": ["random"],
    }
    config = concepts.Config.load(None, demo.settings.recipe("concepts", given))
    concepts.fit(config, demo.run("concepts"), device=demo.device)


def explain_concepts(demo: Demo) -> None:
    """Draw the concepts."""
    from trilineage.pipelines import concepts

    concepts.explain(demo.run("concepts"), n_concepts=64, device=demo.device)


def fit_rna(demo: Demo) -> None:
    """Learn subtypes of acute lymphoblastic leukemia; the authors' own split."""
    from trilineage.pipelines import rna

    given = {
        **RNA,
        "data.path": str(Path(demo.settings.data) / LEUKEMIA),
        "data.label_key": "subtype_harmonized",
        "keep": ["study=GSE227832"],
        "classes": list(SUBTYPES),
        "population.train": ["all"],
        "split.kind": "column",
        "split.column": "gex_split",
        "split.train_values": ["design"],
        "split.test_values": ["held-out"],
    }
    config = rna.Config.load(None, demo.settings.recipe("rna", given))
    rna.fit(config, demo.run("rna"), device=demo.device)


def explain_rna(demo: Demo) -> None:
    """Attribute subtypes to genes."""
    from trilineage.pipelines import rna

    rna.explain(demo.run("rna"), n_seeds=2, max_samples=300, device=demo.device)


def _cells(demo: Demo) -> dict[str, Any]:
    path = Path(demo.settings.data) / CELLS
    return {"data.path": str(path), "data.limit_per_class": PER_CLASS[demo.settings.scale]}
