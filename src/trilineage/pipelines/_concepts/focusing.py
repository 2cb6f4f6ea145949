"""Where latents lie on the cell: their maps against masks or boxes, beside the same of the controls."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int

from trilineage.core.errors import ConfigError
from trilineage.core.progress import progress
from trilineage.core.seeding import generator
from trilineage.data.images.batches import ImageBatches
from trilineage.evaluation.concepts.focus import Focus, focus, patch_fractions
from trilineage.explain.concepts.attribution import encode_tokens
from trilineage.models.encoder import TokenEncoder
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.pipelines._concepts.material import Material
from trilineage.pipelines._regions import Regions, known_stems, region_masks

N_IMAGES = 240
"""Images with a mask or box that maps are held against."""
FEWEST_MAPS = 3
"""Images in which a latent must be active for its place on the cell to be told."""


def images_with_regions(material: Material, regions: Regions, *, seed: int) -> Int[np.ndarray, " image"]:
    """Return some images that have all the masks or boxes that are given, drawn by lot.

    Raises
    ------
    ConfigError
        There is none.
    """
    known = known_stems(regions)
    names = material.table.names.tolist()
    found = np.array([place for place, name in enumerate(names) if Path(name).stem in known], dtype=np.int64)
    if len(found) == 0:
        raise ConfigError(
            "no image has a mask or box",
            seen=f"{len(names):,} images, {len(known):,} files with regions",
            allowed="masks named as their image, boxes with its file name",
            remedy="name the folder of the right set",
        )
    order = generator(seed, "images with regions").permutation(found)
    return np.sort(order[:N_IMAGES])


def locate(
    material: Material,
    positions: Int[np.ndarray, " image"],
    regions: Regions,
    encoder: TokenEncoder,
    members: Mapping[str, SparseAutoencoder],
) -> dict[str, Focus]:
    """Share out the activation of the latents of some dictionaries among the regions of some images.

    A dictionary that is silent in all of them is left out.
    """
    table = material.table.subset(positions)
    masks = region_masks(table, regions)
    batches, found = ImageBatches(table), {subject: _Items() for subject in members}
    with progress("maps against regions", len(positions), "images") as meter:
        for place in range(len(positions)):
            pixels = batches.take(np.array([place])).pixels
            ordered = {
                "nucleus": masks[place].get("nucleus"),
                "cytoplasm" if "nucleus" in masks[place] else "cell": masks[place]["cell"],
            }
            shown = {name: mask for name, mask in ordered.items() if mask is not None}
            fractions = patch_fractions(shown, encoder.grid)
            for subject, member in members.items():
                codes = encode_tokens(encoder, member, pixels)
                active = torch.unique(codes.codes.latents).tolist()
                if active:
                    found[subject].add(place, active, codes.maps(active)[0].cpu().numpy(), fractions)
            meter.advance()
    patients = material.cohort.patients[positions] if material.has_patients else None
    return {
        subject: items.focus(members[subject].n_latents, patients)
        for subject, items in found.items()
        if items.images
    }


class _Items:
    """Maps of pairs of an image and a latent that is active in it."""

    def __init__(self) -> None:
        self.images: list[int] = []
        self.latents: list[int] = []
        self.maps: list[Float32[np.ndarray, "latent gh gw"]] = []
        self.fractions: list[Mapping[str, np.ndarray]] = []

    def add(
        self, image: int, latents: list[int], maps: np.ndarray, fractions: Mapping[str, np.ndarray]
    ) -> None:
        is_there = maps.max(axis=(1, 2)) > 0
        kept = np.flatnonzero(is_there)
        self.images += [image] * len(kept)
        self.latents += [latents[row] for row in kept]
        self.maps.append(maps[kept])
        self.fractions += [fractions] * len(kept)

    def focus(self, n_latents: int, patients: np.ndarray | None) -> Focus:
        names = tuple(self.fractions[0])
        parts = {name: np.stack([one[name] for one in self.fractions]) for name in names}
        images = np.array(self.images)
        return focus(
            np.concatenate(self.maps),
            parts,
            np.array(self.latents, dtype=np.int64),
            n_latents,
            patients=images.astype(str) if patients is None else patients[images],
        )


def focus_rows(found: Mapping[str, Focus]) -> list[dict[str, Any]]:
    """Return for each dictionary how much of the activation lies in each region, over latents seen often enough."""
    rows = []
    for subject, one in found.items():
        enough = one.n_maps >= FEWEST_MAPS
        for column, region in enumerate(one.regions):
            shares, areas = one.shares[enough, column], one.areas[enough, column]
            quartiles = np.percentile(shares, (25, 50, 75)).tolist() if enough.any() else None
            rows.append(
                {
                    "subject": subject,
                    "region": region,
                    "n_latents": int(enough.sum()),
                    "share": quartiles,
                    "area": float(np.median(areas)) if enough.any() else None,
                }
            )
    return rows
