"""Where in the cell a latent looks: its share in nucleus, cytoplasm and background, and in boxes, beside the areas."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64, Shaped
from scipy.stats import t

from trilineage.core.errors import ConfigError, DataError
from trilineage.evaluation.localisation import apart

MIN_PATIENTS = 3
"""Patients from which it can be told whether shares differ from areas."""


@dataclass(frozen=True)
class Focus:
    """Figures per latent and region over the maps of its references; 0 where `is_known` is False."""

    regions: tuple[str, ...]
    """Names of the regions."""
    shares: Float64[np.ndarray, "latent region"]
    """Share of the activation that lies in the region, mean over maps."""
    areas: Float64[np.ndarray, "latent region"]
    """Share of the image that is the region, mean over the same maps: what an even map gets, or chance."""
    p_value: Float64[np.ndarray, "latent region"]
    """Two-sided, of the share being the area, over patients; 1 where there are too few."""
    n_maps: Int64[np.ndarray, " latent"]
    """Maps that are not empty."""

    @property
    def is_known(self) -> Bool[np.ndarray, " latent"]:
        """Whether the latent has a map."""
        return self.n_maps > 0

    @property
    def enrichment(self) -> Float64[np.ndarray, "latent region"]:
        """Share / area: above 1 where the latent prefers the region; 1 where there is nothing to tell from."""
        return np.divide(self.shares, self.areas, out=np.ones_like(self.shares), where=self.areas > 0)

    def figures(self) -> dict[str, Float64[np.ndarray, " latent"]]:
        """Return the shares by region, and the areas by `region_by_chance`; NaN where there is none."""
        named = {}
        for column, region in enumerate(self.regions):
            named[region] = np.where(self.is_known, self.shares[:, column], np.nan)
            named[f"{region}_by_chance"] = np.where(self.is_known, self.areas[:, column], np.nan)
        return named


def focus(
    maps: Float[np.ndarray, "item rows columns"],
    fractions: Mapping[str, Float[np.ndarray, "_ _ _"]],
    latents: Int[np.ndarray, " _"],
    n_latents: int,
    *,
    patients: Shaped[np.ndarray, " item"] | None = None,
) -> Focus:
    """Share out the activation of each latent among regions.

    Parameters
    ----------
    maps
        Activation by patch of a latent in an image, 0 or more, one item per pair; what is negative counts as 0.
    fractions
        By region, the part of each patch that lies in it, in [0, 1] (`patch_fractions`).
    latents
        Latent of each item; items may be in any order.
    n_latents
        Latents there are.
    patients
        Patient of each item; the maps of one are averaged for the p-value. None: each item stands for itself.

    Raises
    ------
    DataError
        Maps, fractions and latents that do not belong together, or maps that are not finite.
    """
    names = tuple(fractions)
    _require_fitting(maps, fractions, latents, n_latents)
    parts = np.stack([fractions[name] for name in names], axis=-1).astype(np.float64)
    positive = np.maximum(maps, 0.0).astype(np.float64)
    total = positive.sum(axis=(1, 2))
    is_there = total > 0
    shares = np.einsum("ihw,ihwr->ir", positive[is_there], parts[is_there]) / total[is_there, None]
    areas = parts[is_there].mean(axis=(1, 2))
    owners = latents[is_there]
    counts = np.bincount(owners, minlength=n_latents)
    groups = np.arange(len(maps)) if patients is None else np.unique(patients, return_inverse=True)[1]
    return Focus(
        names,
        _means(shares, owners, counts),
        _means(areas, owners, counts),
        _paired_p_values(shares - areas, owners, groups[is_there], n_latents),
        counts.astype(np.int64),
    )


def peak_maps(
    patches: Int[np.ndarray, " item"], grid: tuple[int, int]
) -> Float[np.ndarray, "item rows columns"]:
    """Return maps that are 1 in one patch: where the references of a latent peak; patch -1 gives an empty map."""
    maps = np.zeros((len(patches), grid[0] * grid[1]))
    is_there = patches >= 0
    maps[is_there, patches[is_there]] = 1.0
    return maps.reshape(len(patches), *grid)


def patch_fractions(
    regions: Mapping[str, Bool[np.ndarray, "height width"]], grid: tuple[int, int]
) -> dict[str, Float64[np.ndarray, "rows columns"]]:
    """Return the part of each patch that lies in each region and in the background, which add up to 1.

    A pixel belongs to the first region that holds it (`localisation.apart`): `{"nucleus": ..., "cytoplasm": cell}`. The
    grid need not divide the image; a pixel on an edge belongs to both patches in part.

    Parameters
    ----------
    regions
        Masks of one image, on its pixels as the encoder saw them (`data.regions.fit_mask`, `box_mask`).
    grid
        Rows and columns of patches.

    Raises
    ------
    ConfigError
        No region.
    """
    if not regions:
        raise ConfigError("there is no region to look at", allowed="one mask or more", remedy="name a region")
    image_size = next(iter(regions.values())).shape
    rows, columns = (_overlap(n, size) for n, size in zip(grid, image_size, strict=True))
    return {name: rows @ part @ columns.T for name, part in apart(regions, image_size).items()}


def _overlap(n_patches: int, n_pixels: int) -> Float64[np.ndarray, "patch pixel"]:
    """Return the part of each patch (along one side) that each pixel covers; rows sum to 1."""
    edges = np.arange(n_patches + 1) * (n_pixels / n_patches)
    pixels = np.arange(n_pixels)
    upper = np.minimum(edges[1:, None], pixels + 1.0)
    lower = np.maximum(edges[:-1, None], pixels)
    return np.maximum(upper - lower, 0.0) * (n_patches / n_pixels)


def _means(
    values: Float64[np.ndarray, "item region"],
    owners: Int[np.ndarray, " item"],
    counts: Int[np.ndarray, " latent"],
) -> Float64[np.ndarray, "latent region"]:
    """Return the mean of the items of each latent; 0 without any."""
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, owners, values)
    return sums / np.maximum(counts, 1)[:, None]


def _paired_p_values(
    differences: Float64[np.ndarray, "item region"],
    owners: Int[np.ndarray, " item"],
    groups: Int[np.ndarray, " item"],
    n_latents: int,
) -> Float64[np.ndarray, "latent region"]:
    """Return the p-value of a one-sample t test over the mean differences of the patients of each latent."""
    n_groups = int(groups.max(initial=0)) + 1
    pairs, inverse = np.unique(owners * n_groups + groups, return_inverse=True)
    own = _means(differences, inverse, np.bincount(inverse, minlength=len(pairs)))
    of_pair = pairs // n_groups
    n = np.bincount(of_pair, minlength=n_latents)
    mean = _means(own, of_pair, n)
    squares = _means(np.square(own - mean[of_pair]), of_pair, n) * n[:, None]
    freedom = np.maximum(n - 1, 1)[:, None]
    error = np.sqrt(squares / freedom / np.maximum(n, 1)[:, None])
    is_testable = (n >= MIN_PATIENTS)[:, None] & (error > 1e-12)
    deviate = np.divide(np.abs(mean), error, out=np.zeros_like(mean), where=is_testable)
    return np.where(is_testable, 2.0 * t.sf(deviate, freedom), 1.0)


def _require_fitting(
    maps: Float[np.ndarray, "item rows columns"],
    fractions: Mapping[str, Float[np.ndarray, "_ _ _"]],
    latents: Int[np.ndarray, " _"],
    n_latents: int,
) -> None:
    """Refuse what does not belong together, and maps that are no numbers."""
    shapes = {part.shape for part in fractions.values()} | {maps.shape}
    is_latent = (latents >= 0) & (latents < n_latents)
    if not fractions or len(shapes) > 1 or len(latents) != len(maps) or not is_latent.all():
        raise DataError(
            "maps, regions and latents do not belong together",
            seen=f"maps {maps.shape}, regions {sorted(shapes - {maps.shape})}, {len(latents)} latents",
            allowed=f"regions on the patches of the maps, and for each a latent of 0 to {n_latents - 1}",
            remedy="bring the masks to the patches with `patch_fractions`",
        )
    if not np.isfinite(maps).all():
        bad = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
        raise DataError(
            f"{len(bad)} of {len(maps)} maps are not finite",
            seen=f"NaN or infinity in map {int(bad[0])}, of latent {int(latents[bad[0]])}",
            remedy="extract the tokens again in float32",
        )
