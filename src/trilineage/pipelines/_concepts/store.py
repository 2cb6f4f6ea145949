"""What the concepts recipe writes to its Run first, and how an autoencoder and its encoder come back from it."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trilineage.core.artifacts import Run
from trilineage.core.errors import ArtifactError
from trilineage.data.tokens.source import TokenSource
from trilineage.models.encoder import TokenEncoder, build_encoder
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sae.settings import SaeSettings
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.material import Material
from trilineage.pipelines._image_cohort import image_facts
from trilineage.pipelines._runs import begin_run
from trilineage.training.place import Place

KIND = "concepts"
DICTIONARY = "sae"
"""Name of the weights of the autoencoder that is explained."""
TOKENS = "tokens.json"
PROFILE = "profile.npz"
"""How often and how strongly each latent fires, patient by patient, in the training images."""


def open_run(config: Config, material: Material, out: Path, *, place: Place, overwrite: bool = False) -> Run:
    """Make the Run, or go on with the one that is there; other processes of the same job wait for the first."""
    return begin_run(
        out,
        kind=KIND,
        config=config,
        seed=config.seed,
        command=f"trilineage concepts fit --data {config.data.path} --out {out}",
        data=image_facts(material.table),
        place=place,
        overwrite=overwrite,
    )


def write_dictionary(run: Run, member: SparseAutoencoder, name: str = DICTIONARY) -> None:
    """Write the weights of an autoencoder with all that is needed to use them."""
    tensors = {key: value.detach().cpu().numpy() for key, value in member.state_dict().items()}
    metadata = {"settings": member.settings.to_toml(), "width": str(member.width)}
    run.write_weights(name, tensors, metadata)


def read_dictionary(run: Run, name: str = DICTIONARY) -> SparseAutoencoder:
    """Rebuild an autoencoder from the weights of a Run, in evaluation mode on the CPU.

    Raises
    ------
    ArtifactError
        The Run has no such weights, or they do not fit the settings stored with them.
    AlteredFileError, UnsafeFileError
        As `Run.read_weights`.
    """
    tensors = run.read_weights(name)
    metadata = run.read_weights_metadata(name)
    settings = SaeSettings.load(None, tomllib.loads(metadata["settings"]))
    with torch.device("meta"):
        member = SparseAutoencoder(int(metadata["width"]), settings, seed=None)
    try:
        state = {key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}
        member.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ArtifactError(
            f"the weights {name!r} of {run.path} do not fit their settings",
            seen=str(error).splitlines()[-1].strip(),
            remedy="make the Run again",
        ) from None
    return member.eval()


def write_source(run: Run, source: TokenSource, facts: dict[str, Any]) -> None:
    """Write what the tokens are of, and what was counted of them."""
    run.write_json(TOKENS, {"source": source.to_dict(), **facts})


def read_source(run: Run) -> TokenSource:
    """Return what the tokens of a Run are of."""
    return TokenSource.from_dict(run.read_json(TOKENS)["source"])


def read_encoder(run: Run, config: Config) -> TokenEncoder:
    """Build the encoder of a Run again and make sure that it is the same.

    Raises
    ------
    ArtifactError
        Its weights are no longer where they were, or are others.
    """
    encoder = build_encoder(config.encoder, config.data.shape)
    expected = read_source(run).encoder_key
    if encoder.encoder_key != expected:
        raise ArtifactError(
            f"the encoder is no longer the one that {run.path} was made with",
            seen=f"key {encoder.encoder_key[:12]}",
            allowed=f"key {expected[:12]}",
            remedy="put back the weights that encoder.run or encoder.backbone.weights names, or fit again",
        )
    return encoder
