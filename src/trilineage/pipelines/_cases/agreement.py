"""Whether the lineages that know a patient mean the same, and if not, at which node of the tree they part."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.fusion import divergence
from trilineage.pipelines._cases.hearing import Opinions, Voice

ALONE, AGREE, PART = "one lineage", "agree", "part"
"""What `Agreement.word` can be."""


class Agreement(NamedTuple):
    """What the lineages mean of one patient, side by side."""

    called: Mapping[str, str]
    """Most probable node of each lineage that knows the patient, by lineage."""
    certainty: Mapping[str, float]
    """Its calibrated probability, by lineage."""
    word: str
    """`one lineage`, `agree` (all called nodes lie on one way to the root), or `part`."""
    parting: str
    """Deepest node that all of them still share; where they agree, the deepest node that was called."""
    divergence: float
    """How far their opinions lie apart, in [0, 1]."""


def agreements(opinions: Opinions, tree: Taxonomy, voices: tuple[Voice, ...]) -> list[Agreement]:
    """Return the agreement on each patient, in the order of the opinions."""
    nodes = [[tree.index(name) for name in voice.called(tree)] for voice in voices]
    found = []
    for patient in range(len(opinions.fused)):
        called: dict[str, int] = {}
        certainty: dict[str, float] = {}
        for place, voice in enumerate(voices):
            if opinions.aligned.has[place, patient]:
                own = voice.holds @ opinions.alone[place, patient]
                called[voice.lineage] = nodes[place][int(own.argmax())]
                certainty[voice.lineage] = float(own.max())
        known = opinions.alone[opinions.aligned.has[:, patient], patient]
        found.append(_agreement(tree, called, certainty, divergence(known)))
    return found


def _agreement(
    tree: Taxonomy, called: dict[str, int], certainty: dict[str, float], apart: float
) -> Agreement:
    names = {lineage: tree.nodes[node] for lineage, node in called.items()}
    nodes = np.array(sorted(called.values(), key=lambda node: tree.depth[node]), dtype=np.int64)
    if len(nodes) == 0:
        return Agreement({}, {}, ALONE, tree.root, 0.0)
    if tree.ancestors[nodes[-1], nodes].all():
        word, shared = (AGREE if len(nodes) > 1 else ALONE), int(nodes[-1])
    else:
        common = np.flatnonzero(tree.ancestors[nodes].all(axis=0))
        word, shared = PART, int(common[tree.depth[common].argmax()])
    return Agreement(names, certainty, word, tree.nodes[shared], apart)
