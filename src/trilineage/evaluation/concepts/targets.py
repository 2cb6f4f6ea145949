"""What latents are asked to find: a class against the rest, a value of a morphological attribute against the others."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int, Int8, Shaped

from trilineage.core.errors import CohortError
from trilineage.evaluation.null import permute_patient_labels

CLASS = "class"
"""What comes before the "=" in a target that is a class."""

UNKNOWN = -1
"""Target value of an image that nobody has labelled: it is left out of that target."""

Targets = Mapping[str, Shaped[np.ndarray, " _"]]
"""By name (`attribute=value`): True or 1 where it holds, False or 0 where it does not, -1 where nobody knows."""

Labels = Sequence[str] | Shaped[np.ndarray, " image"]
"""A label of each image as text; "" where there is none."""


def target_name(attribute: str, value: str) -> str:
    """Return the name of a target: `granule_colour=red`, `class=eosinophil`."""
    return f"{attribute}={value}"


def split_target(name: str) -> tuple[str, str]:
    """Return attribute and value of a target's name; a name without "=" is a value of no attribute."""
    attribute, equals, value = name.partition("=")
    return (attribute, value) if equals else ("", name)


def attribute_targets(
    columns: Mapping[str, Labels], *, min_images: int = 1
) -> dict[str, Int8[np.ndarray, " image"]]:
    """Make a target of every value of every column against the column's other values.

    Parameters
    ----------
    columns
        Labels by attribute; `{"class": ...}` for the classes. An image without a label is unknown in all values of
        that attribute.
    min_images
        Values with fewer images, or with fewer images of other values, make no target.

    Raises
    ------
    CohortError
        No value has as many images.
    """
    made = {}
    for attribute, labels in columns.items():
        texts = np.char.strip(np.array(labels, dtype=str))
        is_known = texts != ""
        for value in np.unique(texts[is_known]).tolist():
            holds = texts == value
            if min(int(holds.sum()), int((is_known & ~holds).sum())) >= max(min_images, 1):
                target = np.where(is_known, holds, UNKNOWN).astype(np.int8)
                made[target_name(attribute, value)] = target
    if not made:
        raise CohortError(
            "no target can be made of these labels",
            seen=f"columns {', '.join(columns) or 'none'}",
            allowed=f"a column with two values of at least {max(min_images, 1)} images each",
            remedy="check the names of the columns",
        )
    return made


def class_targets(
    codes: Int[np.ndarray, " image"], classes: Sequence[str], *, min_images: int = 1
) -> dict[str, Int8[np.ndarray, " image"]]:
    """Make a target of every class against the rest; code -1 is unknown. Errors as in `attribute_targets`."""
    names = np.array([*classes, ""], dtype=str)[codes]
    return attribute_targets({CLASS: names}, min_images=min_images)


def permuted_targets(
    targets: Targets, patients: Shaped[np.ndarray, " image"] | None, *, seed: int
) -> dict[str, Shaped[np.ndarray, " image"]]:
    """Return targets without meaning, for the figures that chance reaches.

    Whole patients exchange their labels where each has one label, images inside a patient otherwise
    (`permute_patient_labels`). Without patients every image is its own.
    """
    permuted = {}
    for name, target in targets.items():
        groups = np.arange(len(target)) if patients is None else patients
        permuted[name] = permute_patient_labels(target, groups, seed=seed)
    return permuted
