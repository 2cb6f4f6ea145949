"""The door for images: any layout in, one checked `ImageTable` out, every guess reported."""

import logging
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from trilineage.core.errors import ConfigError, FormatError, UnknownOptionError
from trilineage.core.registry import nearest_remedy
from trilineage.data.cohort import shown
from trilineage.data.images.arrays import read_arrays
from trilineage.data.images.cache import CachedPixels
from trilineage.data.images.checking import Findings, look_at
from trilineage.data.images.decoding import SUFFIXES
from trilineage.data.images.folder import read_folder
from trilineage.data.images.listing import Listing, completed, filtered, refuse_duplicates
from trilineage.data.images.manifest import find_manifest, is_manifest, read_frame, read_manifest
from trilineage.data.images.reading import ArrayPixels, FilePixels, Pixels, StainedPixels
from trilineage.data.images.settings import ImageDataSettings
from trilineage.data.images.table import ImageTable
from trilineage.data.sources.catalogue import SOURCES, read_source

logger = logging.getLogger(__name__)


def open_images(settings: ImageDataSettings) -> ImageTable:
    """Open images of any supported layout.

    Parameters
    ----------
    settings
        Where the images are and how they are read; see `ImageDataSettings`.

    Raises
    ------
    FormatError
        If the source is absent, empty or damaged, or names files outside its folder.
    ColumnError
        If a column asked for is absent or unusable, or an image is listed twice.
    ImageError
        If no image can be read, one cannot and `on_unreadable=refuse`, or images are smaller than `min_size`.
    ConfigError
        If no path is given, or a filter cannot be used.
    """
    listing = completed(filtered(list_images(settings), settings))
    refuse_duplicates(listing.names, "the source")
    findings = look_at(listing, settings)
    table = _assemble(listing, findings, settings)
    for note in table.notes:
        logger.info("images: %s", note)
    return table


def list_images(settings: ImageDataSettings) -> Listing:
    """Return what a source says of its images, without opening any; filters are not applied."""
    if settings.path is None:
        raise ConfigError("no images given", remedy="set path=FOLDER or path=FILE")
    path = Path(settings.path)
    kind = settings.format if settings.format != "auto" else _kind(path)
    if kind == "npz":
        return read_arrays(path, settings)
    if kind == "manifest":
        return read_manifest(_manifest_of(path), settings)
    if kind == "folder":
        return read_folder(path)
    return _of_source(kind, path, settings)


def _of_source(name: str, path: Path, settings: ImageDataSettings) -> Listing:
    """List the images of a folder that is laid out as a public data set."""
    if name not in SOURCES.names():
        kinds = ("auto", "folder", "manifest", "npz", *SOURCES.names())
        raise UnknownOptionError(
            f"there is no format of images called {name!r}",
            allowed=", ".join(kinds),
            remedy=nearest_remedy(name, kinds),
        )
    frame = read_source(name, path)
    if "array" in frame:  # its images lie in one file of arrays, in the order of the rows
        root = path if path.is_dir() else path.parent
        return read_arrays(root / frame["path"].iloc[0], settings, codes_as_published=True)
    return read_frame(frame, settings, root=path, where=name)


def _kind(path: Path) -> str:
    """Return the layout that a path looks like."""
    if path.is_dir():
        return "folder" if find_manifest(path) is None else "manifest"
    if path.suffix.lower() == ".npz":
        return "npz"
    if is_manifest(path):
        return "manifest"
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return "folder"
    if not path.exists():
        raise FormatError("no such file or folder", seen=path, remedy="check the path")
    raise FormatError(
        "a file of unknown kind",
        seen=path.name,
        allowed=f"a folder, .csv, .tsv, .npz, or an image ({', '.join(sorted(SUFFIXES))})",
    )


def _manifest_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = find_manifest(path)
    if found is None:
        raise FormatError(
            f"{path} has no table of images", allowed="manifest.csv, metadata.csv or labels.csv"
        )
    return found


def _assemble(listing: Listing, findings: Findings, settings: ImageDataSettings) -> ImageTable:
    readable = np.flatnonzero(findings.is_readable)
    bad = np.flatnonzero(~findings.is_readable)
    unreadable = tuple((str(listing.names[i]), str(findings.reasons[i])) for i in bad)
    if unreadable:
        names = shown(name for name, _ in unreadable)
        logger.warning("images: %d unreadable images are left out: %s", len(unreadable), names)
    kept = listing.chosen(readable)
    return ImageTable(
        names=kept.names,
        labels=kept.labels,
        patients=kept.patients,
        sites=kept.sites,
        parts=kept.parts,
        content=findings.content[readable],
        sizes=findings.sizes[readable],
        columns=kept.columns,
        unreadable=unreadable,
        notes=kept.notes,
        settings=settings,
        reader=_reader(kept, findings.content[readable], settings),
        rows=np.arange(len(kept)),
    )


def _reader(listing: Listing, contents: Shaped[np.ndarray, " image"], settings: ImageDataSettings) -> Pixels:
    """Put together where pixels come from: files or an array, then the stain, then the cache."""
    pixels: Pixels
    if listing.pixels is not None:
        assert listing.rows is not None
        pixels = ArrayPixels(listing.pixels, listing.rows, settings)
    else:
        assert listing.paths is not None
        pixels = FilePixels(listing.paths, settings)
    if settings.stain != "none":
        pixels = StainedPixels(pixels, settings)
    if settings.cache_dir is None:
        return pixels
    cached = CachedPixels(pixels, contents, settings)
    cached.prepare()
    return cached
