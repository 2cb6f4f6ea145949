"""Occlusion: how much of the evidence for each target goes when a window of the image is covered."""

import itertools
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from trilineage.core.errors import ConfigError
from trilineage.explain.saliency.capture import ExplainedClassifier, evaluating
from trilineage.explain.saliency.gradcam import Empty, finished_maps
from trilineage.explain.saliency.targets import Targets

Fill = Literal["mean", "blur", "black", "white"]
"""What covers the pixels: the mean colour of the image, the image blurred, or a constant."""

BLUR_SHARE = 0.06
"""Width (standard deviation) of the blur as a share of the shorter side: a cell becomes a spot without a nucleus."""


class Windows(NamedTuple):
    """Where the windows of an occlusion lie, in cells of a grid."""

    cells: tuple[int, int] = (12, 12)
    """Rows and columns of the grid, which is that of the map."""
    side: int = 2
    """Rows and columns a window covers; windows start at every cell."""


def occlusion_maps(
    classifier: ExplainedClassifier,
    pixels: Float[Tensor, "image 3 height width"],
    targets: Targets,
    *,
    windows: Windows | None = None,
    fill: Fill = "mean",
    batch_size: int = 32,
    empty: Empty = "refuse",
) -> Float[Tensor, "image target row column"]:
    """Return for each cell of a grid the mean fall of the evidence over the windows that cover it.

    Zeiler & Fergus 2014, section 3; one pass over the windows serves all targets. Negative where covering raises the
    evidence.

    Parameters
    ----------
    classifier
        From pixels to node log-probabilities; it is run in evaluation mode.
    pixels
        In [0, 1].
    targets
        As many rows as there are images.
    windows
        Grid and size of the windows.
    fill
        What covers the pixels.
    batch_size
        Covered images that go through the classifier at once.
    empty
        What to do with a map that is zero everywhere.

    Raises
    ------
    ConfigError
        If a map is zero everywhere, or the windows do not fit into the image.
    """
    windows = windows or Windows()
    corners = _corners(windows, tuple(pixels.shape[-2:]))
    covers = cover(pixels, fill)
    with evaluating(classifier), torch.inference_mode():
        whole = targets.evidence(classifier(pixels).float())
        maps = [
            _map_of(classifier, pixels[i], covers[i], targets.take(slice(i, i + 1)), corners, batch_size)
            for i in range(len(pixels))
        ]
    falls = whole[:, None] - torch.stack(maps)  # image window target
    return finished_maps(_spread(falls, windows), targets, empty=empty).clone()


def cover(pixels: Float[Tensor, "image 3 height width"], fill: Fill) -> Float[Tensor, "image 3 height width"]:
    """Return what stands in for each pixel when it is covered."""
    if fill == "mean":
        return pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels)
    if fill == "blur":
        return _blurred(pixels)
    return torch.full_like(pixels, 0.0 if fill == "black" else 1.0)


def _blurred(pixels: Float[Tensor, "image 3 height width"]) -> Float[Tensor, "image 3 height width"]:
    """Return the images under a Gaussian blur, mirrored at their edges."""
    sigma = max(BLUR_SHARE * min(pixels.shape[-2:]), 0.5)
    radius = min(int(3 * sigma + 0.5), min(pixels.shape[-2:]) - 1)
    steps = torch.arange(-radius, radius + 1, dtype=pixels.dtype, device=pixels.device)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, -1)
    padded = F.pad(pixels, (radius,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel[:, :, :, None], groups=3)
    return F.conv2d(rows, kernel[:, :, None, :], groups=3)


def _corners(windows: Windows, image_size: tuple[int, ...]) -> Int[Tensor, "window 4"]:
    """Return top, bottom, left and right of each window in pixels, row by row."""
    spans = []
    for n_cells, n_pixels in zip(windows.cells, image_size, strict=True):
        if not 1 <= windows.side <= n_cells <= n_pixels:
            raise ConfigError(
                "the occlusion windows do not fit into the image",
                seen=f"{n_cells} cells of {n_pixels} pixels, windows of {windows.side}",
                allowed="windows no larger than the grid, and cells of at least a pixel",
                remedy="choose fewer cells or smaller windows",
            )
        edges = [round(cell * n_pixels / n_cells) for cell in range(n_cells + 1)]
        spans.append(list(zip(edges, edges[windows.side :], strict=False)))
    return torch.tensor([[*rows, *columns] for rows, columns in itertools.product(*spans)])


def _map_of(
    classifier: ExplainedClassifier,
    image: Float[Tensor, "3 height width"],
    covered: Float[Tensor, "3 height width"],
    targets: Targets,
    corners: Int[Tensor, "window 4"],
    batch_size: int,
) -> Float[Tensor, "window target"]:
    """Return the evidence left with each window covered."""
    rows = []
    for chunk in corners.split(batch_size):
        copies = image.repeat(len(chunk), 1, 1, 1)
        for copy, (top, bottom, left, right) in zip(copies, chunk.tolist(), strict=True):
            copy[:, top:bottom, left:right] = covered[:, top:bottom, left:right]
        same = targets.take(np.zeros(len(chunk), dtype=np.int64))
        rows.append(same.evidence(classifier(copies).float()))
    return torch.cat(rows)


def _spread(
    falls: Float[Tensor, "image window target"], windows: Windows
) -> Float[Tensor, "image target row column"]:
    """Give every cell the mean of the windows over it."""
    starts = [n_cells - windows.side + 1 for n_cells in windows.cells]
    grid = falls.unflatten(1, starts).permute(0, 3, 1, 2)
    ones = torch.ones(1, 1, windows.side, windows.side, dtype=grid.dtype, device=grid.device)
    n_images, n_targets = grid.shape[:2]
    total = F.conv_transpose2d(grid.flatten(0, 1)[:, None], ones)
    count = F.conv_transpose2d(torch.ones_like(grid[:1, :1]), ones)
    return (total / count)[:, 0].unflatten(0, (n_images, n_targets))
