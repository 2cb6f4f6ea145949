"""Classifiers on the latent: logistic, feed-forward, transformer, and two over the graph of similar cells."""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from trilineage.core.config import Settings
from trilineage.core.errors import ConfigError
from trilineage.models.graph import (
    CellGraph,
    GraphQueries,
    GraphSettings,
    QueryLinks,
    ReferenceCells,
    WholeGraph,
    propagate,
    sign_features,
)
from trilineage.models.layers import RowDropout
from trilineage.models.transformer import LatentTransformer, TransformerSettings

Inputs = Tensor | WholeGraph | GraphQueries
"""What a head takes: a tensor (cell, feature); a graph convolution: a whole graph, or query cells with their links."""


class ClassifierSettings(Settings):
    """Which classifier, and its shape."""

    kind: Literal["logistic", "feedforward", "transformer", "gcn", "sign"] = "feedforward"
    """`logistic`: multinomial logistic regression; `feedforward`; `transformer` over pieces of the latent; `gcn`: two
    graph convolutions trained on the whole graph; `sign`: latents propagated once, then a feed-forward network on
    minibatches, for any number of cells."""
    hidden: tuple[int, ...] = (128,)
    """Hidden widths of `feedforward` and `sign`, and the one hidden width of `gcn`."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of hidden units left out in training (the published best)."""
    standardize: bool = True
    """Centre and scale every latent unit on the training cells."""
    transformer: TransformerSettings = TransformerSettings()
    """Shape of the transformer."""
    graph: GraphSettings = GraphSettings()
    """Links of `gcn` and `sign`."""

    @model_validator(mode="after")
    def _require_one_hidden_layer(self) -> "ClassifierSettings":
        if self.kind == "gcn" and len(self.hidden) != 1:
            raise ConfigError(
                "a graph convolution network has two layers",
                seen=f"hidden {self.hidden}",
                allowed="one hidden width, such as (128,)",
                remedy="give one width, or choose kind `sign` for a deeper network",
            )
        return self


class Classifier(nn.Module):
    """Latents in, logits out; what comes between depends on the kind.

    `fit_inputs` learns the scale and the reference cells from the training latents and returns what `head` is trained
    on; after that `forward` scores any cells. Training touches `head` alone.

    Parameters
    ----------
    scale
        Centres and scales latent units.
    head
        From inputs to logits.
    reference
        The cells that query cells link to, for the kinds with a graph.
    """

    def __init__(self, scale: "LatentScale", head: nn.Module, *, reference: ReferenceCells | None = None):
        super().__init__()
        self.scale = scale
        self.head = head
        self.reference = reference

    def forward(
        self, latent: Float[Tensor, "cell latent"], links: QueryLinks | None = None
    ) -> Float[Tensor, "cell output"]:
        """Return uncalibrated logits; graph kinds link each cell to reference cells only (inductive)."""
        logits: Tensor = self.head(self.inputs(latent, links))
        return logits

    @torch.no_grad()
    def fit_inputs(
        self,
        latent: Float[Tensor, "cell latent"],
        *,
        patients: Int[np.ndarray, " cell"] | None = None,
        seed: int = 0,
    ) -> Inputs:
        """Learn scale and reference from training cells and return the inputs `head` is to be trained on.

        Parameters
        ----------
        patients
            Patient code per cell, for links across patients and for a balanced reference.
        seed
            For the choice of reference cells where there are more than `max_reference`.
        """
        self.scale.fit(latent)
        latent = self.scale(latent)
        if self.reference is None:
            return latent
        graph, rows = self.reference.fit(latent, patients, seed=seed)
        if isinstance(self.head, GraphConvolution):
            return WholeGraph(self.reference.hop, graph, rows)
        return self._sign_inputs(latent, patients, graph=graph, rows=rows)

    def inputs(self, latent: Float[Tensor, "cell latent"], links: QueryLinks | None = None) -> Inputs:
        """Return what `head` takes for new cells; gradients flow to `latent`, the links are constants."""
        latent = self.scale(latent)
        if self.reference is None:
            return latent
        links = self.reference.links(latent) if links is None else links
        if isinstance(self.head, GraphConvolution):
            return self.reference.queries(latent, links)
        return self.reference.sign_features(latent, links)

    def held_at(
        self, latent: Float[Tensor, "cell latent"]
    ) -> Callable[[Float[Tensor, "cell latent"]], Float[Tensor, "cell output"]]:
        """Return the classifier with every cell's links held at those of `latent`, for gradients along a path."""
        links = None if self.reference is None else self.reference.links(self.scale(latent))
        return lambda moved: self(moved, links)

    def transductive_logits(self, latent: Float[Tensor, "cell latent"]) -> Float[Tensor, "cell output"]:
        """Return logits from a graph in which query cells also link to each other.

        The score of a cell then depends on which cells were asked about: never report it without the inductive one.
        """
        if self.reference is None:
            return self(latent)  # type: ignore[no-any-return]
        every, graph = self.reference.joint_graph(self.scale(latent))
        if isinstance(self.head, GraphConvolution):
            whole = WholeGraph(propagate(graph, every), graph, torch.arange(len(every)))
            logits = self.head(whole)
        else:
            logits = self.head(sign_features(graph, every))
        return logits[-len(latent) :]  # type: ignore[no-any-return]

    def attention(self, latent: Float[Tensor, "cell latent"]) -> Float[Tensor, "cell layer head token token"]:
        """Return the transformer's attention; rows sum to 1, token 0 is the class token.

        Raises
        ------
        ConfigError
            If the classifier is of another kind.
        """
        if not isinstance(self.head, LatentTransformer):
            raise ConfigError(
                "only a transformer has attention",
                seen=type(self.head).__name__,
                allowed="classifier.kind = transformer",
                remedy="fit a classifier of that kind",
            )
        return self.head.attention(self.scale(latent))

    def _sign_inputs(
        self,
        latent: Float[Tensor, "cell latent"],
        patients: Int[np.ndarray, " cell"] | None,
        *,
        graph: CellGraph,
        rows: Int[Tensor, " reference"],
    ) -> Float[Tensor, "cell three_latents"]:
        """Propagate training cells: the reference over its graph, cells beyond it as queries."""
        assert self.reference is not None
        of_reference = sign_features(graph, self.reference.latent)
        if len(rows) == len(latent):
            return of_reference
        features = latent.new_empty(len(latent), of_reference.shape[1])
        features[rows] = of_reference
        is_other = torch.ones(len(latent), dtype=torch.bool)
        is_other[rows] = False
        others = torch.nonzero(is_other)[:, 0]
        for part in others.split(65_536):
            codes = None if patients is None else patients[part.numpy()]
            links = self.reference.links(latent[part], codes)
            features[part] = self.reference.sign_features(latent[part], links)
        return features


class LatentScale(nn.Module):
    """Centre and scale latent units; does nothing until fitted, or if it is switched off."""

    mean: Tensor
    scale: Tensor

    def __init__(self, d_in: int, *, is_on: bool = True):
        super().__init__()
        self.is_on = is_on
        self.register_buffer("mean", torch.zeros(d_in))
        self.register_buffer("scale", torch.ones(d_in))

    def fit(self, latent: Float[Tensor, "cell latent"]) -> None:
        """Take mean and standard deviation of the training cells; a unit that never changes keeps scale 1."""
        if not self.is_on:
            return
        deviation, mean = torch.std_mean(latent.float(), dim=0, correction=0)
        self.mean = mean
        self.scale = torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))

    def forward(self, latent: Float[Tensor, "cell latent"]) -> Float[Tensor, "cell latent"]:
        """Return (latent - mean) / scale."""
        return (latent - self.mean) / self.scale if self.is_on else latent


class FeedForward(nn.Module):
    """Linear layers with ReLU and dropout between them; without hidden widths, logistic regression."""

    def __init__(self, d_in: int, n_outputs: int, *, hidden: tuple[int, ...], dropout: float):
        super().__init__()
        widths = (d_in, *hidden)
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(widths):
            layers += [nn.Linear(wide, narrow), nn.ReLU(), RowDropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], n_outputs))

    def forward(self, features: Float[Tensor, "cell feature"]) -> Float[Tensor, "cell output"]:
        """Return logits."""
        logits: Tensor = self.layers(features)
        return logits


class GraphConvolution(nn.Module):
    """Two graph convolutions, softmax(S ReLU(S X W1) W2) without the softmax (Kipf and Welling 2017, equation 9).

    S X never changes and comes ready-made; S is applied to the few output columns, after W2, which is the same product
    in another order.
    """

    def __init__(self, d_in: int, n_outputs: int, *, hidden: int, dropout: float):
        super().__init__()
        self.first = nn.Linear(d_in, hidden)
        self.second = nn.Linear(hidden, n_outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_outputs))
        self.dropout = RowDropout(dropout)

    def forward(self, inputs: WholeGraph | GraphQueries) -> Float[Tensor, "cell output"]:
        """Return logits of every cell of a graph, or of query cells."""
        own = self._outputs(inputs.hop)  # cell output
        if isinstance(inputs, WholeGraph):
            return propagate(inputs.graph, own) + self.bias
        of_neighbours = self._outputs(inputs.neighbour_hop)[inputs.indices]  # cell k output
        linked = torch.einsum("ck,cko->co", inputs.weights, of_neighbours)
        return inputs.own[:, None] * own + linked + self.bias

    def _outputs(self, hop: Float[Tensor, "cell latent"]) -> Float[Tensor, "cell output"]:
        outputs: Tensor = self.second(self.dropout(torch.relu(self.first(hop))))
        return outputs


def build_classifier(
    settings: ClassifierSettings, d_in: int, n_classes: int, *, is_binary: bool = False
) -> Classifier:
    """Build an untrained classifier with one logit per class, or a single one (sigmoid) if `is_binary`.

    Weights are drawn from torch's global generator: seed it first (`core.seeding.seed_everything`).

    Raises
    ------
    ConfigError
        If there are fewer than two classes, or a binary classifier is asked for more than two.
    """
    if n_classes < 2 or (is_binary and n_classes != 2):
        raise ConfigError(
            "a classifier cannot have these classes",
            seen=f"{n_classes} classes, {'one sigmoid' if is_binary else 'softmax'}",
            allowed="at least 2 classes; exactly 2 for a sigmoid",
            remedy="check the labels and `task`",
        )
    has_graph = settings.kind in ("gcn", "sign")
    return Classifier(
        LatentScale(d_in, is_on=settings.standardize),
        _head(settings, d_in, 1 if is_binary else n_classes),
        reference=ReferenceCells(d_in, settings.graph) if has_graph else None,
    )


def _head(settings: ClassifierSettings, d_in: int, n_outputs: int) -> nn.Module:
    """Build the trainable part."""
    dropout = settings.dropout
    match settings.kind:
        case "logistic":
            return FeedForward(d_in, n_outputs, hidden=(), dropout=0.0)
        case "feedforward":
            return FeedForward(d_in, n_outputs, hidden=settings.hidden, dropout=dropout)
        case "transformer":
            return LatentTransformer(d_in, n_outputs, settings=settings.transformer, dropout=dropout)
        case "sign":
            return FeedForward(3 * d_in, n_outputs, hidden=settings.hidden, dropout=dropout)
        case "gcn":
            return GraphConvolution(d_in, n_outputs, hidden=settings.hidden[0], dropout=dropout)
