"""Hierarchical losses against their identities and by hand; where gradients go; training through the one loop."""

from typing import NamedTuple

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trilineage.core.errors import CohortError, ConfigError
from trilineage.core.seeding import generator
from trilineage.data.taxonomy import Taxonomy, load_taxonomy
from trilineage.models.hierarchy import (
    HierarchySettings,
    branch_codes,
    branch_taxonomy,
    build_head,
    build_parent_head,
)
from trilineage.training.loop import train
from trilineage.training.objectives.hierarchy import (
    balanced_weights,
    hierarchy_losses,
    hierarchy_step,
    isolation_check,
)
from trilineage.training.settings import TrainingSettings

TREE = load_taxonomy("leukemia")
CHAIN = Taxonomy.from_parents(
    "chain", {"r": (), "a": ("r",), "b": ("a",), "c": ("r",), "d": ("c",), "e": ("c",)}
)
EVERY_NODE = torch.arange(TREE.n_nodes)
PLAIN = {"gamma": 0.0, "normalization": "sample", "hxe_alpha": 0.0}
LIKELIHOOD_VARIANTS = ["flat", "multilabel", "conditional", "hxe"]


class Batch(NamedTuple):
    features: torch.Tensor
    labels: torch.Tensor
    weight: torch.Tensor


class Images(NamedTuple):
    pixels: torch.Tensor
    labels: torch.Tensor
    weight: torch.Tensor


class Clouds:
    """Features around one centre per leaf, some with labels that stop early."""

    def __init__(self, n_images=210):
        draw = np.random.default_rng(0)
        leaves = TREE.leaf_nodes[np.arange(n_images) % 7]
        self.truth = leaves
        self.features = torch.from_numpy(
            (4 * np.eye(12)[leaves] + draw.normal(size=(n_images, 12))).astype("f4")
        )
        labels = leaves.copy()
        early = draw.random(n_images) < 0.2
        labels[early] = [TREE.path(leaf)[-2] for leaf in leaves[early]]
        self.labels = torch.from_numpy(labels)

    def __len__(self):
        return len(self.labels)

    def order(self, *, seed, epoch):
        return generator(seed, "clouds", epoch).permutation(len(self))

    def take(self, positions):
        rows = torch.from_numpy(positions)
        return Batch(self.features[rows], self.labels[rows], torch.ones(len(rows)))


def built(variant="multilabel", taxonomy=TREE, d_in=12, **options):
    torch.manual_seed(0)
    settings = HierarchySettings(variant=variant, **options)
    return settings, build_head(settings, taxonomy, d_in)


def features(n_images, d_in=12, scale=30.0):
    return scale * torch.randn(n_images, d_in, generator=torch.Generator().manual_seed(1))


def losses_of(head, settings, codes, class_weight=None, scale=30.0):
    outputs = head(features(len(codes), scale=scale))
    return hierarchy_losses(head, outputs, codes, settings=settings, class_weight=class_weight), outputs


@pytest.mark.parametrize("variant", LIKELIHOOD_VARIANTS)
def test_without_focus_the_levels_sum_to_the_negative_log_probability_of_any_node(variant):
    settings, head = built(variant, **PLAIN)
    found, outputs = losses_of(head, settings, EVERY_NODE)
    expected = -head.log_probabilities(outputs)[EVERY_NODE, EVERY_NODE]
    torch.testing.assert_close(found.losses.sum(dim=1), expected, atol=1e-5, rtol=1e-5)


def test_hxe_without_alpha_is_the_cross_entropy_of_the_leaves():
    settings, head = built("hxe", **PLAIN)
    found, outputs = losses_of(head, settings, torch.from_numpy(TREE.leaf_nodes))
    expected = nn.functional.cross_entropy(outputs, torch.arange(7), reduction="none")
    torch.testing.assert_close(found.losses.sum(dim=1), expected, atol=1e-5, rtol=1e-5)


def test_hxe_weighs_a_conditional_by_its_height():
    settings, head = built("hxe", gamma=0.0, hxe_alpha=0.5)
    plain, _ = losses_of(head, settings.replace(hxe_alpha=0.0), torch.tensor([TREE.index("ALL")]))
    found, _ = losses_of(head, settings, torch.tensor([TREE.index("ALL")]))
    factors = torch.exp(-0.5 * torch.tensor([[2.0, 1.0, 0.0]]))
    torch.testing.assert_close(found.losses, plain.losses * factors)


@pytest.mark.parametrize("variant", ["flat", "hxe", "multilabel"])
def test_smoothing_and_alpha_on_one_level_are_those_of_torch(variant):
    one_level = branch_taxonomy(TREE, "acute")
    settings, head = built(variant, one_level, gamma=0.0, label_smoothing=0.3, hxe_alpha=0.0)
    weights, codes = np.array([1.0, 0.5, 2.0, 3.0]), torch.tensor([1, 2, 3, 3])
    found, outputs = losses_of(head, settings, codes, weights, scale=1.0)
    alpha = torch.tensor([0.5, 2.0, 3.0])
    expected = nn.functional.cross_entropy(outputs, codes - 1, alpha, reduction="none", label_smoothing=0.3)
    torch.testing.assert_close(found.losses[:, 0], expected)


def test_the_focal_loss_by_hand():
    settings, head = built("multilabel", branch_taxonomy(TREE, "chronic"), gamma=2.0)
    logits = torch.log(torch.tensor([[0.8, 0.2]]))
    found = hierarchy_losses(head, logits, torch.tensor([1]), settings=settings).losses
    assert found.item() == pytest.approx(0.2**2 * -np.log(0.8), rel=1e-5)


def test_the_max_constrained_loss_by_hand():
    settings, head = built("max_constrained", CHAIN, gamma=0.0)
    order = {name: CHAIN.index(name) - 1 for name in "abcde"}
    logits = torch.zeros(1, 5)
    for name, logit in zip("abcde", (1.0, 3.0, -2.0, 2.0, -1.0), strict=True):
        logits[0, order[name]] = logit
    true_d = hierarchy_losses(head, logits, torch.tensor([CHAIN.index("d")]), settings=settings).losses
    false, true = nn.functional.softplus, lambda logit: nn.functional.softplus(-logit)
    at = torch.tensor
    # c is true by d, for e is known to be false; a is false, and the likelier b below it counts for both
    expected = false(at(3.0)) * 2 + true(at(2.0)) * 2 + false(at(-1.0))
    assert true_d.item() == pytest.approx(expected.item() / 5, rel=1e-6)
    true_c = hierarchy_losses(head, logits, torch.tensor([CHAIN.index("c")]), settings=settings).losses
    assert true_c.item() == pytest.approx((false(at(3.0)) * 2 + true(at(2.0))).item() / 5, rel=1e-6)


@pytest.mark.parametrize("variant", [*LIKELIHOOD_VARIANTS, "max_constrained"])
@pytest.mark.parametrize("options", [{}, {"gamma": 0.5, "label_smoothing": 0.1}])
@pytest.mark.parametrize("taxonomy", [TREE, CHAIN])
def test_losses_and_gradients_stay_finite_however_sure_the_head(variant, options, taxonomy):
    settings, head = built(variant, taxonomy, **options)
    codes = torch.arange(taxonomy.n_nodes)
    for size in (0.0, 1e4, -1e4):
        width = head(features(1)).shape[1]
        outputs = (size * torch.arange(width).float()).repeat(len(codes), 1).requires_grad_()
        losses = hierarchy_losses(head, outputs, codes, settings=settings).losses
        losses.sum().backward()
        assert losses.isfinite().all()
        assert outputs.grad.isfinite().all()


@pytest.mark.parametrize("variant", [*LIKELIHOOD_VARIANTS, "max_constrained"])
def test_an_unknown_label_and_the_root_say_nothing(variant):
    settings, head = built(variant)
    found, _ = losses_of(head, settings, torch.tensor([-1, 0]))
    assert found.losses.abs().max() == 0
    assert (found.parents == -1).all()


def test_an_only_child_costs_nothing():
    settings, head = built("multilabel", CHAIN, gamma=0.5)
    found, _ = losses_of(head, settings, torch.tensor([CHAIN.index("b")]))
    assert found.losses[0, 0] > 0 == found.losses[0, 1]


@pytest.mark.parametrize("isolation", ["none", "heads", "fine_to_coarse"])
def test_a_head_learns_nothing_from_images_outside_its_parent(isolation):
    settings, head = built(isolation=isolation)
    found, _ = losses_of(head, settings, torch.from_numpy(TREE.codes(np.array(["normal", "CLL", "chronic"]))))
    found.losses.sum().backward()
    sizes = {
        name: float(layer.weight.grad.abs().max())
        for name, layer in zip(TREE.inner, head.logits.heads, strict=True)
    }
    assert sizes.pop("acute") == 0
    assert min(sizes.values()) > 0


@pytest.mark.parametrize("isolation", ["heads", "fine_to_coarse"])
@pytest.mark.parametrize("trunk", ["coarsest", "finest"])
def test_isolated_levels_leave_each_other_alone(isolation, trunk):
    settings, head = built(isolation=isolation, trunk=trunk)
    report = isolation_check(head, settings)
    assert report["is_isolated"]
    assert (report["max_on_other_heads"], report["max_on_other_features"]) == (0, 0)
    assert report["min_on_own_heads"] > 0


def test_levels_that_share_features_are_seen_to():
    settings, head = built()
    report = isolation_check(head, settings, features=features(3))
    assert not report["is_isolated"]
    assert report["max_on_other_features"] > 0


def test_a_leak_between_heads_is_seen():
    settings, head = built(isolation="heads")
    head.logits.heads[2].weight = head.logits.heads[0].weight  # a head that two levels share
    report = isolation_check(head, settings)
    assert report["max_on_other_heads"] > 0
    assert not report["is_isolated"]


def test_the_check_of_isolation_leaves_the_head_as_it_was():
    settings, head = built(isolation="heads")
    before = [weight.clone() for weight in head.parameters()]
    isolation_check(head, settings)
    assert all(torch.equal(*pair) for pair in zip(before, head.parameters(), strict=True))
    assert all(weight.grad is None for weight in head.parameters())


def test_only_levels_can_be_checked_for_isolation():
    settings, head = built("flat")
    with pytest.raises(ConfigError, match="multilabel"):
        isolation_check(head, settings)


def published_loss(head, settings, batch, taxonomy):
    """The formula, parent by parent, with weights of 1."""
    log_q = head.nodes(head(batch.features))
    total = torch.zeros(())
    for parent in taxonomy.inner:
        children = list(taxonomy.children_of(taxonomy.index(parent)))
        members = [
            (row, child)
            for row, label in enumerate(batch.labels.tolist())
            for child in children
            if label >= 0 and taxonomy.ancestors[label, child]
        ]
        terms = [
            -((1 - log_q[row, child].exp()) ** settings.gamma) * log_q[row, child] for row, child in members
        ]
        total = total + sum(terms) / max(1, len(members))
    return total


@hypothesis.settings(max_examples=20)
@given(st.lists(st.integers(-1, 10), min_size=1, max_size=12), st.sampled_from([0.0, 2.0]))
def test_the_step_is_the_published_mean_over_parents(codes, gamma):
    settings, head = built(gamma=gamma)
    batch = Batch(features(len(codes), scale=1.0), torch.tensor(codes), torch.ones(len(codes)))
    output = hierarchy_step(settings, TREE)(head, batch)
    loss = output.loss_sum / output.weight if output.weight > 0 else output.loss_sum
    torch.testing.assert_close(loss, published_loss(head, settings, batch, TREE), atol=1e-5, rtol=1e-5)


def test_a_weight_of_two_is_an_image_twice():
    settings, head = built()
    batch = Clouds(8).take(np.arange(8))
    twice = Batch(*(torch.cat([part, part[:1]]) for part in batch))
    heavy = batch._replace(weight=torch.tensor([2.0] + [1.0] * 7))
    step = hierarchy_step(settings, TREE)
    torch.testing.assert_close(step(head, heavy)[:2], step(head, twice)[:2])


def test_an_empty_share_and_a_batch_without_labels_have_loss_and_gradient_0():
    settings, head = built()
    for n_images in (0, 3):
        batch = Batch(features(n_images), torch.full((n_images,), -1), torch.ones(n_images))
        output = hierarchy_step(settings, TREE)(head, batch)
        output.loss_sum.backward()
        assert (output.loss_sum.item(), output.weight.item()) == (0, 0)


def test_levels_are_weighed():
    settings, head = built(level_weights=(1.0, 0.0, 3.0))
    plain, _ = losses_of(head, settings.replace(level_weights=()), EVERY_NODE)
    found, _ = losses_of(head, settings, EVERY_NODE)
    torch.testing.assert_close(found.losses, plain.losses * torch.tensor([1.0, 0.0, 3.0]))


def test_balanced_weights_by_hand():
    codes = TREE.codes(np.array(["normal"] * 4 + ["ALL"] * 3 + ["CLL", ""]))
    found = balanced_weights(codes, TREE, HierarchySettings(alpha="balanced"))
    expected = {"normal": 1.0, "leukemia": 1.0, "reactive": 1.0, "acute": 4 / 6, "chronic": 2.0, "ALL": 1.0}
    assert {name: found[TREE.index(name)] for name in expected} == pytest.approx(expected)
    flat = balanced_weights(codes, TREE, HierarchySettings(variant="flat"))
    expected = {"normal": 8 / 12, "ALL": 8 / 9, "CLL": 8 / 3, "AML": 1.0, "chronic": (8 / 3 + 1) / 2}
    assert {name: flat[TREE.index(name)] for name in expected} == pytest.approx(expected)


def test_weights_without_labels_and_balance_without_weights_are_refused():
    with pytest.raises(CohortError, match="no labels"):
        balanced_weights(np.array([-1, 0]), TREE, HierarchySettings())
    with pytest.raises(ConfigError, match="needs the weights of the classes"):
        hierarchy_step(HierarchySettings(alpha="balanced"), TREE)
    with pytest.raises(ConfigError, match="class_weight does not fit"):
        hierarchy_step(HierarchySettings(), TREE, np.ones(3))


def fitted(head, settings, batches, taxonomy=TREE, **options):
    options = TrainingSettings(**{"epochs": 15, "batch_size": 42, "learning_rate": 0.1, **options})
    step = hierarchy_step(settings, taxonomy)
    return train(head, step, batches, options, seed=0, device=torch.device("cpu"))


@pytest.mark.parametrize("variant", [*LIKELIHOOD_VARIANTS, "max_constrained"])
def test_every_variant_learns_leaves_also_from_labels_that_stop_early(variant):
    clouds = Clouds()
    settings, head = built(variant)
    fitted(head, settings, clouds)
    found = head.node_log_probabilities(clouds.features)[:, TREE.leaf_nodes].argmax(dim=1)
    assert (TREE.leaf_nodes[found.numpy()] == clouds.truth).mean() > 0.9


def test_a_model_of_base_learns_its_parent():
    clouds = Clouds()
    clouds.labels = torch.from_numpy(branch_codes(clouds.labels.numpy(), TREE, "acute"))
    torch.manual_seed(0)
    head = build_parent_head(TREE, "acute", 12)
    fitted(head, HierarchySettings(variant="base"), clouds, branch_taxonomy(TREE, "acute"))
    known = clouds.labels > 0
    found = head.node_log_probabilities(clouds.features)[:, 1:].argmax(dim=1) + 1
    assert (found == clouds.labels)[known].float().mean() > 0.9


def test_training_in_bfloat16_is_repeatable():
    histories = []
    for _ in range(2):
        settings, head = built()
        fitted(head, settings, Clouds(40), epochs=2, precision="bfloat16")
        histories.append(torch.cat([weight.flatten() for weight in head.parameters()]))
    assert torch.equal(*histories)
    assert histories[0].isfinite().all()


class Model(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head, self.body = head, nn.Linear(48, 12)

    def features(self, pixels):
        return self.body(pixels.flatten(1))


def test_pixels_go_through_the_backbone():
    settings, head = built(isolation="heads")
    model = Model(head)
    batch = Images(torch.rand(5, 3, 4, 4), torch.tensor([1, 2, 5, 9, 3]), torch.ones(5))
    hierarchy_step(settings, TREE)(model, batch).loss_sum.backward()
    assert model.body.weight.grad.abs().max() > 0


def test_a_model_that_does_not_fit_its_batches_is_a_mistake_of_the_program():
    settings, head = built()
    batch = Images(torch.rand(1, 3, 4, 4), torch.tensor([1]), torch.ones(1))
    with pytest.raises(TypeError, match="cannot learn from Images"):
        hierarchy_step(settings, TREE)(head, batch)
