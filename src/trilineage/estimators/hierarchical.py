"""The hierarchical head of the images lineage as an estimator: features in, probabilities of every node out."""

from typing import Any, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from trilineage.core.errors import ConfigError
from trilineage.core.seeding import derive_seed, seed_everything
from trilineage.data.taxonomy import Taxonomy, load_taxonomy
from trilineage.estimators.inputs import (
    Column,
    Rows,
    Table,
    checked_features,
    checked_rows,
    float32,
    quietly,
    seed_of,
    validation_rows,
)
from trilineage.evaluation.hierarchy.decoding import decode, leaf_shares
from trilineage.evaluation.hierarchy.temperatures import (
    NodeCalibration,
    apply_node_temperatures,
    fit_node_temperatures,
)
from trilineage.models.classifiers import LatentScale
from trilineage.models.hierarchy import HierarchicalHead, HierarchySettings, build_head
from trilineage.training.distributed import choose_device
from trilineage.training.head_training import FeatureBatches, node_validation
from trilineage.training.loop import train
from trilineage.training.objectives.classification import sample_weights
from trilineage.training.objectives.hierarchy import balanced_weights, hierarchy_step
from trilineage.training.randomness import preserved_generators
from trilineage.training.settings import TrainingSettings

ROOT = "all classes"
"""Root of the tree that stands in where no taxonomy is given."""
STOPPING_RULES = ("majority_path", "optimal_hf")
"""Rules that may decide for a node that is no leaf."""


class HierarchicalClassifier(ClassifierMixin, BaseEstimator):
    """Classify samples along a tree of diagnoses, from features such as those of a frozen network.

    The head of `trilineage images fit` on features that exist: standardised, stopped early, and calibrated parent by
    parent on patients held out inside `fit`. Labels may be inner nodes: such a sample teaches what it knows.

    Parameters
    ----------
    taxonomy
        Name of a taxonomy of the package, path of a TOML file, or a `Taxonomy`; None: the labels themselves, without
        levels, which is an ordinary softmax.
    variant
        As in `models.hierarchy.HierarchySettings`, but for `base`: on features that are given its models are those of
        `multilabel`, whose heads do not touch each other.
    alpha, gamma
        Balance and focusing of the focal loss.
    rule
        How nodes become a decision: `leaf_argmax`, `top_down`, `expected_cost`, `majority_path`, `optimal_hf`; the last
        two may decide for inner nodes.
    label_map
        Name of a label map of the taxonomy, where labels are those of a data set.
    epochs, batch_size, learning_rate, patience
        Training; `patience` epochs without a lower validation loss end it.
    validation_fraction
        Share of the patients held out inside `fit`; 0 trains all epochs and does not calibrate.
    random_state
        Decides everything that is drawn; an integer gives the same numbers again.
    device
        `auto`, `cpu`, `cuda`, `cuda:N`; predictions are made on the CPU.

    Attributes
    ----------
    classes_
        Leaves of the taxonomy, sorted; without a taxonomy the labels that occurred.
    taxonomy_
        The tree.
    head_, scale_, calibration_
        The fitted head, what standardises features for it, and its temperatures (None where nothing was calibrated).
    n_iter_
        Epochs trained.
    """

    def __init__(  # noqa: PLR0913  (scikit-learn reads the options of an estimator from here)
        self,
        taxonomy: Any = None,
        *,
        variant: Any = "multilabel",
        alpha: Any = "none",
        gamma: Any = 0.0,
        rule: Any = "leaf_argmax",
        label_map: Any = None,
        epochs: Any = 100,
        batch_size: Any = 64,
        learning_rate: Any = 3e-3,
        patience: Any = 15,
        validation_fraction: Any = 0.2,
        random_state: Any = 0,
        device: Any = "auto",
    ):
        self.taxonomy = taxonomy
        self.variant = variant
        self.alpha = alpha
        self.gamma = gamma
        self.rule = rule
        self.label_map = label_map
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device

    def fit(self, X: Table, y: Column, *, patients: Column = None) -> Self:  # noqa: N803
        """Learn from features.

        Parameters
        ----------
        X
            Samples x features.
        y
            Label of each sample: a node of the taxonomy, or any label where there is none.
        patients
            Patient of each sample (what scikit-learn calls groups): kept whole where samples are held out, and given
            the same weight. None takes every sample as a patient of its own.

        Raises
        ------
        ValueError
            For inputs that scikit-learn refuses, and for one class.
        LabelError, TaxonomyError
            For labels that are no node, and taxonomies that cannot be read.
        ConfigError
            For options that cannot work.
        """
        rows = checked_rows(self, X, y, patients)
        if self.taxonomy is None and self.rule in STOPPING_RULES:
            raise ConfigError(
                "a rule that may stop at an inner node needs a taxonomy",
                seen=f"rule {self.rule}, no taxonomy",
                allowed="leaf_argmax, top_down or expected_cost without a taxonomy",
                remedy="name a taxonomy, or choose another rule",
            )
        tree = _tree(self.taxonomy, rows, self.label_map)
        is_known = tree.codes > 0  # neither left out by a label map, nor the root, which says nothing
        rows = rows._replace(features=rows.features[is_known], patients=rows.patients[is_known])
        tree = tree._replace(codes=tree.codes[is_known])
        seed = seed_of(self.random_state)
        is_valid = validation_rows(tree.codes, rows.patients, share=self.validation_fraction, seed=seed)
        self.scale_ = LatentScale(rows.features.shape[1])
        self.scale_.fit(torch.from_numpy(float32(rows.features[~is_valid])))
        self.taxonomy_, self.classes_, self._order = tree.taxonomy, tree.classes, tree.order
        with preserved_generators(), quietly():
            seed_everything(derive_seed(seed, "hierarchical head"))
            head, self.n_iter_ = self._trained(rows, tree.codes, is_valid, seed)
        self.head_, self.scale_ = head.cpu().double(), self.scale_.double()
        self.calibration_: NodeCalibration | None = None
        if is_valid.any():
            self.calibration_ = fit_node_temperatures(
                self._log_probabilities(rows.features[is_valid]),
                tree.codes[is_valid],
                rows.patients[is_valid],
                tree.taxonomy,
            )
        return self

    def predict_node_proba(self, X: Table) -> Float[np.ndarray, "sample node"]:  # noqa: N803
        """Return calibrated probabilities of every node of `taxonomy_`, the root's (1) first."""
        check_is_fitted(self)
        log_p = self._log_probabilities(checked_features(self, X))
        if self.calibration_ is not None:
            log_p = apply_node_temperatures(log_p, self.calibration_, self.taxonomy_)
        return np.exp(log_p.astype(np.float64))

    def predict_proba(self, X: Table) -> Float[np.ndarray, "sample class"]:  # noqa: N803
        """Return calibrated probabilities of the leaves, in the order of `classes_`; they sum to 1."""
        return leaf_shares(self.predict_node_proba(X), self.taxonomy_)[:, self._order]

    def predict(self, X: Table) -> Shaped[np.ndarray, " sample"]:  # noqa: N803
        """Return the node that the rule decides for, by its name (or the label, without a taxonomy)."""
        found = decode(self.predict_node_proba(X), self.taxonomy_, self.rule)
        if self.taxonomy is not None:
            return np.array(self.taxonomy_.nodes)[found]
        leaf = np.searchsorted(self.taxonomy_.leaf_nodes, found)
        return self.classes_[np.argsort(self._order)[leaf]]

    def _trained(
        self, rows: Rows, codes: Int[np.ndarray, " sample"], is_valid: np.ndarray, seed: int
    ) -> tuple[HierarchicalHead, int]:
        """Return the trained head, and after how many epochs its training ended."""
        settings = HierarchySettings(variant=self.variant, alpha=self.alpha, gamma=self.gamma)
        head = build_head(settings, self.taxonomy_, rows.features.shape[1])
        device = choose_device(self.device)
        learned = codes[~is_valid]
        alpha = balanced_weights(learned, self.taxonomy_, settings) if self.alpha == "balanced" else None
        owners = np.unique(rows.patients[~is_valid], return_inverse=True)[1]
        batches = FeatureBatches(
            self._scaled(rows.features[~is_valid])[None],
            learned,
            sample_weights(learned, owners, weighting="donor"),
        )
        watched = torch.from_numpy(self._scaled(rows.features[is_valid])).to(device)
        history = train(
            head,
            hierarchy_step(settings, self.taxonomy_, alpha),
            batches,
            TrainingSettings(
                epochs=self.epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                patience=self.patience if is_valid.any() else 0,
            ),
            seed=derive_seed(seed, "hierarchical head"),
            device=device,
            validate=node_validation(
                head,
                lambda: head.node_log_probabilities(watched),
                codes[is_valid],
                rows.patients[is_valid],
                self.taxonomy_,
            )
            if is_valid.any()
            else None,
            name="hierarchical head",
        )
        return head, len(history.epochs)

    def _scaled(self, features: Float[np.ndarray, "sample feature"]) -> Float[np.ndarray, "sample feature"]:
        scaled: np.ndarray = self.scale_(torch.from_numpy(float32(features))).numpy()
        return scaled

    def _log_probabilities(
        self, features: Float[np.ndarray, "sample feature"]
    ) -> Float[np.ndarray, "sample node"]:
        """Return log p(node); in double precision, so that a prediction does not depend on what it is made with."""
        with torch.no_grad():
            scaled = self.scale_(torch.from_numpy(np.array(features)))
            log_p: np.ndarray = self.head_.node_log_probabilities(scaled).numpy()
        return log_p


class _Tree(NamedTuple):
    """What is learned: a tree, and the node of every label."""

    taxonomy: Taxonomy
    """The tree."""
    codes: Int[np.ndarray, " sample"]
    """Node of each row."""
    classes: Shaped[np.ndarray, " class"]
    """Leaves as a user names them, sorted."""
    order: Int[np.ndarray, " class"]
    """Place of each among the leaves of the tree."""


def _tree(taxonomy: Any, rows: Rows, label_map: str | None) -> _Tree:
    if taxonomy is None:
        names = [f"class {number}" for number in range(len(rows.classes))]
        flat = Taxonomy.from_parents("classes", {ROOT: (), **dict.fromkeys(names, (ROOT,))})
        order = np.array([flat.leaves.index(name) for name in names])
        nodes = np.array([flat.index(name) for name in names])
        return _Tree(flat, nodes[rows.labels], rows.classes, order)
    tree = taxonomy if isinstance(taxonomy, Taxonomy) else load_taxonomy(taxonomy)
    codes = tree.codes(rows.classes.astype(str), label_map)[rows.labels]
    order = np.argsort(np.array(tree.leaves), kind="stable")
    return _Tree(tree, codes, np.array(tree.leaves)[order], order)
