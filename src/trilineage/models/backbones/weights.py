"""Weights from files and from Runs: read without executing anything, fitted to a network, or refused by name."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from trilineage.core.artifacts import Run
from trilineage.core.errors import AlteredFileError, ArtifactError
from trilineage.core.files import sha256_file
from trilineage.data.tensor_files import read_safetensors, read_torch
from trilineage.models.backbones import dinobloom
from trilineage.models.backbones.bundled import BUNDLED, bundled_run
from trilineage.models.backbones.library import timm
from trilineage.models.backbones.small import with_own_names
from trilineage.models.backbones.spec import BackboneSettings

_TORCH_SUFFIXES = frozenset({".pth", ".pt", ".bin", ".ckpt"})
_GROUPS = ("teacher", "state_dict", "model", "module")
"""Names under which checkpoints keep their weights, in the order in which they are looked for."""

_PREFIXES = (
    "backbone.net.",
    "module.backbone.net.",
    "net.",
    "backbone.",
    "module.",
    "model.",
    "encoder.",
    "",
)
_MAX_NAMED = 4

logger = logging.getLogger(__name__)


def read_weights(settings: BackboneSettings) -> dict[str, Tensor]:
    """Return the weights that the settings name, as their file calls them.

    Raises
    ------
    UnsafeFileError
        If the file holds anything but tensors; nothing of it is executed.
    AlteredFileError
        If its digest is not the one that was asked for.
    FormatError
        If it is a file of torch.save that is damaged.
    ArtifactError
        If there is no such file or Run, or it is not sound.
    """
    path = Path(settings.weights)
    if settings.weights == BUNDLED:
        with bundled_run() as run:
            return _of_run(run, settings.weights_name)
    if path.is_dir():
        return _of_run(Run.open(path), settings.weights_name)
    if not path.is_file():
        raise ArtifactError(
            "there are no such weights",
            seen=settings.weights,
            allowed="`none`, `hub`, `bundled`, a file of weights, or the folder of a Run",
            remedy="check the path",
        )
    _require_digest(path, settings)
    if path.suffix.lower() in _TORCH_SUFFIXES:
        return _tensors_of(read_torch(path), path)
    return read_safetensors(path)


def _of_run(run: Run, name: str) -> dict[str, Tensor]:
    return {key: torch.from_numpy(array) for key, array in run.read_weights(name).items()}


def load_weights(net: nn.Module, tensors: Mapping[str, Tensor], *, name: str) -> None:
    """Put weights into a network; positions of a transformer are resampled to its grid.

    Parameters
    ----------
    net
        The network without a classifier.
    tensors
        Weights under the names of timm, of DINOv2's code, of a `Backbone` or of an `ImageClassifier`.
    name
        How messages call the network.

    Raises
    ------
    ArtifactError
        If they belong to another architecture; the first differing shapes are named.
    """
    if dinobloom.is_dinov2(tensors):
        tensors = dinobloom.to_timm(tensors)
    expected = net.state_dict()
    if "patch_embed.project.weight" in expected:
        tensors = with_own_names(tensors)
    fitting = _under_its_prefix(tensors, expected)
    _resample_positions(net, fitting)
    missing = [key for key in expected if key not in fitting]
    differing = [key for key in expected if key in fitting and fitting[key].shape != expected[key].shape]
    if missing or differing:
        _refuse(name, missing, [(key, fitting[key], expected[key]) for key in differing])
    left = sorted(set(fitting) - set(expected))
    if left:
        logger.info("%s: %d tensors not needed (%s)", name, len(left), ", ".join(left[:_MAX_NAMED]))
    net.load_state_dict({key: fitting[key] for key in expected})


def _refuse(name: str, missing: list[str], differing: list[tuple[str, Tensor, Tensor]]) -> NoReturn:
    shapes = [f"{key} {tuple(found.shape)} instead of {tuple(own.shape)}" for key, found, own in differing]
    absent = [f"{key} absent" for key in missing]
    n_more = max(0, len(shapes) + len(absent) - _MAX_NAMED)
    named = (shapes + absent)[:_MAX_NAMED] + ([f"and {n_more} more"] if n_more else [])
    raise ArtifactError(
        f"these weights are of another architecture than {name}",
        seen="; ".join(named),
        allowed=f"the tensors of {name}",
        remedy="choose the backbone that the weights were made with",
    )


def _under_its_prefix(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the prefix that gives most names the network knows."""

    def n_known(prefix: str) -> int:
        return sum(key.startswith(prefix) and key[len(prefix) :] in expected for key in tensors)

    best = max(_PREFIXES, key=n_known)
    return {key[len(best) :]: tensor for key, tensor in tensors.items() if key.startswith(best)}


def _resample_positions(net: Any, tensors: dict[str, Tensor]) -> None:
    """Resample the position embedding of a (square) grid to that of the network, in place."""
    found, own = tensors.get("pos_embed"), net.state_dict().get("pos_embed")
    if found is None or own is None or found.ndim != 3 or found.shape == own.shape:
        return
    grid = net.patch_embed.grid_size
    n_prefix = own.shape[1] - grid[0] * grid[1]
    side = round((found.shape[1] - n_prefix) ** 0.5)
    if found.shape[2] == own.shape[2] and side * side == found.shape[1] - n_prefix:
        tensors["pos_embed"] = timm.layers.resample_abs_pos_embed(
            found, new_size=list(grid), old_size=[side, side], num_prefix_tokens=n_prefix
        )


def _require_digest(path: Path, settings: BackboneSettings) -> None:
    """Refuse a file that is not the one asked for; say so if it is not the published one."""
    published = dinobloom.PUBLISHED_SHA256.get(settings.name)
    if not settings.sha256 and published is None:
        return
    digest = sha256_file(path)
    if settings.sha256 and digest != settings.sha256.lower():
        raise AlteredFileError(
            f"{path} is not the file of weights that was asked for",
            seen=f"SHA-256 {digest}",
            allowed=settings.sha256.lower(),
            remedy="get the right file, or leave sha256 empty",
        )
    if published is not None and digest != published:
        logger.warning("%s is not the published file of %s (SHA-256 %s)", path, settings.name, digest)


def _tensors_of(content: Any, path: Path) -> dict[str, Tensor]:
    """Find the table of weights in a checkpoint."""
    while isinstance(content, dict):
        inner = next((content[name] for name in _GROUPS if isinstance(content.get(name), dict)), None)
        if inner is None:
            break
        content = inner
    tensors = {
        key: value
        for key, value in (content.items() if isinstance(content, dict) else ())
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    if not tensors:
        raise ArtifactError(
            f"{path} holds no table of weights",
            seen=type(content).__name__,
            allowed=f"names and tensors, at the top or under {', '.join(_GROUPS)}",
            remedy="choose another file",
        )
    return tensors
