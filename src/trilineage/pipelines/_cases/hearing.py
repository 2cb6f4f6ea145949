"""How the words of each lineage become opinions on the leaves of one tree, side by side for the same patients."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from trilineage.core.records import NodePrediction, Prediction
from trilineage.data.taxonomy import Taxonomy
from trilineage.evaluation.calibration import apply_temperature
from trilineage.evaluation.fusion import Aligned, Evidence, align, clipped, spread


@dataclass(frozen=True)
class Voice:
    """How the words of one lineage are put into those of the shared tree."""

    lineage: str
    """`rna`, `images` or `concepts`."""
    classes: tuple[str, ...]
    """Its own classes."""
    holds: Bool[np.ndarray, "own leaf"]
    """Leaves that each of them holds."""
    prior: Float[np.ndarray, " leaf"]
    """What it says of a patient of whom it knows nothing."""
    temperature: float = 1.0
    """Divisor of its log-probabilities by which its opinion alone means what it says; fitted on validation patients."""

    def called(self, tree: Taxonomy) -> tuple[str, ...]:
        """Return the node of the tree that each of its classes is."""
        sets = tree.leaf_sets
        return tuple(tree.nodes[int((sets == own).all(axis=1).nonzero()[0][-1])] for own in self.holds)


@dataclass(frozen=True)
class Opinions:
    """What each lineage and all together say of some patients."""

    aligned: Aligned
    """Evidence of the lineages for the same patients, sorted by name."""
    spoken: Float[np.ndarray, "lineage patient leaf"]
    """What each lineage says; NaN where it does not know the patient."""
    alone: Float[np.ndarray, "lineage patient leaf"]
    """The same, calibrated on validation patients."""
    fused: Float[np.ndarray, "patient leaf"]
    """What all together say."""
    nodes: Int[np.ndarray, " patient"]
    """True node of each patient, which may be an inner one; -1 where unknown or none of the tree."""

    def of(
        self,
        tree: Taxonomy,
        probabilities: Float[np.ndarray, "patient leaf"],
        rows: Bool[np.ndarray, " patient"],
    ) -> NodePrediction:
        """Return opinions on some of the patients as probabilities of every node."""
        names = self.aligned.patients[rows]
        every = probabilities[rows] @ tree.leaf_sets.T.astype(np.float64)
        every[:, 0] = 1.0
        return NodePrediction(names, names, tree.nodes, every, self.nodes[rows])

    def classes_of(
        self,
        tree: Taxonomy,
        probabilities: Float[np.ndarray, "patient leaf"],
        rows: Bool[np.ndarray, " patient"],
    ) -> Prediction:
        """Return opinions on some of the patients as probabilities of the leaves; inner labels count as unknown."""
        names, labels = self.aligned.patients[rows], leaf_codes(tree, self.nodes[rows])
        return Prediction(names, names, tree.leaves, probabilities[rows], labels)


@dataclass(frozen=True)
class Hearing:
    """The lineages that are heard, and in which words."""

    tree: Taxonomy
    """The shared tree."""
    voices: tuple[Voice, ...]
    """The lineages."""
    prior: Float[np.ndarray, " leaf"]
    """Class shares of the training patients."""
    floor: float
    """Probability to which smaller ones are raised."""

    def hear(self, said: Mapping[str, Prediction], nodes: Mapping[str, int]) -> list[Evidence]:
        """Return the evidence of every lineage, empty for one that says nothing.

        Parameters
        ----------
        said
            By lineage, the probabilities of patients over its own classes.
        nodes
            True node of each patient, where known.
        """
        heard = []
        for voice in self.voices:
            own = said.get(voice.lineage) or _silence(voice)
            p = spread(clipped(own.probabilities, self.floor), voice.holds, self.prior)
            labels = leaf_codes(self.tree, _looked_up(nodes, own.patients))
            heard.append(Evidence(voice.lineage, own.patients, self.tree.leaves, p, voice.prior, labels))
        return heard

    def opinions(
        self, heard: Sequence[Evidence], fused: Float[np.ndarray, "patient leaf"], nodes: Mapping[str, int]
    ) -> Opinions:
        """Lay what each lineage says, calibrated too, beside what all together say."""
        aligned = align(heard)
        shape = (len(heard), *fused.shape)
        spoken, alone = np.full(shape, np.nan), np.full(shape, np.nan)
        for place, (evidence, voice) in enumerate(zip(heard, self.voices, strict=True)):
            rows = np.searchsorted(aligned.patients, evidence.patients)
            spoken[place, rows] = evidence.probabilities
            alone[place, rows] = apply_temperature(np.log(evidence.probabilities), voice.temperature)
        return Opinions(aligned, spoken, alone, fused, _looked_up(nodes, aligned.patients))


def leaf_codes(tree: Taxonomy, nodes: Int[np.ndarray, " patient"]) -> Int[np.ndarray, " patient"]:
    """Return the leaf that each node is; -1 for inner nodes and for -1."""
    place = np.full(tree.n_nodes + 1, -1, dtype=np.int64)  # the last entry answers the code -1
    place[tree.leaf_nodes] = np.arange(len(tree.leaves))
    return place[nodes]


def _looked_up(nodes: Mapping[str, int], patients: Iterable[str]) -> Int[np.ndarray, " patient"]:
    return np.array([nodes.get(str(name), -1) for name in patients], dtype=np.int64)


def _silence(voice: Voice) -> Prediction:
    nobody = np.zeros(0, dtype="<U1")
    return Prediction(nobody, nobody, voice.classes, np.zeros((0, len(voice.classes))))
