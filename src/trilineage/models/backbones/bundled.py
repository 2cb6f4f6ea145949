"""The encoder that ships with the package: where its Run lies, and which network `auto` means."""

import contextlib
import tomllib
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError
from trilineage.models.backbones.spec import BackboneSettings

BUNDLED = "bundled"
"""Name of the encoder that ships with the package, as `encoder.run` and as `backbone.weights`."""
ENCODER_KIND = "images.pretrain"
"""Kind of the Runs that hold an encoder and no classifier."""
ENCODER_WEIGHTS = "model"
"""Name of its weights, as in `weights/NAME.safetensors`."""

_AUTO = "auto"
_TRAINED = "small_vit"
_FOLDER = "bundled_encoder"


@contextlib.contextmanager
def bundled_run() -> Iterator[Run]:
    """Open the Run of the encoder that ships with the package.

    Raises
    ------
    ArtifactError
        If this installation has none.
    """
    folder = files("trilineage.models").joinpath(_FOLDER)
    if not folder.is_dir():
        raise ArtifactError(
            "this installation has no bundled encoder",
            seen=f"no folder models/{_FOLDER} in the package",
            allowed="the folder of a Run, or a backbone by name",
            remedy="train one with `trilineage images pretrain`, or set backbone.name and weights",
        )
    with as_file(folder) as path:
        yield Run.open(path, kind=ENCODER_KIND)


def chosen_backbone(settings: BackboneSettings, *, is_frozen: bool) -> BackboneSettings:
    """Return settings with a network by name where they say `auto`.

    It is the network of the encoder that `weights` names (the Run of a pretraining, or `bundled`). Without weights it
    is the bundled encoder where the backbone stays as it is, and `small_vit` where it is trained.

    Raises
    ------
    ArtifactError
        If there is no bundled encoder, or the Run cannot be read.
    """
    if settings.name != _AUTO:
        return settings
    if settings.weights == BUNDLED or (settings.weights == "none" and is_frozen):
        with bundled_run() as run:
            return _with_network_of(run, settings.replace(weights=BUNDLED))
    if (Path(settings.weights) / "run.json").is_file():
        run = Run.open(settings.weights)
        if run.kind == ENCODER_KIND:
            return _with_network_of(run, settings)
    return settings.replace(name=_TRAINED)


def encoder_settings(run: Run, name: str = ENCODER_WEIGHTS) -> tuple[BackboneSettings, tuple[int, int]]:
    """Return what the encoder of a pretraining Run is made of, and the height and width of its images.

    Raises
    ------
    ArtifactError
        If nothing like it was saved with the weights.
    """
    metadata = run.read_weights_metadata(name)
    if "backbone" not in metadata or "size" not in metadata:
        raise ArtifactError(
            f"the weights {name!r} of {run.path} are not those of an encoder",
            seen=", ".join(sorted(metadata)) or "nothing beside them",
            allowed="what `trilineage images pretrain` writes",
            remedy="choose a Run of it, or train one",
        )
    height, width = (int(side) for side in metadata["size"].split(","))
    return BackboneSettings.load(None, tomllib.loads(metadata["backbone"])), (height, width)


def _with_network_of(run: Run, settings: BackboneSettings) -> BackboneSettings:
    own, _ = encoder_settings(run, settings.weights_name)
    pool = own.pool if settings.pool == "auto" else settings.pool
    return settings.replace(name=own.name, pool=pool)
