"""Our own file of an autoencoder's weights: one safetensors file that says what it is."""

from pathlib import Path
from typing import Any

from trilineage.core.errors import FormatError, NewerVersionError
from trilineage.core.files import write_atomically
from trilineage.core.weights import decode_metadata, encode_weights
from trilineage.data.sae_formats.tensors import Table
from trilineage.data.sae_formats.weights import SaeWeights
from trilineage.data.tensor_files import read_safetensors

KIND, FORMAT_VERSION = "trilineage.sae", 1
_ACTIVATIONS = ("relu", "topk", "threshold")


def write_sae(weights: SaeWeights, path: Path | str) -> None:
    """Write weights as one safetensors file.

    Raises
    ------
    StorageError
        If the disk is full or read-only.
    """
    tensors = {
        "encoder": weights.encoder,
        "encoder_bias": weights.encoder_bias,
        "decoder": weights.decoder,
        "decoder_bias": weights.decoder_bias,
    }
    if weights.thresholds is not None:
        tensors["thresholds"] = weights.thresholds
    metadata = {"kind": KIND, "format_version": str(FORMAT_VERSION), "source": weights.source}
    metadata |= {"activation": weights.activation, "k": str(weights.k)}
    write_atomically(path, encode_weights(tensors, metadata))


def read_sae(path: Path | str, *, width: int | None = None) -> SaeWeights:
    """Return the weights that `write_sae` wrote.

    Raises
    ------
    FormatError
        If it is another file.
    NewerVersionError
        If a newer version of this package wrote it.
    DataError
        If it is for tokens of another width.
    """
    path = Path(path)
    table = Table(read_safetensors(path), path)
    metadata = decode_metadata(path.read_bytes(), name=str(path))
    activation: Any = metadata.get("activation")
    if metadata.get("kind") != KIND or activation not in _ACTIVATIONS:
        raise FormatError(f"{path} is no autoencoder", seen=metadata.get("kind"), allowed=KIND)
    if int(metadata["format_version"]) > FORMAT_VERSION:
        raise NewerVersionError(
            f"{path} was written by a newer version of trilineage",
            seen=f"format {metadata['format_version']}",
            allowed=f"format {FORMAT_VERSION} or older",
            remedy="update trilineage",
        )
    decoder = table.rows("decoder")
    weights = SaeWeights(
        activation,
        table.rows("encoder"),
        table.vector("encoder_bias", len(decoder)),
        decoder,
        table.vector("decoder_bias", decoder.shape[1]),
        k=int(metadata["k"]),
        thresholds=table.vector("thresholds", len(decoder)) if "thresholds" in table else None,
        source=metadata["source"],
    )
    return weights.checked(width=width)
