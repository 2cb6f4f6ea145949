"""Checkpoints of CytoSAE and PatchSAE: a configuration object and four tensors, read without running anything."""

from pathlib import Path
from typing import Any

from trilineage.core.errors import FormatError
from trilineage.data.sae_formats.tensors import Table, attributes
from trilineage.data.sae_formats.weights import SaeWeights
from trilineage.data.tensor_files import read_torch

_CONFIGURATIONS = ("src.sae_training.config", "sae_training.config")
"""Modules of the classes that their checkpoints name."""


def read_cytosae(path: Path | str, *, width: int | None = None) -> SaeWeights:
    """Return the weights of a `.pt` file of CytoSAE (Dasdelen et al. 2025) or PatchSAE (Lim et al. 2025).

    The layout is {"cfg" or "config": object, "state_dict": tensors} with the tensors W_enc (width, latent), b_enc,
    W_dec (latent, width) and b_dec; the activation is a ReLU.

    Raises
    ------
    UnsafeFileError
        If the file names anything to import but their configuration class.
    FormatError
        If it is not such a file.
    DataError
        If it is for tokens of another width.
    """
    path = Path(path)
    content = read_torch(path, configurations=_CONFIGURATIONS)
    if not isinstance(content, dict) or "state_dict" not in content:
        seen = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise FormatError(
            f"{path} is no checkpoint of CytoSAE", seen=seen, allowed="cfg or config, and state_dict"
        )
    table = Table(content["state_dict"], path)
    decoder = table.rows("W_dec")
    weights = SaeWeights(
        "relu",
        table.rows("W_enc", transposed=True),
        table.vector("b_enc", len(decoder)),
        decoder,
        table.vector("b_dec", decoder.shape[1]),
        source=str(path),
    )
    return weights.checked(width=width)


def cytosae_configuration(path: Path | str) -> dict[str, Any]:
    """Return the values of the configuration in a checkpoint, as far as they are plain."""
    content = read_torch(Path(path), configurations=_CONFIGURATIONS)
    found = content.get("cfg", content.get("config", {}))
    plain = (str, int, float, bool, type(None))
    return {name: value for name, value in attributes(found).items() if isinstance(value, plain)}
