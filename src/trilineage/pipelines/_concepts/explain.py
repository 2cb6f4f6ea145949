"""The atlas of a Run: which latents get a card, where they lie on the cell, what they are called, what they decide."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from trilineage.core.artifacts import Run
from trilineage.evaluation.concepts.association import AssociationTable
from trilineage.evaluation.concepts.focus import Focus
from trilineage.evaluation.concepts.naming import (
    ConceptName,
    draft_names,
    names_csv,
    read_names_csv,
    with_given_names,
)
from trilineage.evaluation.concepts.references import References
from trilineage.evaluation.concepts.statistics import ConceptStatistics
from trilineage.explain.concepts.cards import (
    CardDeck,
    CardMaterial,
    ConceptTest,
    Pictures,
    latents_to_show,
    make_cards,
)
from trilineage.explain.concepts.crops import (
    HEAT_PADDING,
    SpriteSettings,
    full_colours,
    reference_maps,
    sprite_sheets,
)
from trilineage.models.encoder import TokenEncoder
from trilineage.models.extraction import LiveTokens
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.pipelines._concepts.coding import MODEL, make_controls
from trilineage.pipelines._concepts.config import Config
from trilineage.pipelines._concepts.focusing import focus_rows, images_with_regions, locate
from trilineage.pipelines._concepts.held_out_pages import write_held_out_patients
from trilineage.pipelines._concepts.material import Material, gather, loader_of
from trilineage.pipelines._concepts.pathways import write_pathways
from trilineage.pipelines._concepts.store import KIND, read_dictionary, read_encoder
from trilineage.pipelines._concepts.verdicts import CONCEPTS
from trilineage.pipelines._regions import Regions
from trilineage.training.distributed import choose_device

CARDS, NAMES, FOCUS = "explain/cards.json", "explain/names.csv", "explain/focus.json"
MOST_CARDS = 8192

TESTS = (
    ConceptTest(
        "concept",
        "Concept",
        "Strong, and associated with a class or attribute on training and held-out images",
    ),
    ConceptTest("associated", "Associated", "A significant association on training images"),
    ConceptTest("held_out", "Holds on held-out patients", "Area above one half there, for the same target"),
    ConceptTest(
        "alike", "Alike", "References more alike than random images to a judge that had no part in it"
    ),
    ConceptTest("stable", "Stable", "Found again in every autoencoder of another seed"),
)
STABLE_FROM = 0.7
"""Score from which a latent counts as found again."""
LIKENESS_ALPHA = 0.05
"""False discovery rate at which references count as alike."""


@dataclass(frozen=True)
class Known:
    """What a Run says of its latents."""

    arrays: dict[str, np.ndarray]
    """Every figure by name."""
    statistics: ConceptStatistics
    """Those that cards need."""
    references: References
    """Images that show each latent."""
    table: AssociationTable | None
    """Associations on training images."""


def explain_run(
    run: Run | Path | str,
    *,
    n_concepts: int,
    names: Path | None,
    classifier: Path | None,
    regions: Regions,
    per_patient: int = 0,
    device: str,
) -> Run:
    """See `trilineage.concepts.explain`."""
    opened = run if isinstance(run, Run) else Run.open(run, kind=KIND)
    config, known = opened.config(Config), read_known(opened)
    latents = latents_to_show(known.statistics, known.table, limit=n_concepts or MOST_CARDS)
    given = {} if names is None else read_names_csv(names, len(known.statistics.frequency))
    drafts = {} if known.table is None else draft_names(known.table, latents.tolist())
    named = with_given_names(drafts, given)
    material = gather(config)
    encoder = read_encoder(opened, config).to(choose_device(device))
    member = read_dictionary(opened).to(encoder.device)
    found = _located(opened, material, encoder, member, regions, config)
    _write_cards(opened, known, material, latents, named, found, (encoder, member, config))
    opened.write_text(NAMES, names_csv(named))
    if per_patient:
        write_held_out_patients(opened, material, (encoder, member, config), latents, n_pictured=per_patient)
    if classifier is not None:
        write_pathways(opened, material, (encoder, member, config), classifier)
    return opened


def _write_cards(
    run: Run,
    known: Known,
    material: Material,
    latents: Int[np.ndarray, " card"],
    named: dict[int, ConceptName],
    found: Focus | None,
    made: tuple[TokenEncoder, SparseAutoencoder, Config],
) -> None:
    """Draw the references of the latents and write their cards."""
    encoder, member, config = made
    settings = SpriteSettings(references=min(8, config.concepts.n_references))
    images = known.references.images[latents, : settings.references]
    maps = reference_maps(
        encoder, member, loader_of(material), images, latents.tolist(), workers=config.data.workers
    )
    pictures = _draw(run, material, images, maps, settings, encoder.grid)
    cards = make_cards(
        latents.tolist(),
        _material(known, material, found, named),
        n_references=settings.references,
        full_colours=full_colours(maps),
        cards_per_sheet=settings.cards_per_sheet,
    )
    about = (
        ("Images", f"{known.statistics.n_images:,} for training and validation"),
        ("Network", f"{encoder.spec.name}, block {encoder.block + 1} of {encoder.spec.n_blocks}"),
        ("Autoencoder", f"{member.n_latents:,} latents, {member.settings.activation}"),
    )
    deck = CardDeck(
        cards,
        material.classes,
        about=about,
        tests=TESTS,
        pictures=pictures,
        n_latents=member.n_latents,
        alpha=config.concepts.alpha,
    )
    run.write_json(CARDS, deck.to_dict())


def read_known(run: Run) -> Known:
    """Read the figures of all latents."""
    arrays = run.read_arrays(CONCEPTS)
    names = [field.name for field in fields(ConceptStatistics)]
    statistics: dict[str, Any] = {name: arrays[name] for name in names}
    statistics["n_images"] = int(arrays["n_images"])
    table = None
    if run.has("associations.npz"):
        table = AssociationTable.from_arrays(run.read_arrays("associations.npz"))
    return Known(
        arrays, ConceptStatistics(**statistics), References(**run.read_arrays("references.npz")), table
    )


def _located(
    run: Run,
    material: Material,
    encoder: TokenEncoder,
    member: SparseAutoencoder,
    regions: Regions,
    config: Config,
) -> Focus | None:
    """Hold the maps of all latents, and of the controls', against the regions, if there are any."""
    if regions.is_empty:
        return None
    positions = images_with_regions(material, regions, seed=config.seed)
    reader = LiveTokens(encoder, material.table, workers=config.data.workers, device=encoder.device)
    controls = make_controls(member, reader, material, config, name="controls")
    found = locate(material, positions, regions, encoder, {MODEL: member, **controls})
    run.write_json(FOCUS, {"n_images": len(positions), "rows": focus_rows(found)})
    return found.get(MODEL)


def _draw(
    run: Run,
    material: Material,
    images: Int[np.ndarray, "card rank"],
    maps: Float32[np.ndarray, "card rank gh gw"],
    settings: SpriteSettings,
    grid: tuple[int, int],
) -> Pictures:
    """Write the sheets of pictures and say how they are laid out."""
    sheets = []
    for sheet in sprite_sheets(material.table.read_sized, images, maps, settings):
        cells, heat = f"explain/sprites/{sheet.name}.jpg", f"explain/sprites/{sheet.name}.png"
        run.write_bytes(cells, sheet.cells)
        run.write_bytes(heat, sheet.heat)
        sheets.append((cells, heat))
    height, width = material.table.shape
    tile = (settings.tile, round(settings.tile * width / height))
    columns = min(settings.references, images.shape[1])
    return Pictures(columns, settings.cards_per_sheet, tile, grid, HEAT_PADDING, tuple(sheets))


def _material(
    known: Known, material: Material, found: Focus | None, named: dict[int, ConceptName]
) -> CardMaterial:
    """Gather what the cards say."""
    arrays = known.arrays
    stable = (
        arrays["stability"] >= STABLE_FROM if "stability" in arrays else np.full(len(arrays["alive"]), np.nan)
    )
    held = arrays["held_out_auroc"]
    tests = {
        "concept": arrays["is_concept"],
        "associated": arrays["target"] >= 0,
        "held_out": np.where(np.isnan(held), np.nan, held > 0.5),
        "alike": arrays["likeness_q"] <= LIKENESS_ALPHA,
        "stable": stable,
    }
    names: tuple[str, ...] = ("spread", "stability", "monosemanticity")
    figures = {name: arrays[name] for name in names if name in arrays}
    return CardMaterial(
        statistics=known.statistics,
        references=known.references,
        classes=material.classes,
        images=material.table.names,
        labels=material.named_labels(),
        patients=material.cohort.patients if material.has_patients else None,
        associations=known.table,
        figures=figures,
        focus={} if found is None else found.figures(),
        tests=tests,
        names=named,
    )
