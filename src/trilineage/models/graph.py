"""The graph of similar cells: built among reference cells, propagated over, joined by query cells one way only.

Edges follow Kipf and Welling 2017 (arXiv 1609.02907, equation 2): with A the links (1 or 0) and I the self loops,
S = D^-1/2 (A + I) D^-1/2. Query cells link to reference cells and never to each other, and change nothing in the
reference, so that a score does not depend on which other cells were asked about; `build_cell_graph` over reference and
query cells together gives the transductive variant, to be reported beside it.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from pydantic import Field
from scipy import sparse
from torch import Tensor, nn

from trilineage.core.config import Settings
from trilineage.core.errors import ArtifactError
from trilineage.core.seeding import generator
from trilineage.models.graph_kernels import multiply_rows
from trilineage.models.neighbours import NeighbourIndex, Neighbours


class GraphSettings(Settings):
    """How cells are linked."""

    n_neighbours: int = Field(default=15, ge=1)
    """Links looked for per cell; links found from either end count, so a reference cell may have more."""
    similarity_threshold: float = Field(default=0.4, ge=-1.0, le=1.0)
    """Smallest cosine similarity of a link (the published value)."""
    across_patients: bool = True
    """Link reference cells of different patients only: in training a cell then sees what the cell of a held-out
    patient will see, cells of others."""
    max_reference: int = Field(default=100_000, ge=1)
    """Reference cells kept for later queries; more training cells are thinned to equal numbers per patient."""
    n_probe: int = Field(default=10, ge=1)
    """Lists searched per cell where the reference has 20,000 cells or more; below that the search is complete."""


class CellGraph(NamedTuple):
    """Symmetrically normalised links with self loops, as a CSR matrix."""

    indptr: Tensor
    """Start of each cell's links, int64 (cell + 1)."""
    indices: Tensor
    """Linked cells, int32, sorted within a cell."""
    weights: Tensor
    """Entries of D^-1/2 (A + I) D^-1/2, float32."""
    degree: Tensor
    """Links per cell with its self loop, float32 (cell)."""

    def to(self, device: torch.device | str) -> "CellGraph":
        """Return the same graph on another device."""
        return CellGraph(*(part.to(device) for part in self))


class QueryLinks(NamedTuple):
    """Links of query cells to reference cells."""

    indices: Tensor
    """Reference rows, int64 (cell, k); 0 where there is no link, with weight 0."""
    weights: Tensor
    """1 / sqrt(d_query d_reference), float32 (cell, k)."""
    own: Tensor
    """Weight of the self loop, 1 / d_query, float32 (cell)."""


class GraphQueries(NamedTuple):
    """What a graph convolution needs to score query cells."""

    hop: Tensor
    """Query rows of S X (cell, latent)."""
    own: Tensor
    """Weight of the self loop (cell)."""
    indices: Tensor
    """Rows of `neighbour_hop` (cell, k)."""
    weights: Tensor
    """Weights of these rows (cell, k)."""
    neighbour_hop: Tensor
    """Reference rows of S X that some query links to (neighbour, latent)."""


class WholeGraph(NamedTuple):
    """What a graph convolution needs to score all cells of a graph at once."""

    hop: Tensor
    """S X, the latents propagated once (cell, latent)."""
    graph: CellGraph
    """The links."""
    positions: Tensor
    """Which of the cells handed in are in the graph, int64 (cell)."""


def build_cell_graph(
    latent: Float[np.ndarray, "cell latent"],
    settings: GraphSettings,
    *,
    patients: Int[np.ndarray, " cell"] | None = None,
) -> CellGraph:
    """Link every cell to its nearest cells and normalise.

    Parameters
    ----------
    latent
        One row per cell.
    patients
        Patient code per cell, used if the settings ask for links across patients only.
    """
    groups = _link_groups(len(latent), patients, settings)
    index = NeighbourIndex(latent, groups, n_probe=settings.n_probe)
    return _graph_of(_search(index, latent, groups, settings))


def propagate(graph: CellGraph, features: Float[Tensor, "cell feature"]) -> Float[Tensor, "cell feature"]:
    """Return S times the features; gradients flow to the features."""
    result: Tensor = _Propagate.apply(features, graph)
    return result


def sign_features(
    graph: CellGraph, latent: Float[Tensor, "cell latent"]
) -> Float[Tensor, "cell three_latents"]:
    """Return [X, S X, S^2 X] side by side (Frasca et al. 2020, arXiv 2004.11198, equation 4 with r = 2)."""
    n_cells, width = latent.shape
    features = latent.new_empty(n_cells, 3 * width)
    features[:, :width] = latent
    first = propagate(graph, latent)
    features[:, width : 2 * width] = first
    features[:, 2 * width :] = propagate(graph, first)
    return features


class ReferenceCells(nn.Module):
    """The training cells that later cells link to: their latents, propagated latents and degrees.

    Empty until `fit` or until weights are loaded (the buffers take the size of the loaded ones).
    """

    latent: Tensor
    hop: Tensor
    degree: Tensor

    def __init__(self, d_in: int, settings: GraphSettings):
        super().__init__()
        self.settings = settings
        self._index: NeighbourIndex | None = None
        self.register_buffer("latent", torch.empty(0, d_in))
        self.register_buffer("hop", torch.empty(0, d_in))
        self.register_buffer("degree", torch.empty(0))
        self.register_load_state_dict_pre_hook(_take_sizes)

    def fit(
        self, latent: Float[Tensor, "cell latent"], patients: Int[np.ndarray, " cell"] | None, *, seed: int
    ) -> tuple[CellGraph, Int[Tensor, " reference"]]:
        """Choose the reference cells, link them, and return their graph and their rows in `latent`."""
        rows = choose_reference(len(latent), patients, self.settings.max_reference, seed=seed)
        chosen = latent if len(rows) == len(latent) else latent[torch.from_numpy(rows)]
        chosen = chosen.detach().float()
        groups = _link_groups(len(rows), None if patients is None else patients[rows], self.settings)
        cells = chosen.cpu().numpy()
        self._index = NeighbourIndex(cells, groups, n_probe=self.settings.n_probe)
        graph = _graph_of(_search(self._index, cells, groups, self.settings)).to(latent.device)
        self.latent, self.degree = chosen, graph.degree
        self.hop = propagate(graph, chosen)
        return graph, torch.from_numpy(rows)

    @torch.no_grad()
    def links(
        self, latent: Float[Tensor, "cell latent"], patients: Int[np.ndarray, " cell"] | None = None
    ) -> QueryLinks:
        """Link query cells to reference cells; with patient codes (training cells), not to the same patient's."""
        if self._index is None:
            if len(self.latent) == 0:
                raise ArtifactError(
                    "a graph classifier has no reference cells",
                    remedy="fit it, or load weights that hold them, before asking it about new cells",
                )
            self._index = NeighbourIndex(self.latent.cpu().numpy(), n_probe=self.settings.n_probe)
        groups = patients if self.settings.across_patients else None
        found = _search(self._index, latent.detach().float().cpu().numpy(), groups, self.settings)
        indices = torch.from_numpy(found.indices).long().to(latent.device)
        is_link = indices >= 0
        indices = indices.clamp_min(0)
        degree = is_link.sum(dim=1, dtype=latent.dtype) + 1
        weights = is_link * torch.rsqrt(degree[:, None] * self.degree[indices])
        return QueryLinks(indices, weights, 1 / degree)

    def sign_features(
        self, latent: Float[Tensor, "cell latent"], links: QueryLinks
    ) -> Float[Tensor, "cell three_latents"]:
        """Return [X, S X, S^2 X] of query cells; gradients flow through their own latents."""
        own = links.own[:, None]
        first = own * latent + _weighted_rows(links, self.latent)
        second = own * first + _weighted_rows(links, self.hop)
        return torch.cat([latent, first, second], dim=1)

    def queries(self, latent: Float[Tensor, "cell latent"], links: QueryLinks) -> GraphQueries:
        """Return what a graph convolution needs of query cells; gradients flow through their own latents."""
        hop = links.own[:, None] * latent + _weighted_rows(links, self.latent)
        used, places = torch.unique(links.indices, return_inverse=True)
        return GraphQueries(hop, links.own, places, links.weights, self.hop[used])

    def joint_graph(
        self, latent: Float[Tensor, "cell latent"]
    ) -> tuple[Float[Tensor, "node latent"], CellGraph]:
        """Stack reference and query cells and link all with all: the transductive variant."""
        every = torch.cat([self.latent, latent.detach().float()])
        return every, build_cell_graph(every.cpu().numpy(), self.settings).to(latent.device)


def choose_reference(
    n_cells: int, patients: Int[np.ndarray, " cell"] | None, n_wanted: int, *, seed: int
) -> Int[np.ndarray, " reference"]:
    """Return the rows of a sample in which patients have equal numbers, as far as they have so many cells."""
    if n_cells <= n_wanted:
        return np.arange(n_cells)
    order = generator(seed, "reference cells").permutation(n_cells)
    codes = np.zeros(n_cells, dtype=np.int64) if patients is None else patients[order]
    by_patient = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[by_patient], codes[by_patient], side="left")
    place_within = np.empty(n_cells, dtype=np.int64)
    place_within[by_patient] = np.arange(n_cells) - starts
    chosen: np.ndarray = np.sort(order[np.argsort(place_within, kind="stable")[:n_wanted]])
    return chosen


class _Propagate(torch.autograd.Function):
    """Product with a symmetric sparse matrix; the matrix is its own transpose in the backward pass."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, graph: CellGraph) -> Tensor:  # type: ignore[override]
        ctx.graph = graph
        return _multiply(graph.indptr, graph.indices, graph.weights, features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        graph = ctx.graph
        return _multiply(graph.indptr, graph.indices, graph.weights, gradient), None


def _multiply(indptr: Tensor, indices: Tensor, weights: Tensor, dense: Tensor) -> Tensor:
    """Multiply CSR by dense: compiled on the CPU, torch's own elsewhere."""
    n_rows = len(indptr) - 1
    if dense.device.type == "cpu":
        dense = dense.detach().contiguous()
        out = dense.new_empty(n_rows, dense.shape[1])
        multiply_rows(indptr.numpy(), indices.numpy(), weights.numpy(), dense.numpy(), out.numpy())
        return out
    return multiply_by_torch(indptr, indices, weights, dense)


def multiply_by_torch(indptr: Tensor, indices: Tensor, weights: Tensor, dense: Tensor) -> Tensor:
    """Multiply CSR by dense on any device with torch's own sparse product."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Sparse CSR tensor support is in beta", category=UserWarning
        )
        matrix = torch.sparse_csr_tensor(
            indptr,
            indices.to(indptr.dtype),
            weights.to(dense.dtype),
            (len(indptr) - 1, len(dense)),
            check_invariants=False,  # ours are sound; left open, torch warns
        )
        product: Tensor = matrix @ dense
    return product


def _weighted_rows(
    links: QueryLinks, rows: Float[Tensor, "reference latent"]
) -> Float[Tensor, "cell latent"]:
    """Return for each query the weighted sum of its reference rows (no gradient)."""
    n_cells, k = links.indices.shape
    indptr = torch.arange(0, n_cells * k + 1, k, device=links.indices.device)
    return _multiply(indptr, links.indices.reshape(-1), links.weights.reshape(-1), rows)


def _link_groups(
    n_cells: int, patients: Int[np.ndarray, " cell"] | None, settings: GraphSettings
) -> Int[np.ndarray, " cell"]:
    """Return the groups that must not be linked inside: patients, or each cell with itself."""
    return patients if settings.across_patients and patients is not None else np.arange(n_cells)


def _search(
    index: NeighbourIndex,
    latent: Float[np.ndarray, "cell latent"],
    groups: Int[np.ndarray, " cell"] | None,
    settings: GraphSettings,
) -> Neighbours:
    return index.search(latent, settings.n_neighbours, threshold=settings.similarity_threshold, groups=groups)


def _graph_of(neighbours: Neighbours) -> CellGraph:
    """Link two cells if either found the other, add self loops, normalise."""
    n_cells, k = neighbours.indices.shape
    is_link = neighbours.indices.ravel() >= 0
    rows = np.repeat(np.arange(n_cells, dtype=np.int32), k)[is_link]
    columns = neighbours.indices.ravel()[is_link]
    found = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(n_cells, n_cells))
    links = (found.maximum(found.T) + sparse.identity(n_cells, np.float32, format="csr")).tocsr()
    links.sort_indices()
    degree = np.diff(links.indptr).astype(np.float32)
    return _as_tensors(links, degree)


def _as_tensors(links: sparse.csr_matrix, degree: Float32[np.ndarray, " cell"]) -> CellGraph:
    scale = 1 / np.sqrt(degree)
    weights = np.repeat(scale, np.diff(links.indptr)) * scale[links.indices]
    return CellGraph(
        torch.from_numpy(links.indptr.astype(np.int64)),
        torch.from_numpy(links.indices.astype(np.int32)),
        torch.from_numpy(weights),
        torch.from_numpy(degree),
    )


def _take_sizes(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Give the buffers the sizes of the weights about to be loaded, and forget the old index."""
    assert isinstance(module, ReferenceCells)
    module._index = None
    for name, buffer in list(module.named_buffers()):
        if prefix + name in state:
            setattr(module, name, buffer.new_empty(state[prefix + name].shape))
