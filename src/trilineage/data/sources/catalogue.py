"""The public data sets we know, by name; their images as a table, and their files fetched and unpacked."""

from pathlib import Path

import pandas as pd

from trilineage.core.errors import DownloadError
from trilineage.core.registry import Registry
from trilineage.data.download import Download, DownloadSettings, RemoteFile, cache_folder, download
from trilineage.data.sources import (
    acevedo,
    all_idb,
    aml_hehr,
    bloodmnist,
    bmc,
    c_nmc,
    lmu,
    mll23,
    taleqani,
    wbcatt,
)
from trilineage.data.sources.source import Source
from trilineage.data.unpacking import is_archive, unpack

SOURCES = Registry[Source]("data set")
for _module in (acevedo, aml_hehr, all_idb, bloodmnist, bmc, c_nmc, lmu, mll23, taleqani, wbcatt):
    SOURCES.register(_module.SOURCE.name)(_module.SOURCE)


def sources() -> tuple[Source, ...]:
    """Return every public data set we know."""
    return tuple(SOURCES.get(name) for name in SOURCES.names())


def read_source(name: str, path: Path | str) -> pd.DataFrame:
    """Read a folder laid out as a public data set: one row per image, all text.

    Columns `path` (below the folder, with forward slashes), `label` as published, `patient`, `site` and `split`, empty
    where the data set does not say, then what else it says.

    Raises
    ------
    UnknownOptionError
        For a name that is none of ours; the nearest is shown.
    FormatError
        If the folder is not laid out like that data set.
    """
    return SOURCES.get(name).list_images(Path(path))


def fetch_source(
    name: str,
    folder: Path | str | None = None,
    *,
    files: tuple[str, ...] = (),
    settings: DownloadSettings | None = None,
) -> tuple[Path, list[Download]]:
    """Fetch and unpack a public data set; what is there already is only checked.

    Parameters
    ----------
    name
        Name of the data set.
    folder
        Where to put it; None means a folder of its name in `cache_folder()`.
    files
        Names of the files to fetch; none means those that the data set needs.
    settings
        How patient to be.

    Returns
    -------
        The folder, and what was fetched.

    Raises
    ------
    DownloadError
        If there is no public address for a plain download (the message says what to do), or the download fails.
    """
    source = SOURCES.get(name)
    if not source.files:
        raise DownloadError(
            f"{source.title} has no address for a plain download",
            seen=source.homepage,
            allowed="data sets with files in `trilineage data list`",
            remedy=source.how_to_get,
        )
    target = Path(folder) if folder is not None else cache_folder() / name
    wanted = _chosen_files(source, files) if files else source.files
    downloads = [download(file, target, settings) for file in wanted]
    for file, here in zip(wanted, downloads, strict=True):
        if file.is_archive:
            _unpack_once(here.path)
    return target, downloads


def _chosen_files(source: Source, names: tuple[str, ...]) -> tuple[RemoteFile, ...]:
    """Return the files of these names, of those it needs and those it offers besides."""
    known = Registry[RemoteFile](f"file of {source.name}")
    for file in (*source.files, *source.extra_files):
        known.register(file.name)(file)
    return tuple(known.get(name) for name in names)


def _unpack_once(archive: Path) -> None:
    """Unpack an archive beside itself, and the archives inside it, unless that has been done."""
    folder = archive.with_suffix("")
    if not folder.exists():
        unpack(archive, folder)
    for inner in sorted(folder.glob("*.zip")):
        if is_archive(inner):
            if not inner.with_suffix("").exists():
                unpack(inner, inner.with_suffix(""))
            inner.unlink()
