"""Directories of SAELens 6: cfg.json and sae_weights.safetensors, read and written."""

import json
from pathlib import Path
from typing import Any

from trilineage.core.errors import FormatError
from trilineage.core.files import write_atomically
from trilineage.core.weights import encode_weights
from trilineage.data.sae_formats.tensors import Table, read_json
from trilineage.data.sae_formats.weights import SaeWeights
from trilineage.data.tensor_files import read_safetensors

CONFIG_NAME, WEIGHTS_NAME = "cfg.json", "sae_weights.safetensors"
_ARCHITECTURES = {"standard": "relu", "topk": "topk", "jumprelu": "threshold"}
_LENS_VERSION = "6.54.0"
"""Version whose layout is written."""


def read_saelens(path: Path | str, *, width: int | None = None) -> SaeWeights:
    """Return the weights of a directory that SAELens 6 wrote.

    Raises
    ------
    FormatError
        If it is not such a directory, or of an architecture or with a normalisation that this package does not have.
    DataError
        If it is for tokens of another width.
    """
    path = Path(path)
    config = read_json(path / CONFIG_NAME)
    architecture = config.get("architecture")
    if architecture not in _ARCHITECTURES:
        raise FormatError(
            f"{path} is of an architecture that this package does not have",
            seen=architecture,
            allowed=", ".join(_ARCHITECTURES),
        )
    for option in ("normalize_activations", "reshape_activations"):
        if config.get(option, "none") != "none":
            raise FormatError(
                f"{path} wants tokens that were changed first",
                seen=f"{option} = {config[option]}",
                allowed="none",
                remedy="fold the change into the weights with SAELens",
            )
    return _weights(path, config, _ARCHITECTURES[architecture]).checked(width=width)


def _weights(path: Path, config: dict[str, Any], activation: Any) -> SaeWeights:
    table = Table(read_safetensors(path / WEIGHTS_NAME), path / WEIGHTS_NAME)
    decoder = table.rows("W_dec")
    n_latents, width = decoder.shape
    weights = SaeWeights(
        activation,
        table.rows("W_enc", transposed=True),
        table.vector("b_enc", n_latents),
        decoder,
        table.vector("b_dec", width),
        k=int(config.get("k", 0)) if activation == "topk" else 0,
        thresholds=table.vector("threshold", n_latents) if activation == "threshold" else None,
        source=str(path),
    )
    if not config.get("apply_b_dec_to_input", True):
        weights = weights.without_input_bias()
    if activation == "topk" and config.get("rescale_acts_by_decoder_norm", False):
        weights = weights.with_unit_decoder()
    return weights


def write_saelens(weights: SaeWeights, path: Path | str, *, metadata: dict[str, Any] | None = None) -> None:
    """Write a directory that SAELens 6 loads with `SAE.load_from_disk`, with equal codes.

    Parameters
    ----------
    weights
        Weights; a `threshold` activation is written as architecture `jumprelu`.
    path
        Directory; made if absent.
    metadata
        What SAELens shall know beside the weights, such as the backbone and block.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    path = Path(path)
    architecture = {ours: theirs for theirs, ours in _ARCHITECTURES.items()}[weights.activation]
    config = {
        "architecture": architecture,
        "d_in": weights.width,
        "d_sae": weights.n_latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": _LENS_VERSION, **(metadata or {})},
    }
    if weights.activation == "topk":
        config |= {"k": weights.k, "rescale_acts_by_decoder_norm": False}
    tensors = {
        "W_enc": weights.encoder.T,
        "b_enc": weights.encoder_bias,
        "W_dec": weights.decoder,
        "b_dec": weights.decoder_bias,
    }
    if weights.thresholds is not None:
        tensors["threshold"] = weights.thresholds
    write_atomically(path / WEIGHTS_NAME, encode_weights(tensors))
    write_atomically(path / CONFIG_NAME, json.dumps(config, indent=2).encode())
