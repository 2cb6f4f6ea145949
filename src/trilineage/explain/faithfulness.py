"""Whether maps tell the truth about the classifier: deletion and insertion curves, and maps of randomised weights."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor, nn

from trilineage.core.seeding import derive_seed
from trilineage.explain.saliency.capture import ExplainedClassifier, evaluating
from trilineage.explain.saliency.occlusion import Fill, cover
from trilineage.explain.saliency.targets import Targets

Maps = Callable[[ExplainedClassifier], Float[np.ndarray, "image target row column"]]
"""From a classifier to the maps of images held fixed."""


LogProbabilities = Callable[[Tensor], Tensor]
"""From pixels to log-probabilities of every node; a network, or several joined."""


@dataclass(frozen=True)
class Curves:
    """Probability of the targets while the pixels of an image go, or come, in the order of a map."""

    shares: Float[np.ndarray, " step"]
    """Share of the pixels changed, from 0 to 1."""
    deletion: Float[np.ndarray, "image target step"]
    """Probability while the highest pixels are covered first; NaN for an empty map."""
    insertion: Float[np.ndarray, "image target step"]
    """Probability while the highest pixels come first into the covered image."""

    @property
    def deletion_auc(self) -> Float[np.ndarray, "image target"]:
        """Area under the deletion curve: a map that finds what matters has a small one."""
        return np.trapezoid(self.deletion, self.shares, axis=2)

    @property
    def insertion_auc(self) -> Float[np.ndarray, "image target"]:
        """Area under the insertion curve: a map that finds what matters has a large one."""
        return np.trapezoid(self.insertion, self.shares, axis=2)


def perturbation_curves(
    classifier: LogProbabilities,
    pixels: Float[Tensor, "image 3 height width"],
    targets: Targets,
    maps: Float[np.ndarray, "image target height width"],
    *,
    fill: Fill = "mean",
    n_steps: int = 20,
    batch_size: int = 32,
) -> Curves:
    """Cover the pixels of each image from the highest of its map to the lowest, and bring them back in that order.

    Petsiuk et al. 2018 (RISE), section 4.1. The two ends are the whole and the covered image, so the curves of maps of
    the same image differ by their order only: compare a map with `random_maps` before believing its area.

    Parameters
    ----------
    classifier
        From pixels to node log-probabilities; it is run in evaluation mode.
    pixels
        In [0, 1].
    targets
        As many rows as there are images; the curve is `Targets.probability`.
    maps
        On the pixels (`saliency.maps.enlarged`); equal values go in the order of the image's rows.
    fill
        What covers the pixels. RISE deletes to a constant and inserts into a blurred image.
    n_steps
        Steps from the whole image to the covered one.
    batch_size
        Images in one forward.
    """
    shares = np.linspace(0.0, 1.0, n_steps + 1)
    shape = (*targets.nodes.shape, n_steps + 1)
    deletion, insertion = np.full(shape, np.nan), np.full(shape, np.nan)
    covers = cover(pixels, fill)
    for image, place in zip(*np.nonzero(targets.exists), strict=True):
        values = maps[image, place]
        if np.isnan(values).any():
            continue
        one = targets.take(slice(image, image + 1))
        steps = _steps(values, shares).to(pixels.device)
        whole, covered = pixels[image], covers[image]
        for curve, (before, after) in ((deletion, (whole, covered)), (insertion, (covered, whole))):
            curve[image, place] = _curve(classifier, (before, after), steps, one, batch_size)[:, place]
    return Curves(shares, deletion, insertion)


def random_maps(
    n_images: int, n_targets: int, grid: tuple[int, int], image_size: tuple[int, int], *, seed: int
) -> Float[np.ndarray, "image target height width"]:
    """Return maps of noise as coarse as a grid: what curves and scores of chance look like."""
    torch_generator = torch.Generator().manual_seed(derive_seed(seed, "random maps"))
    noise = torch.rand(n_images, n_targets, *grid, generator=torch_generator)
    return nn.functional.interpolate(noise, size=image_size, mode="bilinear", align_corners=False).numpy()


def _steps(
    values: Float[np.ndarray, "height width"], shares: Float[np.ndarray, " step"]
) -> Float[Tensor, "step 1 height width"]:
    """Return for each step 1 where a pixel has changed."""
    order = np.argsort(-values, axis=None, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    counts = np.rint(shares * len(order))
    changed = rank.reshape(1, 1, *values.shape) < counts[:, None, None, None]
    return torch.from_numpy(changed.astype(np.float32))


def _curve(
    classifier: LogProbabilities,
    ends: tuple[Float[Tensor, "3 height width"], Float[Tensor, "3 height width"]],
    steps: Float[Tensor, "step 1 height width"],
    targets: Targets,
    batch_size: int,
) -> Float[np.ndarray, "step target"]:
    """Return the probabilities of all targets on the way from one image to another."""
    rows = []
    with evaluating(classifier), torch.inference_mode():
        for chunk in steps.split(batch_size):
            mixed = ends[0] + chunk * (ends[1] - ends[0])
            same = targets.take(np.zeros(len(chunk), dtype=np.int64))
            rows.append(same.probability(classifier(mixed).float()).cpu().numpy())
    return np.concatenate(rows)


# ---- randomised weights ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RandomisationCheck:
    """How much of the maps is left when the classifier forgets what it learned, from its head downwards."""

    parts: tuple[str, ...]
    """What was randomised last; everything before it in the list is randomised too."""
    correlations: Float[np.ndarray, "part image target"]
    """Spearman correlation of each map with that of the trained classifier; NaN where one of them is empty or flat."""


def randomisation_check(classifier: Any, maps: Maps, *, seed: int = 0) -> RandomisationCheck:
    """Randomise a classifier part by part, the head first and then the blocks from the last to the first.

    The cascading randomisation of Adebayo et al. 2018, section 3. Where they initialise a layer anew, we shuffle the
    values of each of its parameters: what was learned is lost, the scale of the activations is not, and no layer needs
    to say how it was initialised. A map whose correlation stays high does not show what the classifier learned: it is
    an edge detector.

    Parameters
    ----------
    classifier
        A network with `backbone.blocks` and `head`; it is copied and left as it is.
    maps
        From a classifier to maps of the same images, by a method that lets empty maps be NaN.
    seed
        Of the shuffling.
    """
    original = maps(classifier)
    randomised = copy.deepcopy(classifier)
    generator = torch.Generator().manual_seed(derive_seed(seed, "randomisation check"))
    names, rows = [], []
    for name, part in _parts(randomised):
        _shuffle(part, generator)
        names.append(name)
        rows.append(_rank_correlations(original, maps(randomised)))
    return RandomisationCheck(tuple(names), np.stack(rows))


def _parts(classifier: Any) -> list[tuple[str, nn.Module]]:
    """Return the parts of a classifier from its head down to its stem."""
    blocks = list(enumerate(classifier.backbone.blocks))[::-1]
    return [("head", classifier.head), *((f"block {number}", block) for number, block in blocks)]


@torch.no_grad()
def _shuffle(module: nn.Module, generator: torch.Generator) -> None:
    """Shuffle the values of each parameter."""
    for parameter in module.parameters():
        order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
        parameter.copy_(parameter.flatten()[order].view_as(parameter))


def _rank_correlations(
    first: Float[np.ndarray, "image target row column"], second: Float[np.ndarray, "image target row column"]
) -> Float[np.ndarray, "image target"]:
    """Return Spearman's correlation of each pair of maps."""
    ranks = [stats.rankdata(maps.reshape(*maps.shape[:2], -1), axis=2) for maps in (first, second)]
    centred = [rank - rank.mean(axis=2, keepdims=True) for rank in ranks]
    products = [
        (a * b).sum(axis=2) for a, b in ((centred[0], centred[1]), *zip(centred, centred, strict=True))
    ]
    is_empty = np.isnan(first).any(axis=(2, 3)) | np.isnan(second).any(axis=(2, 3))
    spread = np.sqrt(products[1] * products[2])
    usable = ~is_empty & (spread > 0)
    return np.where(usable, products[0] / np.where(usable, spread, 1.0), np.nan)
