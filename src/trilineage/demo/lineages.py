"""What each lineage does in the demo: the options it is fitted with, and what is asked of it afterwards."""

from collections.abc import Mapping
from typing import Any

from trilineage.data.simulate.cohort.write import simulate_cohort
from trilineage.demo import unlike
from trilineage.demo.cores import n_cores
from trilineage.demo.places import Demo

_PARTS: Mapping[str, Any] = {
    "split.kind": "column",
    "split.column": "part",
    "split.train_values": ["train"],
    "split.valid_values": ["valid"],
    "split.test_values": ["test"],
}
ENCODER: Mapping[str, Any] = {"data.size": 96, "data.workers": 1}

IMAGES: Mapping[str, Any] = {
    **ENCODER,
    "frozen": True,
    "n_views": 2,
    "backbone.weights": "bundled",
    "training.epochs": 60,
}
"""The bundled encoder stays as it is; only the heads of the tree are trained."""

CONCEPTS: Mapping[str, Mapping[str, Any]] = {
    "small": {"sae.latents": 512, "sae.k": 12, "training.epochs": 6, "n_seeds": 2, "subtype.n_repeats": 1},
    "full": {"sae.latents": 2048, "sae.k": 16, "training.epochs": 10, "n_seeds": 2},
}
"""Size of the dictionary."""

RNA: Mapping[str, Any] = {
    "population.train": ["all"],
    "representation": "components",
    "components.n_components": 50,
    "classifier.kind": "feedforward",
    "classifier.hidden": [128],
    "classifier.dropout": 0.3,
    "classifier_training.epochs": 40,
    "classifier_training.optimizer": "adamw",
    "classifier_training.weight_decay": 0.1,
    "healthy_label": "normal",
    "evaluation.n_nulls": 1,
}
"""All cells of a patient speak, as they do when new patients are predicted. Some dozens of patients are too few for an
autoencoder: principal components, then a small network."""


def simulate(demo: Demo) -> None:
    """Draw the cohort, its patients who come later among it."""
    settings = demo.settings.cohort.replace(seed=demo.settings.seed)
    simulate_cohort(settings, demo.cohort, workers=n_cores())


def fit_images(demo: Demo) -> None:
    """Learn the tree of diagnoses from smears."""
    from trilineage.pipelines import images

    given = {**IMAGES, **_PARTS, "data.path": str(demo.smears), "taxonomy": "leukemia"}
    config = images.Config.load(None, demo.settings.recipe("images", given))
    images.fit(config, demo.run("images"), device=demo.device)


def explain_images(demo: Demo) -> None:
    """Show where decisions were seen, hold it against the masks of the cells, and find each patient's telling cells."""
    from trilineage.pipelines import images

    images.explain(
        demo.run("images"),
        n_images=demo.settings.n_explained,
        regions=images.Regions(cells=demo.masks / "cell", nuclei=demo.masks / "nucleus"),
        per_patient=demo.settings.per_patient,
        device=demo.device,
    )


def fit_concepts(demo: Demo) -> None:
    """Learn concepts from the tokens of the smears, tested against what was planted."""
    from trilineage.pipelines import concepts

    given = {
        **ENCODER,
        **_PARTS,
        **CONCEPTS[demo.settings.scale],
        "data.path": str(demo.smears),
        "taxonomy": "leukemia",
        "attributes": ["cell_type", *planted_columns(demo)],
        "encoder.run": "bundled",
        "concepts.controls": ["random"],
    }
    config = concepts.Config.load(None, demo.settings.recipe("concepts", given))
    concepts.fit(config, demo.run("concepts"), device=demo.device)


def explain_concepts(demo: Demo) -> None:
    """Draw the concepts, measure where on the cell they lie, and show those of each patient."""
    from trilineage.pipelines import concepts

    concepts.explain(
        demo.run("concepts"),
        n_concepts=64,
        regions=concepts.Regions(cells=demo.masks / "cell", nuclei=demo.masks / "nucleus"),
        per_patient=demo.settings.per_patient,
        device=demo.device,
    )


def fit_rna(demo: Demo) -> None:
    """Learn diagnoses from expression."""
    from trilineage.pipelines import rna

    given = {**RNA, **_PARTS, "data.path": str(demo.blood)}
    config = rna.Config.load(None, demo.settings.recipe("rna", given))
    rna.fit(config, demo.run("rna"), device=demo.device)


def explain_rna(demo: Demo) -> None:
    """Attribute diagnoses to genes, and hold them against the genes that the simulator changed."""
    from trilineage.pipelines import rna

    rna.explain(demo.run("rna"), n_seeds=2, max_samples=700, device=demo.device)


def predict_images(demo: Demo) -> None:
    """Look at the smears of the patients who come later."""
    from trilineage.pipelines import concepts, images

    for recipe, name in ((images, "images"), (concepts, "concepts")):
        recipe.predict(demo.run(name), demo.new_smears, out=demo.new / name, device=demo.device)
    unlike.write_images(demo)
    unlike.write_concepts(demo)


def predict_rna(demo: Demo) -> None:
    """Look at the expression of the patients who come later."""
    from trilineage.pipelines import rna

    rna.predict(demo.run("rna"), demo.new_blood, out=demo.new / "rna.h5ad", device=demo.device)
    unlike.write_rna(demo)


def fit_cases(demo: Demo) -> None:
    """Weigh the lineages on validation patients and put together what they say."""
    from trilineage.pipelines import cases

    given = {name: str(demo.run(name)) for name in ("rna", "images", "concepts")}
    config = cases.Config.load(None, demo.settings.recipe("cases", {**given, "taxonomy": "leukemia"}))
    cases.fit(config, demo.run("cases"))


def explain_cases(demo: Demo) -> None:
    """Gather a case for every held-out patient."""
    from trilineage.pipelines import cases

    cases.explain(demo.run("cases"))


def predict_cases(demo: Demo) -> None:
    """Put together what the lineages say of the patients who come later."""
    from trilineage.pipelines import cases

    given = {"rna": demo.new / "rna.h5ad", "images": demo.new / "images", "concepts": demo.new / "concepts"}
    cases.predict(demo.run("cases"), **given, out=demo.new / "cases")


def planted_columns(demo: Demo) -> list[str]:
    """Return the columns of the table of images that say what was planted where."""
    with open(demo.smears, encoding="utf-8") as stream:
        header = stream.readline().strip().split(",")
    return [name for name in header if name.startswith("has_")]
