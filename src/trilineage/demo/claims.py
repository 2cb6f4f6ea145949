"""What the page says, each sentence beside the truth: whether it holds is computed, never written."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trilineage.core.files import write_atomically
from trilineage.core.manifest import to_json

CLAIMS = "claims.json"


@dataclass(frozen=True)
class Claim:
    """One sentence of the page and its check."""

    name: str
    """Short name, such as `rna.genes`."""
    text: str
    """What is claimed."""
    found: str
    """What the Runs say."""
    truth: str
    """What the simulator knows, or what chance would give."""
    holds: bool | None
    """Whether it holds; None: it could not be checked."""
    sources: tuple[str, ...] = ()
    """Files that the check read, relative to the folder of the demo."""
    note: str = ""
    """What a reader should know, or nothing."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return asdict(self)


def write_claims(path: Path, claims: tuple[Claim, ...]) -> None:
    """Write claims beside the results."""
    write_atomically(path / CLAIMS, to_json([claim.to_dict() for claim in claims]))


def read_claims(path: Path) -> tuple[Claim, ...]:
    """Read the claims of a finished demo."""
    rows = json.loads((path / CLAIMS).read_text("utf-8"))
    return tuple(Claim(**{**row, "sources": tuple(row["sources"])}) for row in rows)
