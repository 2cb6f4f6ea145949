"""Autoencoders of other packages in, ours out."""

from pathlib import Path
from typing import Literal

from trilineage.core.artifacts import Run
from trilineage.core.errors import ConfigError
from trilineage.data.sae_formats.open import open_sae
from trilineage.data.sae_formats.own import write_sae
from trilineage.data.sae_formats.saelens import write_saelens
from trilineage.data.sae_formats.weights import SaeWeights
from trilineage.models.sae.exchange import from_model
from trilineage.pipelines._concepts.store import KIND, read_dictionary


def import_weights(path: Path, out: Path) -> SaeWeights:
    """See `trilineage.concepts.import_dictionary`."""
    weights = open_sae(path)
    _require_suffix(out)
    write_sae(weights, out)
    return weights


def export_weights(source: Path, out: Path, *, form: Literal["safetensors", "saelens"]) -> SaeWeights:
    """See `trilineage.concepts.export_dictionary`."""
    if (source / "run.json").is_file():
        run = Run.open(source, kind=KIND)
        weights = from_model(read_dictionary(run), source=f"trilineage Run {run.path.resolve().name}")
        metadata = {"encoder": run.read_json("tokens.json")["source"]}
    else:
        weights, metadata = open_sae(source), {}
    if form == "saelens":
        write_saelens(weights, out, metadata=metadata)
    else:
        _require_suffix(out)
        write_sae(weights, out)
    return weights


def _require_suffix(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise ConfigError(
            "an autoencoder is written as safetensors",
            seen=out.name,
            allowed="a name that ends with .safetensors",
            remedy="change --out",
        )
