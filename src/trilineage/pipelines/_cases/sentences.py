"""In a sentence: what each lineage says of a patient, whether they agree, and on which level of the tree they part."""

from collections.abc import Mapping, Sequence

from trilineage.data.taxonomy import Taxonomy

WORDS = {"rna": "expression", "images": "images", "concepts": "concepts"}
"""Lineages as people call them."""
_SINGULAR = {"rna"}
"""Lineages whose word is in the singular."""


def agreement_sentence(called: Mapping[str, str], parting: str, tree: Taxonomy) -> str:
    """Say who calls a patient what, and where the ways part.

    Parameters
    ----------
    called
        Node that each lineage calls, by lineage.
    parting
        Deepest node that all of them share.
    tree
        Their tree.

    Examples
    --------
    >>> from trilineage.data.taxonomy import load_taxonomy
    >>> agreement_sentence({"rna": "AML", "images": "ALL"}, "acute", load_taxonomy("leukemia"))
    'Expression says AML, images say ALL: they agree on acute leukemia and part at level 3 of the tree.'
    """
    sides: dict[str, list[str]] = {}
    for lineage, node in called.items():
        sides.setdefault(node, []).append(lineage)
    if not sides:
        return "No lineage knows this patient."
    told = ", ".join(f"{_who(lineages)} {tree.title_of(node)}" for node, lineages in sides.items())
    told = told[0].upper() + told[1:]
    level = int(tree.depth[tree.index(parting)])
    if len(sides) == 1:
        return f"{told}{'; there is no other to compare with.' if len(called) == 1 else ': they agree.'}"
    if parting in sides:
        return f"{told}: they agree as far as each of them goes."
    if level == 0:
        return f"{told}: they part at the first level of the tree."
    return f"{told}: they agree on {tree.title_of(parting)} and part at level {level + 1} of the tree."


def joined(words: Sequence[str]) -> str:
    """Return words as a list in a sentence.

    Examples
    --------
    >>> joined(["a", "b", "c"]), joined(["a"])
    ('a, b and c', 'a')
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _who(lineages: Sequence[str]) -> str:
    """Return some lineages with the verb that fits."""
    verb = "says" if len(lineages) == 1 and lineages[0] in _SINGULAR else "say"
    return f"{joined([WORDS[lineage] for lineage in lineages])} {verb}"
