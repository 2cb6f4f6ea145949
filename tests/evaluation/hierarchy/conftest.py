"""Predictions on the seven-leaf leukemia tree: by hand, and drawn from a seed with patients that cluster."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from trilineage.core.records import NodePrediction
from trilineage.data.taxonomy import Taxonomy, load_taxonomy


@pytest.fixture(scope="session")
def leukemia() -> Taxonomy:
    return load_taxonomy("leukemia")


@pytest.fixture(scope="session")
def crossed() -> Taxonomy:
    """Return a DAG: lineage crossed with course."""
    return load_taxonomy("lymphoid_myeloid")


@pytest.fixture
def sure(leukemia) -> Callable[..., NodePrediction]:
    """Return a maker of predictions that are sure of a leaf."""

    def make(
        labels: Sequence[str], leaves: Sequence[str], patients: Sequence[str] | None = None
    ) -> NodePrediction:
        place = [leukemia.leaves.index(leaf) for leaf in leaves]
        shares = np.full((len(leaves), len(leukemia.leaves)), 0.01)
        shares[np.arange(len(leaves)), place] = 0.94
        return predicted(leukemia, shares, labels, patients)

    return make


@pytest.fixture
def draw(leukemia) -> Callable[..., NodePrediction]:
    """Return a maker of random predictions."""

    def make(seed: int, **options) -> NodePrediction:
        return draw_nodes(options.pop("taxonomy", leukemia), seed, **options)

    return make


def predicted(
    taxonomy: Taxonomy, shares: np.ndarray, labels: Sequence[str], patients: Sequence[str] | None = None
) -> NodePrediction:
    """Sum probabilities of leaves up the taxonomy."""
    names = np.array([f"s{i:05d}" for i in range(len(shares))])
    return NodePrediction(
        samples=names,
        patients=names if patients is None else np.array(patients),
        nodes=taxonomy.nodes,
        probabilities=np.minimum(shares @ taxonomy.leaf_sets.T, 1.0),
        labels=taxonomy.codes(np.array(labels)),
    )


def draw_nodes(
    taxonomy: Taxonomy,
    seed: int,
    *,
    n_patients: int = 28,
    n_each: int = 10,
    signal: float = 2.0,
    patient_effect: float = 0.7,
) -> NodePrediction:
    """Draw patients with an effect of their own, leaves in turn, samples of varying number."""
    rng = np.random.default_rng(seed)
    n_leaves = len(taxonomy.leaves)
    codes = np.repeat(np.arange(n_patients), rng.poisson(n_each, n_patients) + 1)
    truth = (np.arange(n_patients) % n_leaves)[codes]
    logits = rng.normal(size=(len(codes), n_leaves))
    logits += patient_effect * rng.normal(size=(n_patients, n_leaves))[codes]
    logits[np.arange(len(codes)), truth] += signal
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = [taxonomy.leaves[leaf] for leaf in truth]
    return predicted(taxonomy, shares, labels, [f"p{i:04d}" for i in codes])
