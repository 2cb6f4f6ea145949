"""What is known of a public data set: where it is, its licence, how to cite it, how it is laid out and labelled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from trilineage.data.download import RemoteFile
from trilineage.data.taxonomy import load_taxonomy

COLUMNS = ("path", "label", "patient", "site", "split")
"""Columns of every table of images, all text; empty where a data set does not say."""

Patients = Literal["named", "hidden", "none"]


@dataclass(frozen=True)
class Source:
    """One public data set of cell images."""

    name: str
    """Name in commands, and of its label map in the taxonomies."""
    title: str
    """Name under which people know it."""
    content: str
    """How many images of what, in a few words."""
    homepage: str
    """Page of the publisher."""
    licence: str
    """Licence as far as we know."""
    is_licence_verified: bool
    """Whether we have read that licence at the publisher; otherwise check it there before use."""
    citation: str
    """What its authors ask to be cited."""
    patients: Patients
    """Whether its images name their patients: without that, no split can keep patients apart."""
    taxonomies: tuple[str, ...]
    """Shipped taxonomies that hold a map of its labels; the first is the usual one."""
    layout: str
    """How its folders and names look."""
    list_images: Callable[[Path], pd.DataFrame]
    """Read a folder of this layout into one row per image: path, label, patient, site, split and finer columns."""
    files: tuple[RemoteFile, ...] = ()
    """What `data get` fetches; empty where there is no public address for a plain download."""
    extra_files: tuple[RemoteFile, ...] = ()
    """What `data get --file NAME` can fetch besides: other sizes of the same."""
    how_to_get: str = ""
    """What a person must do where there is no plain download."""
    caution: str = ""
    """What went wrong for others."""

    @property
    def licence_note(self) -> str:
        """The licence, with a word where nobody has verified it."""
        return (
            self.licence
            if self.is_licence_verified
            else f"{self.licence} (not verified: check at the homepage)"
        )

    def label_map(self, taxonomy: str | None = None) -> Mapping[str, str]:
        """Return the node of each label in a shipped taxonomy (the usual one unless named); "" is left out."""
        return load_taxonomy(taxonomy or self.taxonomies[0]).label_maps[self.name]
