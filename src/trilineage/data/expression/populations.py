"""Cell populations by name: groups such as `progenitors`, or the cell types of the table as they are written there."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Shaped

from trilineage.core.errors import EmptyPopulationError

GROUPS: dict[str, tuple[str, ...]] = {
    "progenitors": (
        r"progenitors?", r"prog", r"precursors?", r"hspcs?", r"hscs?", r"mpps?\d*", r"mpp\w*", r"cmps?", r"gmps?",
        r"meps?", r"lmpps?", r"clps?", r"mlps?", r"mkps?", r"emps?", r"bmps?", r"ha?ematopoietic stem",
        r"stem cells?", r"leuka?emic stem", r"cd34(?: ?(?:\+|pos\w*))?", r"multipotent", r"pluripotent", r"blasts?",
    ),
    "stem": (r"hscs?", r"hspcs?", r"mpps?\d*", r"mpp\w*", r"stem cells?", r"multipotent"),
    "monocyte": (
        r"monocytes?", r"monocytic", r"mono(?:s|cd14|cd16)?", r"cd1[46](?:mono\w*)?(?: ?\+)?", r"fcgr3a(?: ?\+)?",
    ),
    "lymphocyte": (
        r"lymphocytes?", r"lymphoid", r"lympho\w*", r"[tb]", r"[tb] ?cells?", r"nk\w*", r"natural killer", r"ilcs?",
        r"cd[48](?: ?\+)?", r"tregs?", r"th\d+", r"mait", r"gamma delta", r"plasma(?: ?cells?)?", r"plasmablasts?",
    ),
    "t cell": (r"t", r"t ?cells?", r"cd[48](?: ?\+)?", r"tregs?", r"th\d+", r"mait", r"thymocytes?", r"gamma delta"),
    "b cell": (r"b", r"b ?cells?", r"plasma(?: ?cells?)?", r"plasmablasts?"),
    "nk cell": (r"nk\w*", r"nk ?cells?", r"natural killer"),
    "erythroid": (
        r"erythro\w*", r"reticulocytes?", r"rbcs?", r"red blood", r"proerythro\w*", r"normoblasts?",
    ),
    "megakaryocyte": (r"megakaryo\w*", r"mks?", r"platelets?", r"thrombocytes?"),
    "granulocyte": (
        r"granulocytes?", r"neutrophils?", r"eosinophils?", r"basophils?", r"mast(?: cells?)?", r"(?:pro)?myelocytes?",
    ),
    "dendritic": (r"dendritic", r"[mcp]?dcs?\d*", r"asdcs?"),
}  # fmt: skip
"""Words that put a cell type into a group; a word stands alone between spaces, hyphens or other marks."""

_NOT_LYMPHOCYTE = (r"mono\w*", *GROUPS["dendritic"], *GROUPS["progenitors"])
_EXCLUDED: dict[str, tuple[str, ...]] = {
    "lymphocyte": _NOT_LYMPHOCYTE,
    "monocyte": (*GROUPS["progenitors"], r"nk\w*", r"natural killer", r"[tb] ?cells?", r"t", r"b", r"nkt"),
    "t cell": _NOT_LYMPHOCYTE,
    "b cell": _NOT_LYMPHOCYTE,
    "nk cell": GROUPS["progenitors"],
    "erythroid": (r"meps?",),
    "progenitors": (r"plasma\w*", r"erythroblasts?", r"normoblasts?", r"proerythroblasts?", r"mature"),
}
_OTHER_NAMES = {
    "progenitor": "progenitors", "hspc": "progenitors", "monocytes": "monocyte", "lymphocytes": "lymphocyte",
    "lymphoid": "lymphocyte", "stem cells": "stem", "t cells": "t cell", "b cells": "b cell", "nk cells": "nk cell",
    "erythrocytes": "erythroid", "megakaryocytes": "megakaryocyte", "granulocytes": "granulocyte",
    "dendritic cells": "dendritic",
}  # fmt: skip
_N_NAMED = 40


def select_population(
    cell_types: Shaped[np.ndarray, " cell"], names: Sequence[str]
) -> Bool[np.ndarray, " cell"]:
    """Mark the cells whose type is one of the names, or belongs to a group of that name (case is ignored).

    Parameters
    ----------
    cell_types
        Cell type of each cell, as the sample table has it.
    names
        Cell types or groups (see `GROUPS`); `all`, or no name at all, marks every cell. A name that is a cell type of
        the table means that type and no group.

    Raises
    ------
    EmptyPopulationError
        If a name marks no cell; the cell types there are are listed.
    """
    kinds, inverse = np.unique(np.asarray(cell_types).astype(np.str_), return_inverse=True)
    chosen = np.zeros(len(kinds), np.bool_)
    for name in names or ("all",):
        matched = _matches(kinds, name)
        if not matched.any():
            raise EmptyPopulationError(
                f"no cell belongs to the population '{name}'",
                seen=f"cell types {', '.join(kinds[:_N_NAMED])}" if len(kinds) else "no cell types",
                allowed=f"one of these, 'all', or a group: {', '.join(GROUPS)}",
                remedy="choose another population, or the right cell_type_key",
            )
        chosen |= matched
    return chosen[inverse.reshape(-1)]


def population_table(
    cell_types: Shaped[np.ndarray, " cell"],
) -> list[dict[str, str | int]]:
    """List the cell types with their number of cells, most frequent first."""
    kinds, counts = np.unique(np.asarray(cell_types).astype(np.str_), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [{"name": str(kinds[i]), "n_samples": int(counts[i])} for i in order]


def guess_progenitors(cell_types: Shaped[np.ndarray, " cell"]) -> tuple[str, ...]:
    """Return the cell types that count as progenitors, in alphabetical order; nothing if there are none."""
    kinds = np.unique(np.asarray(cell_types).astype(np.str_))
    return tuple(str(kind) for kind in kinds[_matches(kinds, "progenitors")])


def _matches(kinds: Shaped[np.ndarray, " kind"], name: str) -> Bool[np.ndarray, " kind"]:
    wanted = name.strip().lower()
    if wanted == "all":
        return np.ones(len(kinds), np.bool_)
    literal = np.array([kind.strip().lower() == wanted for kind in kinds.tolist()], dtype=np.bool_)
    group = _OTHER_NAMES.get(wanted, wanted)
    if literal.any() or group not in GROUPS:
        return literal
    inside, outside = _word_pattern(GROUPS[group]), _word_pattern(_EXCLUDED.get(group, (r"(?!)",)))
    plain = [_plain(kind) for kind in kinds.tolist()]
    return np.array([bool(inside.search(k)) and not outside.search(k) for k in plain], dtype=np.bool_)


def _word_pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(r"(?<![a-z0-9])(?:" + "|".join(words) + r")(?![a-z0-9])")


def _plain(kind: str) -> str:
    """Lower case, with separators as spaces and `CD14Mono` taken apart."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind)
    return re.sub(r"[\s_\-/&,.()]+", " ", spaced.lower()).strip()
