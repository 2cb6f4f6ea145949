"""Directories of dictionary_learning: config.json and ae.pt, the class named in the configuration."""

from pathlib import Path

import numpy as np

from trilineage.core.errors import FormatError
from trilineage.data.sae_formats.tensors import Table, read_json
from trilineage.data.sae_formats.weights import SaeWeights
from trilineage.data.tensor_files import read_torch

CONFIG_NAME, WEIGHTS_NAME = "config.json", "ae.pt"
_CLASSES = ("AutoEncoder", "AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder")


def read_dictionary_learning(path: Path | str, *, width: int | None = None) -> SaeWeights:
    """Return the weights of a directory that dictionary_learning wrote.

    Its batch top-k autoencoders come with their threshold, as they are used after training; those of a JumpReLU are
    scaled to decoder rows of norm 1, which gives the activations that package gives.

    Raises
    ------
    FormatError
        If it is not such a directory, or of a class that this package does not have.
    UnsafeFileError
        If its weights carry code.
    DataError
        If it is for tokens of another width.
    """
    path = Path(path)
    kind = read_json(path / CONFIG_NAME).get("trainer", {}).get("dict_class")
    if kind not in _CLASSES:
        raise FormatError(
            f"{path} is of a class that this package does not have", seen=kind, allowed=", ".join(_CLASSES)
        )
    table = Table(read_torch(path / WEIGHTS_NAME), path / WEIGHTS_NAME)
    weights = _jump_relu(table) if kind == "JumpReluAutoEncoder" else _centred(table, kind)
    return weights.checked(width=width)


def _centred(table: Table, kind: str) -> SaeWeights:
    """Return an autoencoder whose encoder sees tokens without the decoder bias."""
    if "W_dec" in table:
        encoder, decoder = table.rows("W_enc", transposed=True), table.rows("W_dec")
        bias = "b_enc"
    else:
        encoder, decoder = table.rows("encoder.weight"), table.rows("decoder.weight", transposed=True)
        bias = "encoder.bias"
    n_latents, width = decoder.shape
    thresholds = None
    if "BatchTopK" in kind:
        thresholds = np.full(n_latents, max(0.0, table.number("threshold", 0.0)), np.float32)
    return SaeWeights(
        "threshold" if thresholds is not None else "topk" if kind == "AutoEncoderTopK" else "relu",
        encoder,
        table.vector(bias, n_latents),
        decoder,
        table.vector("bias" if kind == "AutoEncoder" else "b_dec", width),
        k=int(table.number("k", 0)),
        thresholds=thresholds,
        source=str(table.path.parent),
    )


def _jump_relu(table: Table) -> SaeWeights:
    decoder = table.rows("W_dec")
    weights = SaeWeights(
        "threshold",
        table.rows("W_enc", transposed=True),
        table.vector("b_enc", len(decoder)),
        decoder,
        table.vector("b_dec", decoder.shape[1]),
        thresholds=table.vector("threshold", len(decoder)),
        source=str(table.path.parent),
    )
    return weights.without_input_bias().with_unit_decoder()
