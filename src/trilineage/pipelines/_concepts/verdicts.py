"""Which latents are concepts, and the figures of each dictionary beside those of its controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int

from trilineage.core.artifacts import Run
from trilineage.evaluation.concepts.monosemanticity import Monosemanticity
from trilineage.evaluation.multiple import adjusted_p_values
from trilineage.pipelines._concepts.coding import MODEL
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.testing import Examined

CONCEPTS, TABLE = "concepts.npz", "concepts.csv"
_QUARTILES = (25, 50, 75)


@dataclass(frozen=True)
class Verdict:
    """What the tests say of each latent."""

    is_concept: Bool[np.ndarray, " latent"]
    """Strong, and associated with a class or attribute on training images and on held-out ones (or, where nothing is
    labelled, with references that look alike)."""
    target: Int[np.ndarray, " latent"]
    """Target with the largest significant area on training images; -1 where there is none."""
    auroc: Float64[np.ndarray, " latent"]
    """That area; 0.5 where there is none."""
    q_value: Float64[np.ndarray, " latent"]
    """Its false discovery rate; 1 where there is none."""
    held_out_auroc: Float64[np.ndarray, " latent"]
    """Area of the same latent and target on held-out images; NaN where it cannot be computed."""
    likeness_q: Float64[np.ndarray, " latent"]
    """False discovery rate of references that look alike, over the strong latents; 1 for others."""


def verdict(examined: Examined, likeness: Monosemanticity, config: Config) -> Verdict:
    """Decide which latents are concepts."""
    strong = examined.statistics.strong
    likeness_q = np.ones(len(strong))
    tested = strong & likeness.is_known
    if tested.any():
        likeness_q[tested] = adjusted_p_values(likeness.p_value[tested])
    n_latents = len(strong)
    if examined.train is None:
        nothing = np.full(n_latents, -1), np.full(n_latents, 0.5), np.ones(n_latents)
        is_concept = strong & (likeness_q <= config.concepts.alpha)
        return Verdict(is_concept, *nothing, np.full(n_latents, np.nan), likeness_q)
    area = np.where(examined.train.significant, examined.train.auroc, 0.0)
    best = area.argmax(axis=1)
    rows = np.arange(n_latents)
    has_any = area[rows, best] > 0
    held = _held_out(examined, best)
    passed = has_any & (area[rows, best] >= config.concepts.least_auroc) & ~(held <= 0.5)
    return Verdict(
        is_concept=strong & passed,
        target=np.where(has_any, best, -1),
        auroc=np.where(has_any, area[rows, best], 0.5),
        q_value=np.where(has_any, examined.train.q_value[rows, best], 1.0),
        held_out_auroc=np.where(has_any, held, np.nan),
        likeness_q=likeness_q,
    )


def _held_out(examined: Examined, best: Int[np.ndarray, " latent"]) -> Float64[np.ndarray, " latent"]:
    """Return the area of each latent for its target on held-out images, NaN where it was not tested there."""
    held = np.full(len(best), np.nan)
    if examined.train is None or examined.test is None:
        return held
    for column, name in enumerate(examined.train.targets):
        if name in examined.test.targets:
            mine = best == column
            held[mine] = examined.test.auroc[mine, examined.test.targets.index(name)]
    return held


# ---- figures --------------------------------------------------------------------------------------------------------


def figures_of(
    examined: Examined, likeness: Monosemanticity, found: Verdict, stability: np.ndarray | None
) -> dict[str, Any]:
    """Return the figures of a dictionary over its strong latents, as JSON-ready values."""
    statistics, strong = examined.statistics, examined.statistics.strong
    columns = {
        "frequency": statistics.frequency,
        "relative_entropy": examined.spread.figures()["relative_entropy"],
        "spread": examined.spread.figures().get("spread"),
        "monosemanticity": likeness.figures()["monosemanticity"],
        "held_out_auroc": found.held_out_auroc,
        "stability": stability,
    }
    return {
        "subject": examined.subject,
        "n_latents": len(strong),
        "n_alive": int(statistics.alive.sum()),
        "n_strong": int(strong.sum()),
        "n_concepts": int(found.is_concept.sum()),
        "monosemanticity_by_chance": likeness.chance,
        "share_alike": _share(found.likeness_q <= 0.05, strong),
        "quartiles": {
            name: _quartiles(values[strong]) for name, values in columns.items() if values is not None
        },
    }


def target_rows(examined: Sequence[Examined]) -> list[dict[str, Any]]:
    """Return the best latent of each target for each dictionary: chosen on training, scored on held-out images."""
    return [
        {
            "target": best.target,
            "subject": one.subject,
            "latent": best.latent,
            "train_auroc": best.train_auroc,
            **{name: getattr(best.score, name) for name in ("value", "low", "high", "note")},
            "n_images": best.score.n_samples,
            "n_patients": best.score.n_patients,
        }
        for one in examined
        for best in one.best
    ]


def write_concepts(
    run: Run, examined: Examined, likeness: Monosemanticity, found: Verdict, stability: np.ndarray | None
) -> None:
    """Write every figure of every latent, and a table of those that are strong."""
    statistics = examined.statistics
    spread = {} if examined.spread.spread is None else {"spread": examined.spread.spread}
    known = {} if stability is None else {"stability": stability}
    arrays = {**statistics.to_arrays(), **vars(found), **spread, **known}
    arrays |= {"monosemanticity": likeness.figures()["monosemanticity"]}
    run.write_arrays(CONCEPTS, **arrays)
    run.write_arrays("references.npz", **examined.references.to_arrays())
    if examined.train is not None:
        run.write_arrays("associations.npz", **examined.train.to_arrays())
    run.write_table(TABLE, _table(examined, arrays))


def _table(examined: Examined, arrays: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    """Lay out the strong latents, the most frequent first."""
    strong = np.flatnonzero(examined.statistics.strong)
    order = strong[np.argsort(-arrays["frequency"][strong], kind="stable")]
    names = () if examined.train is None else examined.train.targets
    columns: dict[str, list[Any]] = {
        "latent": order.tolist(),
        "is_concept": arrays["is_concept"][order].tolist(),
        "best_target": [names[row] if row >= 0 else "" for row in arrays["target"][order]],
    }
    shown = ("auroc", "q_value", "held_out_auroc", "frequency", "mean_activation", "relative_entropy")
    for name in (*shown, "spread", "monosemanticity", "stability"):
        if name in arrays:
            columns[name] = arrays[name][order].tolist()
    return columns


def _quartiles(values: np.ndarray) -> list[float] | None:
    known = values[np.isfinite(values)]
    return np.percentile(known, _QUARTILES).tolist() if len(known) else None


def _share(holds: np.ndarray, among: np.ndarray) -> float | None:
    return float(holds[among].mean()) if among.any() else None


def is_model(row: Mapping[str, Any]) -> bool:
    """Tell whether a row of figures is of the autoencoder itself."""
    return bool(row["subject"] == MODEL)
