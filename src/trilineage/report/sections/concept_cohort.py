"""Which images and which tokens concepts were looked for in: the cohort, its attributes, the network and its block."""

from dataclasses import replace
from typing import Any

from trilineage.core.artifacts import Run
from trilineage.report.blocks import Block, Facts, Fold, Section, Table
from trilineage.report.concept_results import Row, attribute_name
from trilineage.report.numbers import counted
from trilineage.report.origins import linked
from trilineage.report.sections.image_cohort import image_cohort_section


def concept_cohort_section(run: Run) -> Section | None:
    """Describe the images, what is known of them, and the tokens they became."""
    section = image_cohort_section(run)
    if section is None:
        return None
    blocks: list[Block] = list(section.blocks)
    attributes = run.read_json("cohort.json").get("attributes") or {}
    if attributes:
        blocks.append(Fold(f"{len(attributes)} attributes of cells", (_attribute_table(attributes),)))
    blocks = linked(blocks, "cohort.json")
    if run.has("tokens.json"):
        blocks.append(Facts(tuple(_token_rows(run.read_json("tokens.json"))), sources=("tokens.json",)))
    return replace(section, blocks=tuple(blocks))


def _attribute_table(attributes: dict[str, Any]) -> Table:
    rows = tuple((attribute_name(name), f"{n_images:,}") for name, n_images in attributes.items())
    caption = "Attributes, and for how many images each is known."
    return Table(caption, ("Attribute", "Images"), rows)


def _token_rows(tokens: Row) -> list[tuple[str, str]]:
    """Say of which network, which block and which tokens the concepts are."""
    source = tokens["source"]
    height, width = source["grid"]
    kept = {"both": "patches and CLS", "cls": "CLS only", "patches": "patches only"}
    rows = [
        ("Network", str(source["backbone"])),
        ("Tokens after block", str(source["block"] + 1)),
        ("Tokens of an image", f"{kept.get(source['keep'], source['keep'])}, {height} x {width} patches"),
        ("Width of a token", f"{source['width']:,}"),
        (
            "Tokens in all",
            f"{counted(tokens['n_tokens'], 'token')} of {counted(tokens['n_images'], 'image')}",
        ),
    ]
    if tokens.get("n_outliers"):
        rows.append(("Left out for their norm", counted(tokens["n_outliers"], "token")))
    return [*rows, ("Weights (SHA-256)", str(source["weights"]))]
