"""A Run of cases as `cases explain` leaves it, made by hand: nothing here was fused."""

import io
from copy import deepcopy
from typing import Any

import numpy as np
from PIL import Image

from trilineage.core.artifacts import Run
from trilineage.core.config import Settings
from trilineage.data.taxonomy import load_taxonomy

VOICES = {
    "fused": (0.01, 0.01, 0.13, 0.80, 0.03, 0.01, 0.01),
    "rna": (0.02, 0.03, 0.10, 0.79, 0.04, 0.01, 0.01),
    "images": (0.05, 0.05, 0.45, 0.40, 0.03, 0.01, 0.01),
    "concepts": (0.02, 0.03, 0.15, 0.70, 0.06, 0.02, 0.02),
}
"""Probabilities of the leaves, in the order of the taxonomy."""


class CaseOptions(Settings):
    """Stands for the configuration of the recipe."""

    taxonomy: str = "leukemia"
    """Tree."""


def png(size: tuple[int, int] = (64, 32)) -> bytes:
    """Return a PNG of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", size, (120, 60, 140)).save(stream, "PNG")
    return stream.getvalue()


def made_up_case(patient: str = "P1", name: str = "001-P1") -> dict[str, Any]:
    """Return a case whose images part from the other lineages below acute leukemia."""
    tree = load_taxonomy("leukemia")
    shares = {voice: tree.leaf_sets @ np.array(leaves) for voice, leaves in VOICES.items()}
    path = [tree.nodes[node] for node in tree.path(tree.index("AML"))]
    inside = tree.leaf_sets[tree.index("acute")]
    rows = [
        {
            "node": node,
            "title": tree.title_of(node),
            "parents": [tree.nodes[above] for above in tree.parents[place]],
            "is_leaf": node in tree.leaves,
            "on_path": node in path,
            "in_set": bool(inside[tree.leaf_sets[place]].all()),
            "probability": {voice: float(values[place]) for voice, values in shares.items()},
        }
        for place, node in enumerate(tree.nodes)
    ]
    return {
        "kind": "trilineage case",
        "version": 1,
        "made": {
            "run": "cases",
            "created": "2026-03-01T08:05:59+00:00",
            "trilineage": "0.1.0",
            "seed": 1,
            "taxonomy": "leukemia",
            "coverage": 0.9,
            "folders": {name: f"../../{name}" for name in ("rna", "images", "concepts")},
        },
        "patient": patient,
        "name": name,
        "label": "AML",
        "node": "AML",
        "is_known": True,
        "is_right": True,
        "called": {"rna": "AML", "images": "ALL", "concepts": "AML"},
        "certainty": {"rna": 0.79, "images": 0.45, "concepts": 0.7},
        "weights": {"rna": 1.4, "images": 0.2, "concepts": 0.6},
        "lineages": ["rna", "images", "concepts"],
        "decision": {"node": "AML", "probability": 0.8, "path": path},
        "set": {"node": "acute", "leaves": ["ALL", "AML", "APML"]},
        "tree": rows,
        "agreement": {
            "is_agreed": False,
            "parting": "acute",
            "divergence": 0.1,
            "sentence": "Expression and concepts say AML, images say ALL: they agree on acute leukemia and part at "
            "level 2 of the tree.",
        },
        "evidence": {"rna": _genes(), "images": _cells(name), "concepts": _concepts(name)},
        "unseen": [
            {
                "lineage": lineage,
                "percentile": share,
                "distance": 3.2,
                "n_reference": 21,
                "is_far": share > 95,
            }
            | {"file": "unlike_training.csv"}
            for lineage, share in (("rna", 40.0), ("images", 98.0), ("concepts", 61.0))
        ],
    }


def without(case: dict[str, Any], lineage: str) -> dict[str, Any]:
    """Return the case of a patient who has no data of one kind."""
    left = deepcopy(case)
    left["lineages"].remove(lineage)
    left["evidence"][lineage] = {"note": "this patient has no data of this kind"}
    left["unseen"] = [one for one in left["unseen"] if one["lineage"] != lineage]
    del left["called"][lineage]
    return left


def write_cases(folder: Any, cases: list[dict[str, Any]]) -> Run:
    """Write a Run of cases with their pictures."""
    data = {"path": "runs", "sha256": "ab" * 32}
    run = Run.create(
        folder, kind="cases", config=CaseOptions(), seed=1, command="trilineage cases fit", data=data
    )
    keys = ("patient", "name", "label", "lineages", "is_right")
    run.write_json("cases.json", [{key: case[key] for key in keys} for case in cases])
    for case in cases:
        run.write_json(f"cases/{case['name']}.json", case)
        for picture in pictures(case):
            run.write_bytes(picture, png())
    run.finish()
    return run


def pictures(case: dict[str, Any]) -> list[str]:
    """Return the files of the pictures of a case."""
    found = case["evidence"]
    files = [cell["picture"] for cell in found["images"].get("cells", ())]
    for one in found["concepts"].get("standing", ()):
        files += [picture["file"] for picture in one["pictures"]]
        files += [one["references"]] if one["references"] else []
    return files


def _genes() -> dict[str, Any]:
    def row(symbol: str, attribution: float, expression: float) -> dict[str, Any]:
        about = {
            "gene": f"ENSG-{symbol}",
            "symbol": symbol,
            "attribution": attribution,
            "expression": expression,
        }
        return about | {"training_mean": 1.0, "training_deviation": 0.5, "class_mean": 1.6}

    return {
        "note": "",
        "file": "explain/patient_genes.csv",
        "decision": "AML",
        "n_samples": 20,
        "for": [row("MPO", 0.3, 2.0), row("CD33", 0.2, 1.5), row("KIT", 0.1, 1.2)],
        "against": [row("CD19", -0.1, 1.4), row("PAX5", -0.05, 0.4)],
    }


def _cells(name: str) -> dict[str, Any]:
    cells = [
        {"image": f"smears/{n}.png", "picture": f"cases/{name}/cell_{n:02d}.png", "node": "ALL"}
        | {"speaks": "against" if n == 2 else "for", "called": "AML" if n == 2 else "ALL"}
        | {"probability": 0.9 - 0.3 * n, "influence": 0.02 - 0.015 * n}
        for n in range(3)
    ]
    return {
        "note": "",
        "file": "explain/patients.csv",
        "decision": "ALL",
        "node": "ALL",
        "patient_probability": 0.45,
        "cells": cells,
    }


def _concepts(name: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    standing = [
        {
            "latent": latent,
            "value": 6.0 - latent / 4,
            "low": 4.0 - latent / 4,
            "high": 7.5 - latent / 4,
            "share_below": 0.98,
            "deviation": 2.4,
            "quantiles": [0.1, 0.5, 1.0, 2.0, 4.0],
            "pictures": [{"file": f"cases/{name}/concept_{latent}.png", "caption": "largest activation 1.2"}]
            if latent < 9
            else [],
            "references": f"cases/{name}/atlas_{latent}.png" if latent < 9 else None,
        }
        for latent in (3, 8, 12)
    ]
    names = {"3": {"name": "Auer rods", "is_draft": False}, "8": {"name": "granules", "is_draft": True}}
    means = {label: rng.gamma(1.0, 2.0, 5).round(3).tolist() for label in ("ALL", "AML")}
    stripes = {"latents": [1, 3, 8, 12, 20], "full": [4.0] * 5, "classes": means}
    return {
        "note": "",
        "file": "explain/patients.json",
        "patient": "P1",
        "n_images": 16,
        "label": "AML",
        "stripe": rng.gamma(1.0, 2.0, 5).round(3).tolist(),
        "standing": standing,
        "nearest": [{"patient": "R7", "label": "AML", "distance": 0.12}],
        "evidence": {
            "decision": "AML",
            "probability": 0.7,
            "for": [{"latent": 3, "contribution": 0.8}],
            "against": [{"latent": 12, "contribution": -0.2}],
        },
        "shared": {"names": names, "stripes": stripes, "n_reference": 35, "tau": 0.2, "uses_cls": True},
    }
