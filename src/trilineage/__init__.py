"""Computational haematology: blood disease from expression, images and concepts, with reasons one can look at.

Research use only; not a medical device. Recipes are loaded on first use, so importing this package loads no torch:

    import trilineage
    run = trilineage.rna.fit(trilineage.rna.Config.load("config.toml"), "runs/x")

Estimators for scikit-learn are loaded in the same way: `trilineage.DiseaseClassifier`.
"""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

RECIPES = ("rna", "images", "concepts", "cases")

ESTIMATORS = {
    "HierarchicalClassifier": "hierarchical",
    "BarcodeClassifier": "barcode",
    "DiseaseClassifier": "disease",
}
"""Estimators in scikit-learn's manner, by the module of `trilineage.estimators` that holds them."""

__all__ = ["ESTIMATORS", "RECIPES", "__version__", *ESTIMATORS, *RECIPES]


def __getattr__(name: str) -> ModuleType | type:
    if name in RECIPES:
        return import_module(f"trilineage.pipelines.{name}")
    if name in ESTIMATORS:
        estimator: type = getattr(import_module(f"trilineage.estimators.{ESTIMATORS[name]}"), name)
        return estimator
    known = ", ".join((*RECIPES, *ESTIMATORS))
    msg = f"module 'trilineage' has no attribute {name!r}; there are: {known}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
