"""Every kind of classifier: shapes, formulas, gradients, weights on disk."""

import numpy as np
import pytest
import torch

from trilineage.core.errors import ConfigError
from trilineage.models.classifiers import ClassifierSettings, build_classifier
from trilineage.models.graph import GraphSettings

KINDS = ["logistic", "feedforward", "transformer", "gcn", "sign"]
GRAPH = GraphSettings(n_neighbours=4, similarity_threshold=0.2)


def latents(n_cells=50, width=12, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(1.0, 2.0, (n_cells, width)).astype(np.float32))


def fitted(kind, *, is_binary=False, **options):
    torch.manual_seed(0)
    settings = ClassifierSettings(kind=kind, hidden=(16,), graph=options.pop("graph", GRAPH), **options)
    classifier = build_classifier(settings, 12, 2 if is_binary else 3, is_binary=is_binary)
    inputs = classifier.fit_inputs(latents(), patients=np.arange(50) % 5)
    return classifier.eval(), inputs


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_one_logit_per_class(kind):
    classifier, inputs = fitted(kind)
    assert classifier.head(inputs).shape == (50, 3)
    assert classifier(latents(7, seed=1)).shape == (7, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_binary_classifier_gives_a_single_logit(kind):
    assert fitted(kind, is_binary=True)[0](latents(7, seed=1)).shape == (7, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_score_of_a_cell_does_not_depend_on_its_companions(kind):
    classifier, _ = fitted(kind)
    queries = latents(9, seed=1)
    torch.testing.assert_close(classifier(queries)[3:4], classifier(queries[3:4]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_latent_with_links_held(kind):
    classifier, _ = fitted(kind)
    queries = latents(4, seed=1).requires_grad_()
    held = classifier.held_at(queries.detach())
    torch.testing.assert_close(held(queries), classifier(queries))
    (gradient,) = torch.autograd.grad(held(queries)[:, 0].sum(), queries)
    step = 1e-2 * torch.randn(queries.shape, generator=torch.Generator().manual_seed(0))
    change = held(queries + step)[:, 0] - held(queries - step)[:, 0]
    torch.testing.assert_close(change, 2 * (gradient * step).sum(dim=1), atol=2e-3, rtol=5e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_bring_a_classifier_back(kind):
    classifier, _ = fitted(kind)
    settings = ClassifierSettings(kind=kind, hidden=(16,), graph=GRAPH)
    loaded = build_classifier(settings, 12, 3)
    loaded.load_state_dict(classifier.state_dict())
    queries = latents(9, seed=1)
    assert torch.equal(loaded.eval()(queries), classifier(queries))


def test_logistic_regression_is_one_linear_layer_on_standardised_latents():
    classifier, _ = fitted("logistic")
    cells = latents()
    standard = (cells - cells.mean(0)) / cells.std(0, correction=0)
    layer = classifier.head.layers[0]
    torch.testing.assert_close(classifier(cells), standard @ layer.weight.T + layer.bias)


def test_a_unit_that_never_changes_keeps_its_scale():
    classifier = build_classifier(ClassifierSettings(), 3, 2)
    cells = torch.tensor([[1.0, 5.0, 0.0], [3.0, 5.0, 0.0]])
    standard = classifier.fit_inputs(cells)
    assert standard.tolist() == [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]


def test_the_graph_convolution_equals_its_dense_formula():
    classifier, inputs = fitted("gcn")
    n_cells = len(inputs.hop)
    rows = np.repeat(np.arange(n_cells), np.diff(inputs.graph.indptr))
    matrix = torch.zeros(n_cells, n_cells)
    matrix[rows, inputs.graph.indices.long()] = inputs.graph.weights
    head, cells = classifier.head, classifier.scale(latents())
    hidden = torch.relu(matrix @ cells @ head.first.weight.T + head.first.bias)
    expected = matrix @ hidden @ head.second.weight.T + head.bias
    torch.testing.assert_close(head(inputs), expected, atol=1e-5, rtol=1e-4)


def test_a_graph_convolution_scores_a_query_by_the_dense_formula_of_the_enlarged_graph():
    classifier, _ = fitted("gcn")
    query = classifier.scale(latents(1, seed=1))
    links, reference, head = classifier.reference.links(query), classifier.reference, classifier.head
    hop = links.own[0] * query[0] + links.weights[0] @ reference.latent[links.indices[0]]
    layers = lambda rows: torch.relu(head.first(rows)) @ head.second.weight.T  # noqa: E731
    linked = links.weights[0] @ layers(reference.hop[links.indices[0]])
    expected = links.own[0] * layers(hop) + linked + head.bias
    torch.testing.assert_close(classifier(latents(1, seed=1))[0], expected)


@pytest.mark.parametrize("kind", ["gcn", "sign"])
def test_transductive_scores_change_with_the_companions(kind):
    graph = GraphSettings(n_neighbours=4, similarity_threshold=0.2, across_patients=False)
    classifier, _ = fitted(kind, graph=graph)
    queries = latents(20, seed=1)
    together, alone = classifier.transductive_logits(queries)[:1], classifier.transductive_logits(queries[:1])
    assert (together - alone).abs().max() > 1e-4


def test_transductive_and_inductive_scores_are_the_same_without_a_graph():
    classifier, _ = fitted("feedforward")
    queries = latents(5, seed=1)
    assert torch.equal(classifier.transductive_logits(queries), classifier(queries))


def test_training_cells_beyond_the_reference_are_propagated_as_queries():
    graph = GRAPH.replace(max_reference=20)
    classifier, inputs = fitted("sign", graph=graph)
    assert len(classifier.reference.latent) == 20
    assert inputs.shape == (50, 36)
    assert torch.isfinite(inputs).all()
    torch.testing.assert_close(inputs[:, :12], classifier.scale(latents()))


def test_attention_rows_sum_to_one():
    classifier, _ = fitted("transformer")
    weights = classifier.attention(latents(5, seed=1))
    assert weights.shape == (5, 2, 4, 3, 3)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(5, 2, 4, 3))


def test_a_classifier_without_attention_says_so():
    with pytest.raises(ConfigError, match="only a transformer"):
        fitted("feedforward")[0].attention(latents(2))


def test_a_graph_convolution_refuses_two_hidden_widths():
    with pytest.raises(ConfigError, match="two layers"):
        ClassifierSettings(kind="gcn", hidden=(64, 64))


@pytest.mark.parametrize(("n_classes", "is_binary"), [(1, False), (3, True)])
def test_impossible_numbers_of_classes_are_refused(n_classes, is_binary):
    with pytest.raises(ConfigError, match="classes"):
        build_classifier(ClassifierSettings(), 4, n_classes, is_binary=is_binary)
