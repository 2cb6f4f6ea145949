"""The card of a concept: all that is known of a latent, as plain values for `explain/cards.json` and the atlas."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from trilineage.core.errors import ConfigError
from trilineage.evaluation.concepts.association import AssociationTable
from trilineage.evaluation.concepts.references import References
from trilineage.evaluation.concepts.statistics import ConceptStatistics
from trilineage.evaluation.concepts.targets import CLASS, split_target

KIND = "trilineage concept cards"
VERSION = 1
CARDS_NAME = "explain/cards.json"
SPRITES_DIR = "explain/sprites"
MAX_CLASSES, MAX_ATTRIBUTES = 5, 8
"""Associations on a card."""


@dataclass(frozen=True)
class Association:
    """What a latent finds: a class against the rest, or a value of an attribute against the others."""

    target: str
    """Class, or `attribute=value`."""
    auroc: float
    """Chance that the latent is more active in an image with the target than in one without."""
    q_value: float
    """False discovery rate at which this is a discovery; 1 where nothing was tested."""
    is_significant: bool
    """Whether it is more active with the target, at the rate asked for."""


@dataclass(frozen=True)
class CardReference:
    """An image that activates a latent most."""

    image: str
    """Name of the image."""
    patient: str
    """Its patient; empty where none is known."""
    label: str
    """Its class; empty where none is known."""
    score: float
    """Mean activation over the tokens of the image."""
    patch: int
    """Patch with the largest activation in reading order; -1 where only the class token activates it."""


@dataclass(frozen=True)
class ConceptCard:
    """One latent, described and tested."""

    latent: int
    """Its number in the autoencoder."""
    name: str
    """What it is called; empty where nobody has named it."""
    is_draft: bool
    """Whether the name was made by rules and confirmed by nobody."""
    reasons: tuple[str, ...]
    """What a draft name was made from; or who gave the name."""
    frequency: float
    """Share of the images that activate it, in [0, 1]."""
    mean_activation: float
    """Mean, over these images, of the mean activation of their tokens."""
    entropy: float
    """Entropy of the classes of its references, in nats."""
    relative_entropy: float
    """The same over ln(number of classes), in [0, 1]."""
    figures: Mapping[str, float | None]
    """Further figures by name, None where there is none: `spread`, `stability`, `monosemanticity`, ..."""
    focus: Mapping[str, float | None]
    """Share of its activation by region (`nucleus`, `cytoplasm`, `background`, `box`); `..._by_chance`: the area."""
    classes: tuple[Association, ...]
    """Classes it finds, the largest area first."""
    attributes: tuple[Association, ...]
    """Values of attributes it finds, the largest area first."""
    shares: Mapping[str, float]
    """Classes of its references, weighted by activation; they sum to 1."""
    tests: Mapping[str, bool | None]
    """Outcome of each test; None where it could not be done."""
    references: tuple[CardReference, ...]
    """Images that activate it most, in the order of the pictures on its sheet."""
    full_colour: float
    """Activation in a patch that heat is drawn in the strongest colour at; one scale for all pictures of the card."""
    sheet: int
    """Which of `Pictures.sheets` shows it; -1: none."""
    row: int
    """Row on that sheet, from 0."""


@dataclass(frozen=True)
class ConceptTest:
    """A test that makes a concept out of a latent."""

    name: str
    """Key in `ConceptCard.tests`."""
    title: str
    """What it is called on the page."""
    rule: str
    """When it is passed, in words."""


@dataclass(frozen=True)
class ConceptFigure:
    """A figure that cards carry beside the usual ones."""

    name: str
    """Key in `ConceptCard.figures`."""
    title: str
    """What it is called on the page."""
    meaning: str
    """What it says, in a sentence."""


FIGURES = (
    ConceptFigure(
        "spread", "Lineage spread", "Expected distance on the tree between the classes of two references."
    ),
    ConceptFigure(
        "stability",
        "Stability",
        "Cosine of its decoder row with its match in an autoencoder of another seed.",
    ),
    ConceptFigure(
        "monosemanticity",
        "Monosemanticity",
        "Similarity of its references under an independent encoder, less that of any images.",
    ),
)
"""Figures there usually are."""


@dataclass(frozen=True)
class Pictures:
    """How the sheets of pictures are laid out (`crops.sprite_sheets`)."""

    columns: int
    """References on a row."""
    rows: int
    """Concepts on a full sheet."""
    tile: tuple[int, int]
    """Height and width of a picture of a cell in pixels."""
    grid: tuple[int, int]
    """Rows and columns of patches of an image."""
    heat_padding: int
    """Patches around each tile of heat."""
    sheets: tuple[tuple[str, str], ...]
    """Files of cells and of heat, by their names in the Run."""


@dataclass(frozen=True)
class CardDeck:
    """All cards of a dictionary with what they have in common."""

    cards: tuple[ConceptCard, ...]
    """In the order in which they are first shown."""
    classes: tuple[str, ...]
    """Classes there are."""
    about: tuple[tuple[str, str], ...] = ()
    """Facts for the head of the page: name and value."""
    tests: tuple[ConceptTest, ...] = ()
    """Tests in the order in which they are shown."""
    figures: tuple[ConceptFigure, ...] = FIGURES
    """Figures in the order in which they are shown."""
    pictures: Pictures | None = None
    """Sheets of pictures, if there are any."""
    n_latents: int = 0
    """Latents there are, with those that have no card."""
    alpha: float = 0.05
    """False discovery rate of the associations."""

    def to_dict(self) -> dict[str, Any]:
        """Return what `cards.json` holds."""
        return {"kind": KIND, "version": VERSION, **asdict(self)}


@dataclass(frozen=True)
class CardMaterial:
    """What cards are made from; arrays by latent are of all latents of the autoencoder."""

    statistics: ConceptStatistics
    """How often, how strongly, in which classes."""
    references: References
    """Images that activate each latent most."""
    classes: tuple[str, ...]
    """Names of the columns of `statistics.class_shares`."""
    images: Shaped[np.ndarray, " image"]
    """Name of each image (str)."""
    labels: Shaped[np.ndarray, " image"]
    """Class of each image (str)."""
    patients: Shaped[np.ndarray, " image"] | None = None
    """Patient of each image (str), where known."""
    associations: AssociationTable | None = None
    """Classes (`class=...`) and attributes (`attribute=value`) that each latent finds."""
    figures: Mapping[str, Float[np.ndarray, " latent"]] = field(default_factory=dict)
    """Further figures; NaN where there is none."""
    focus: Mapping[str, Float[np.ndarray, " latent"]] = field(default_factory=dict)
    """Shares by region; NaN where there is none."""
    tests: Mapping[str, Bool[np.ndarray, " latent"] | Float[np.ndarray, " latent"]] = field(
        default_factory=dict
    )
    """Outcomes; of floats, NaN where a test could not be done."""
    names: Mapping[int, tuple[str, bool, tuple[str, ...]]] = field(default_factory=dict)
    """Name of a latent, whether it is a draft, and what it was made from."""


def make_cards(
    latents: Sequence[int],
    material: CardMaterial,
    *,
    n_references: int = 8,
    full_colours: Float[np.ndarray, " card"] | None = None,
    cards_per_sheet: int = 0,
) -> tuple[ConceptCard, ...]:
    """Make the cards of some latents.

    Parameters
    ----------
    latents
        Which ones, in the order in which they are first shown.
    material
        What is known.
    n_references
        At most so many on a card.
    full_colours
        Scale of the heat of each of them (`crops.full_colours`).
    cards_per_sheet
        Concepts on a sheet of pictures; 0: there are none.

    Raises
    ------
    ConfigError
        If a latent does not exist.
    """
    n_latents = len(material.statistics.frequency)
    unknown = [latent for latent in latents if not 0 <= latent < n_latents]
    if unknown:
        raise ConfigError("there is no such latent", seen=unknown[0], allowed=f"0 to {n_latents - 1}")
    scales = np.zeros(len(latents)) if full_colours is None else full_colours
    places = [divmod(n, cards_per_sheet) if cards_per_sheet else (-1, 0) for n in range(len(latents))]
    return tuple(
        _card(int(latent), material, n_references, float(scale), place)
        for latent, scale, place in zip(latents, scales, places, strict=True)
    )


def latents_to_show(
    statistics: ConceptStatistics, associations: AssociationTable | None = None, *, limit: int = 4096
) -> Int[np.ndarray, " card"]:
    """Choose the latents that get a card: the strong ones, those that find a class best first, then the frequent.

    Parameters
    ----------
    statistics
        Which are strong.
    associations
        What they find.
    limit
        At most so many.
    """
    area = np.zeros(len(statistics.frequency))
    if associations is not None and len(associations.targets):
        area = np.where(associations.significant, associations.auroc, 0.0).max(axis=1)
    order = np.lexsort((np.arange(len(area)), -statistics.frequency, -area))
    return order[statistics.strong[order]][:limit]


def _card(
    latent: int, material: CardMaterial, n_references: int, full_colour: float, place: tuple[int, int]
) -> ConceptCard:
    statistics = material.statistics
    name, is_draft, reasons = material.names.get(latent, ("", True, ()))
    found = _associations(latent, material.associations)
    shares = statistics.class_shares[latent]
    largest = np.argsort(-shares, kind="stable")[:MAX_CLASSES]
    return ConceptCard(
        latent=latent,
        name=name,
        is_draft=is_draft,
        reasons=tuple(reasons),
        frequency=float(statistics.frequency[latent]),
        mean_activation=float(statistics.mean_activation[latent]),
        entropy=float(statistics.entropy[latent]),
        relative_entropy=float(statistics.relative_entropy[latent]),
        figures={key: _number(values[latent]) for key, values in material.figures.items()},
        focus={key: _number(values[latent]) for key, values in material.focus.items()},
        classes=tuple(one for attribute, one in found if attribute == CLASS)[:MAX_CLASSES],
        attributes=tuple(one for attribute, one in found if attribute != CLASS)[:MAX_ATTRIBUTES],
        shares={material.classes[column]: float(shares[column]) for column in largest if shares[column] > 0},
        tests={key: _outcome(values[latent]) for key, values in material.tests.items()},
        references=_references(latent, material, n_references),
        full_colour=full_colour,
        sheet=place[0],
        row=place[1],
    )


def _associations(latent: int, table: AssociationTable | None) -> list[tuple[str, Association]]:
    """Return attribute and association of the tested targets of a latent: discoveries first, then by area."""
    if table is None:
        return []
    found = []
    for column in np.flatnonzero(table.is_tested[latent]).tolist():
        attribute, value = split_target(table.targets[column])
        name = value if attribute == CLASS else table.targets[column]
        auroc, q_value = float(table.auroc[latent, column]), float(table.q_value[latent, column])
        found.append((attribute, Association(name, auroc, q_value, bool(table.significant[latent, column]))))
    return sorted(found, key=lambda pair: (not pair[1].is_significant, -pair[1].auroc, pair[1].target))


def _references(latent: int, material: CardMaterial, limit: int) -> tuple[CardReference, ...]:
    references = material.references
    images = references.images[latent, :limit]
    return tuple(
        CardReference(
            image=str(material.images[image]),
            patient="" if material.patients is None else str(material.patients[image]),
            label=str(material.labels[image]),
            score=float(references.scores[latent, rank]),
            patch=int(references.patches[latent, rank]),
        )
        for rank, image in enumerate(images.tolist())
        if image >= 0
    )


def _number(value: Any) -> float | None:
    """Return a number, or None for NaN."""
    return float(value) if np.isfinite(value) else None


def _outcome(value: Any) -> bool | None:
    """Return whether a test was passed, or None for NaN."""
    return bool(value) if np.isfinite(value) else None
