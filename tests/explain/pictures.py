"""Small classifiers over a small tree: hand-made ones whose maps are known, and real ones of every kind."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from trilineage.core.seeding import seed_everything
from trilineage.data.taxonomy import Taxonomy
from trilineage.explain.saliency.targets import Targets, path_targets
from trilineage.models.backbones.build import build_backbone
from trilineage.models.backbones.spec import BackboneSettings
from trilineage.models.hierarchy import HierarchySettings, build_head
from trilineage.models.image_classifier import ImageClassifier

SIZE = 32


def small_tree() -> Taxonomy:
    return Taxonomy.from_parents(
        "small",
        {"blood": [], "normal": ["blood"], "leukemia": ["blood"], "ALL": ["leukemia"], "AML": ["leukemia"]},
    )


class GridBackbone(nn.Module):
    """Pixels in blocks of four are the activation; their mean is the feature."""

    def __init__(self):
        super().__init__()
        self.saliency_layer = nn.AvgPool2d(4)
        self.blocks = [self.saliency_layer]
        self.spec = SimpleNamespace(family="other", pools="mean", n_prefix_tokens=0, grid=(4, 4))

    def forward(self, pixels):
        return self.saliency_layer(pixels).mean(dim=(2, 3))

    def activation_to_grid(self, activation):
        return activation


class PlainClassifier(nn.Module):
    """A linear map and a softmax on a backbone."""

    def __init__(self, backbone: nn.Module, weight: torch.Tensor):
        super().__init__()
        self.backbone, self.weight = backbone, nn.Parameter(weight)

    def forward(self, pixels):
        return (self.backbone(pixels) @ self.weight.T).log_softmax(dim=1)


def plain_classifier() -> PlainClassifier:
    """Two classes: the first is red, the second blue."""
    return PlainClassifier(GridBackbone(), torch.tensor([[4.0, 0.0, 0.0], [0.0, 0.0, 4.0]]))


def red_corner(n_images: int = 1) -> torch.Tensor:
    """Grey images with a red square of 8 pixels in the upper left."""
    pixels = torch.full((n_images, 3, 16, 16), 0.2)
    pixels[:, 0, :8, :8] = 1.0
    return pixels


def classifier(name: str, tree: Taxonomy, *, size: int = SIZE, **settings) -> ImageClassifier:
    """A real classifier with random weights large enough to have opinions."""
    seed_everything(0)
    backbone = build_backbone(BackboneSettings(name=name, **settings.pop("backbone", {})), size)
    head = build_head(HierarchySettings(**settings), tree, backbone.spec.width)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(std=0.3)
    return ImageClassifier(backbone, head).eval()


def noise(n_images: int = 3, size: int = SIZE) -> torch.Tensor:
    return torch.rand(n_images, 3, size, size, generator=torch.Generator().manual_seed(1))


def paths(tree: Taxonomy, nodes: list[str], **options) -> Targets:
    rows = [path_targets(tree, tree.index(node), **options) for node in nodes]
    return Targets.from_rows(rows, tree.nodes)


def plain_maps(model, pixels: torch.Tensor, targets: Targets, *, relu: bool = True, layer=None) -> np.ndarray:
    """Grad-CAM by the book: for each target a whole forward and a whole backward with a full graph."""
    found = np.full((*targets.nodes.shape, *model.backbone.spec.grid), np.nan, dtype=np.float32)
    for image, place in zip(*np.nonzero(targets.exists), strict=True):
        kept = {}
        handle = (layer or model.backbone.saliency_layer).register_forward_hook(
            lambda module, inputs, output, kept=kept: kept.update(output=output)
        )
        log_p = model(pixels[image : image + 1])[0]
        handle.remove()
        rivals = torch.as_tensor(targets.against[image, place])
        score = log_p[targets.nodes[image, place]]
        if rivals.any():
            score = score - log_p[rivals].exp().sum().log()
        (slope,) = torch.autograd.grad(score, kept["output"])
        grid, slope = (model.backbone.activation_to_grid(part)[0] for part in (kept["output"], slope))
        cam = (slope.mean(dim=(1, 2))[:, None, None] * grid).sum(dim=0)
        found[image, place] = (cam.relu() if relu else cam).detach().numpy()
    return found
