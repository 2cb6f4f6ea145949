"""What an inspection finds, in records that a person can read and a program can load."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Weight = Literal["problem", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that somebody should know before learning from the images."""

    kind: str
    """What it is about, in one word or two joined by an underscore: unreadable, duplicate, leak, ..."""
    weight: Weight
    """`problem`: mend the data; `warning`: know it before you trust a score; `note`: good to know."""
    text: str
    """The finding in a sentence."""
    examples: tuple[str, ...] = ()
    """A few of the images or groups it is about."""


@dataclass(frozen=True)
class Duplicates:
    """Images whose files (or pixels, in an array) are the same, byte for byte."""

    names: tuple[str, ...]
    """Names of the images, in the order of the source."""
    labels: tuple[str, ...]
    """Label of each."""
    parts: tuple[str, ...]
    """Part of the split of each; empty where there is none."""
    patients: tuple[str, ...]
    """Patient of each; empty where unknown."""

    @property
    def is_conflicting(self) -> bool:
        """Whether one image carries two labels."""
        return len(set(self.labels) - {""}) > 1

    @property
    def is_across_parts(self) -> bool:
        """Whether one image stands in two parts of the split."""
        return len(set(self.parts) - {"", "unused"}) > 1


@dataclass(frozen=True)
class NearDuplicate(Duplicates):
    """Two images that look alike though their bytes differ."""

    correlation: float = 0.0
    """Correlation of their grey values after the best small shift and turn."""
    is_turned: bool = False
    """Whether one is a turned or mirrored copy."""


@dataclass(frozen=True)
class Group:
    """Images that were probably taken in one way: one camera, one stain, one site."""

    name: str
    """Letter, A for the largest group; `odd` for images that belong to none."""
    n_images: int
    """Images in it."""
    colour: tuple[int, int, int]
    """Mean red, green and blue of their backgrounds, 0 to 255."""
    sizes: dict[str, int]
    """Images by size ("360 x 363"), the commonest first, at most ten."""
    labels: dict[str, int]
    """Images by label."""
    sites: dict[str, int] = field(default_factory=dict)
    """Images by site, where sites are known."""
    examples: tuple[str, ...] = ()
    """Names of a few of its images."""


@dataclass(frozen=True)
class Inspection:
    """All that was found out about a set of images."""

    path: str
    """What was looked at."""
    n_images: int
    """Images listed."""
    labels: dict[str, int]
    """Images by label; "" where there is none."""
    n_patients: int | None
    """Patients, or None where the source names none."""
    sites: dict[str, int] | None
    """Images by site, or None."""
    parts: dict[str, int] | None
    """Images by part of the official split, or None."""
    sizes: dict[str, int]
    """Images by size ("360 x 363"), the commonest first."""
    unreadable: tuple[tuple[str, str], ...]
    """Name and reason of each image that cannot be read."""
    duplicates: tuple[Duplicates, ...]
    """Groups of images that are the same."""
    near_duplicates: tuple[NearDuplicate, ...]
    """Pairs of images that look the same."""
    groups: tuple[Group, ...]
    """Acquisitions found by size and background colour; one where there is nothing to tell apart."""
    site_shares: dict[str, dict[str, float]]
    """Share of each site (of each found group, where no site is known) in each class."""
    findings: tuple[Finding, ...]
    """What to mend or to know, problems first."""
    notes: tuple[str, ...] = ()
    """What was guessed while listing the images."""
    group_of: dict[str, str] = field(default_factory=dict, repr=False)
    """Group of each image by its name; empty where there is one group."""

    @property
    def n_problems(self) -> int:
        """Findings that ask for mended data."""
        return sum(finding.weight == "problem" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values, with a kind and a version."""
        return {"kind": "trilineage inspection", "version": 1, **asdict(self)}
