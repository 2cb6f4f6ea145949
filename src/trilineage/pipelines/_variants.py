"""Combinations of options to compare: every one of a grid, with a name, a table, and their open folder."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trilineage.core.errors import ConfigError
from trilineage.core.records import Score


def combinations(vary: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination of the values, the first of each option first."""
    return [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]


def named(candidate: Mapping[str, Any]) -> str:
    """Name a combination: `classifier.dropout=0.1, autoencoder.n_latent=128`."""
    return ", ".join(f"{key}={_shown(value)}" for key, value in candidate.items())


def _shown(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def require_variants(vary: Mapping[str, Sequence[Any]]) -> None:
    """Refuse a grid without options or with an option without values.

    Raises
    ------
    ConfigError
        With the remedy.
    """
    if not vary or any(not values for values in vary.values()):
        raise ConfigError(
            "nothing to vary", allowed="KEY=VALUE,VALUE", remedy="name an option with its values"
        )


def variant_table(names: Sequence[str], candidates: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return name, folder and options of each variant as columns of a table."""
    table: dict[str, list[Any]] = {
        "variant": list(names),
        "run": [variant_folder(number) for number in range(len(names))],
    }
    for key in candidates[0]:
        table[key] = [str(candidate[key]) for candidate in candidates]
    return table


def variant_folder(number: int) -> str:
    """Return where the Run of a variant lies below that of the comparison."""
    return f"variants/{number:02d}"


def under_variant(score: Score, name: str) -> Score:
    """Return a score with the name of the variant in place of `model`."""
    return replace(score, subject=name) if score.subject == "model" else score
