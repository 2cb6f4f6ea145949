"""Codes of a whole cohort, under the autoencoder of a Run and under what is held against it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from trilineage.core.artifacts import Run
from trilineage.core.seeding import derive_seed
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.data.codes.store import CodeStore
from trilineage.data.tokens.batches import ShuffledTokens
from trilineage.data.tokens.reader import TokenReader
from trilineage.models.sae.controls import components, neurons, random_sae
from trilineage.models.sae.encode_images import code_source, encode_reader
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.material import Material
from trilineage.training.interruption import interruptible
from trilineage.training.place import Place

MODEL = "autoencoder"
"""Subject of the autoencoder itself, among what is held against it."""
SUBJECTS = {"neurons": "raw neurons", "components": "principal components", "random": "random dictionary"}
"""Controls by their option."""
_N_CONTROL_TOKENS = 20_000


class Coded(NamedTuple):
    """A dictionary and the codes of all images under it."""

    subject: str
    """`autoencoder` or a control."""
    member: SparseAutoencoder
    """The dictionary."""
    store: CodeStore
    """Its codes on disk."""

    def read(self) -> ImageCodes:
        """Return the codes of all images at once."""
        return ImageCodes.concatenate(list(self.store.iterate()))


def make_controls(
    first: SparseAutoencoder, reader: TokenReader, material: Material, config: Config, *, name: str
) -> dict[str, SparseAutoencoder]:
    """Return the controls of an autoencoder by subject, made from a sample of the training tokens; `name` draws it."""
    tokens = ShuffledTokens(reader, material.split.positions("train"), **config.tokens.shuffling())
    seed = derive_seed(config.seed, name)
    sample = torch.from_numpy(tokens.sample(_N_CONTROL_TOKENS, seed=seed))
    makers: Mapping[str, Callable[[], SparseAutoencoder]] = {
        "neurons": lambda: neurons(sample),
        "components": lambda: components(sample),
        "random": lambda: random_sae(first, sample, seed=seed),
    }
    place = first.decoder_weight.device
    return {SUBJECTS[control]: makers[control]().to(place) for control in config.concepts.controls}


def encode_cohort(
    run: Run,
    subjects: Mapping[str, SparseAutoencoder],
    reader: TokenReader,
    config: Config,
    place: Place,
) -> Iterator[Coded]:
    """Encode all images under every dictionary, one after the other; parts that are there stay."""
    for subject, member in subjects.items():
        store = CodeStore(
            code_folder(run, subject), code_source(reader.source, member, tau=config.barcode.tau)
        )
        with interruptible() as interruption:
            batches = encode_reader(
                reader,
                member,
                tau=config.barcode.tau,
                first=len(store),
                workers=config.data.workers,
                device=place.device,
            )
            store.extend(_watched(batches, interruption.check))
        yield Coded(subject, member, store)


def code_folder(run: Run, subject: str) -> Path:
    """Return where the codes of a dictionary lie."""
    return run.path / "codes" / subject.replace(" ", "_")


def _watched(batches: Iterator[ImageCodes], check: Callable[[str], None]) -> Iterator[ImageCodes]:
    for batch in batches:
        yield batch
        check("the encoding")
