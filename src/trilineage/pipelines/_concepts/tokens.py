"""The tokens of a cohort: extracted to a folder that other machines may help to fill, or made on the fly."""

import shutil
from pathlib import Path
from typing import Any

import torch

from trilineage.core.artifacts import Run
from trilineage.data.images.table import ImageTable
from trilineage.data.tokens.reader import TokenReader
from trilineage.data.tokens.store import TokenStore
from trilineage.models.encoder import TokenEncoder, build_encoder
from trilineage.models.extraction import (
    ExtractionReport,
    LiveTokens,
    extract_tokens,
    read_share,
    token_source,
)
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.material import Material, open_table
from trilineage.training.distributed import choose_device, main_process_first
from trilineage.training.interruption import interruptible
from trilineage.training.place import Place


def open_tokens(
    run: Run, material: Material, encoder: TokenEncoder, config: Config, place: Place
) -> TokenReader:
    """Return the tokens of all images; those that are not there yet are extracted by the first process."""
    settings, table = config.tokens, material.table
    if settings.live:
        return LiveTokens(encoder, table, workers=config.data.workers, device=place.device)
    folder = own_folder(run, config)
    with main_process_first(place.processes):
        if place.processes.is_main:
            _extract(encoder, table, folder, config, device=place.device)
    return TokenStore.open(folder, token_source(encoder, table))


def own_folder(run: Run, config: Config) -> Path:
    """Return where the tokens lie."""
    return Path(config.tokens.folder) if config.tokens.folder else run.path / "tokens"


def describe_tokens(reader: TokenReader, config: Config) -> dict[str, Any]:
    """Return what was counted of the tokens, as JSON-ready values."""
    facts: dict[str, Any] = {"n_images": len(reader), "n_tokens": len(reader) * reader.source.n_tokens}
    if isinstance(reader, TokenStore) and config.tokens.outliers.norm_factor > 0:
        facts["n_outliers"] = reader.n_outliers(config.tokens.outliers)
    return facts


def remove_own(run: Run, config: Config) -> None:
    """Delete the tokens and codes that only this Run knew; they can be made again."""
    shutil.rmtree(run.path / "codes", ignore_errors=True)
    if not config.tokens.folder:
        shutil.rmtree(run.path / "tokens", ignore_errors=True)


def extract_share(config: Config, folder: Path, *, shard: str, device: str) -> ExtractionReport:
    """See `trilineage.concepts.tokens`."""
    share = read_share(shard)
    table = open_table(config)
    encoder = build_encoder(config.encoder, config.data.shape)
    return _extract(encoder, table, folder, config, device=choose_device(device), shard=share)


def _extract(
    encoder: TokenEncoder,
    table: ImageTable,
    folder: Path,
    config: Config,
    *,
    device: torch.device,
    shard: tuple[int, int] = (0, 1),
) -> ExtractionReport:
    """Extract a share; on SIGTERM or Ctrl-C stop after a batch, with finished shards kept."""
    with interruptible() as interruption:
        return extract_tokens(
            encoder,
            table,
            folder,
            shard=shard,
            images_per_shard=config.tokens.images_per_shard,
            workers=config.data.workers,
            device=device,
            check=lambda: interruption.check("the extraction of tokens"),
        )
