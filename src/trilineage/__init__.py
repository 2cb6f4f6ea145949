"""Computational haematology: blood disease from expression, images and concepts, with reasons one can look at.

Research use only; not a medical device. Recipes are loaded on first use, so importing this package loads no torch:

    import trilineage
    run = trilineage.rna.fit(trilineage.rna.Config.load("config.toml"))
"""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

RECIPES = ("rna", "images", "concepts", "cases")

__all__ = ["RECIPES", "__version__", *RECIPES]


def __getattr__(name: str) -> ModuleType:
    if name in RECIPES:
        return import_module(f"trilineage.pipelines.{name}")
    msg = f"module 'trilineage' has no attribute {name!r}; recipes are: {', '.join(RECIPES)}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
