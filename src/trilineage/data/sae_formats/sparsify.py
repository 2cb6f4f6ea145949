"""Directories of sparsify: cfg.json and sae.safetensors."""

from pathlib import Path

from trilineage.core.errors import FormatError
from trilineage.data.sae_formats.tensors import Table, read_json
from trilineage.data.sae_formats.weights import SaeWeights
from trilineage.data.tensor_files import read_safetensors

CONFIG_NAME, WEIGHTS_NAME = "cfg.json", "sae.safetensors"


def read_sparsify(path: Path | str, *, width: int | None = None) -> SaeWeights:
    """Return the weights of a directory that sparsify wrote.

    Raises
    ------
    FormatError
        If it is not such a directory, or a transcoder, or picks latents by groups.
    DataError
        If it is for tokens of another width.
    """
    path = Path(path)
    config = read_json(path / CONFIG_NAME)
    allowed = {"activation": "topk", "transcode": False, "skip_connection": False}
    for option, value in allowed.items():
        if config.get(option, value) != value:
            raise FormatError(
                f"{path} is no top-k autoencoder", seen=f"{option} = {config[option]}", allowed=str(value)
            )
    table = Table(read_safetensors(path / WEIGHTS_NAME), path / WEIGHTS_NAME)
    decoder = table.rows("W_dec")
    weights = SaeWeights(
        "topk",
        table.rows("encoder.weight"),
        table.vector("encoder.bias", len(decoder)),
        decoder,
        table.vector("b_dec", decoder.shape[1]),
        k=int(config.get("k", 0)),
        source=str(path),
    )
    return weights.checked(width=width)
