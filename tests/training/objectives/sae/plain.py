"""The plain dense autoencoder that the sparse one is compared with: every matrix whole, autograd for every gradient."""

import numpy as np
import torch

from trilineage.core.seeding import generator
from trilineage.models.sae.model import SparseAutoencoder
from trilineage.models.sae.settings import SaeSettings

WIDTH = 16
GHOST_EPS = 1e-6


def tokens(n_tokens: int = 300, *, seed: int = 0, width: int = WIDTH) -> torch.Tensor:
    """Sums of a few of 40 directions, with a mean far from 0."""
    rng = generator(seed, "tokens")
    directions = rng.normal(size=(40, width))
    weights = rng.gamma(1.0, size=(n_tokens, 40)) * (rng.random((n_tokens, 40)) < 0.1)
    return torch.from_numpy(
        (weights @ directions + 0.1 * rng.normal(size=(n_tokens, width)) + 1.0).astype(np.float32)
    )


def model(*, seed: int = 1, n_dead: int = 0, width: int = WIDTH, **options) -> SparseAutoencoder:
    """A small autoencoder a little away from its start, so that no gradient is 0 by symmetry."""
    options = {"expansion": 8, "k": 6} | options
    made = SparseAutoencoder(width, SaeSettings(**options), seed=seed)
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in (made.encoder_weight, made.encoder_bias, made.decoder_bias):
            parameter += 0.1 * torch.randn(parameter.shape, generator=draws)
        made.token_variance.fill_(5.0)
        made.steps_silent[:n_dead] = 1000
    return made


def preactivations(made, x):
    return (x - made.decoder_bias) @ made.encoder_weight.T + made.encoder_bias


class _Jump(torch.autograd.Function):
    """JumpReLU with the pseudo-derivative of Rajamanoharan et al. (2024), eq. 11."""

    @staticmethod
    def forward(ctx, z, theta, width):
        ctx.save_for_backward(z, theta)
        ctx.width = width
        return z * (z > theta)

    @staticmethod
    def backward(ctx, gradient):
        z, theta = ctx.saved_tensors
        near = ((z - theta).abs() < ctx.width / 2).to(z.dtype)
        return gradient * (z > theta), (-theta / ctx.width * near * gradient).sum(0), None


class _Step(torch.autograd.Function):
    """Heaviside step with the pseudo-derivative of eq. 12."""

    @staticmethod
    def forward(ctx, z, theta, width):
        ctx.save_for_backward(z, theta)
        ctx.width = width
        return (z > theta).to(z.dtype)

    @staticmethod
    def backward(ctx, gradient):
        z, theta = ctx.saved_tensors
        near = ((z - theta).abs() < ctx.width / 2).to(z.dtype)
        return None, (-1 / ctx.width * near * gradient).sum(0), None


def activations(made, z):
    """Return activations and the sparsity part of the loss, per token."""
    settings = made.settings
    none = z.new_zeros(len(z))
    match settings.activation:
        case "relu":
            f = z.relu()
            return f, settings.sparsity * f.sum(1)
        case "topk":
            best = z.topk(settings.k, dim=1)
            return torch.zeros_like(z).scatter(1, best.indices, best.values.relu()), none
        case "batch_topk":
            flat = z.relu().flatten()
            best = flat.topk(settings.k * len(z))
            return torch.zeros_like(flat).scatter(0, best.indices, best.values).view_as(z), none
        case _:
            theta = made.log_threshold.exp()
            count = _Step.apply(z, theta, settings.bandwidth).sum(1)
            return _Jump.apply(z, theta, settings.bandwidth), settings.sparsity * count


def factors(made, x):
    match made.settings.error_scale:
        case "norm":
            return 1 / (x.shape[1] * x.norm(dim=1))
        case "variance":
            return (1 / made.token_variance).expand(len(x))
        case _:
            return torch.full((len(x),), 1 / x.shape[1])


def loss(made, x):
    """Return the mean loss over tokens."""
    settings = made.settings
    z, scale = preactivations(made, x), factors(made, x)
    f, total = activations(made, z)
    for end in settings.prefix_ends(made.n_latents):
        reconstruction = f[:, :end] @ made.decoder_weight[:end] + made.decoder_bias
        total = total + scale * (reconstruction - x).square().sum(1)
    residual = (x - reconstruction).detach()
    dead = made.steps_silent > settings.dead_after_steps
    if settings.auxiliary == "auxk" and dead.any():
        total = total + scale * auxk(made, z[:, dead], dead, residual)
    if settings.auxiliary == "ghost" and dead.any():
        total = total + ghost(made, z[:, dead], dead, residual, (residual.square() * scale[:, None]))
    return total.mean()


def auxk(made, z, dead, residual):
    best = z.topk(min(made.settings.n_auxiliary(made.width), z.shape[1]), dim=1)
    f = torch.zeros_like(z).scatter(1, best.indices, best.values.relu())
    error = f @ made.decoder_weight[dead] - residual
    return made.settings.auxiliary_weight * error.square().sum(1)


def ghost(made, z, dead, residual, elements):
    out = z.exp() @ made.decoder_weight[dead]
    norm = residual.norm(dim=1)
    out = out * (norm / (GHOST_EPS + 2 * out.norm(dim=1)))[:, None].detach()
    relative = (out - residual).square() / norm[:, None]
    return ((elements / (relative + GHOST_EPS)).detach() * relative).sum(1)


def gradients(made, x, *, exact: bool = False):
    """Return the loss and every gradient, the decoder's without its part along unit rows."""
    original = made
    if exact:
        made, x = _double(made), x.double()
    made.zero_grad()
    value = loss(made, x)
    value.backward()
    if made.settings.unit_norm:
        project(made)
    found = {name: parameter.grad.clone() for name, parameter in made.named_parameters()}
    original.zero_grad()
    return value.item(), found


def project(made):
    rows, grad = made.decoder_weight.detach(), made.decoder_weight.grad
    grad -= (grad * rows).sum(1, keepdim=True) / rows.square().sum(1, keepdim=True) * rows


def _double(made):
    copy = SparseAutoencoder(made.width, made.settings)
    copy.load_state_dict(made.state_dict())
    return copy.double()


def train(made, x, *, n_steps: int, batch: int, learning_rate: float):
    """Adam on consecutive batches, unit rows and silent steps kept by hand."""
    optimizer = torch.optim.Adam(made.parameters(), lr=learning_rate)
    for step in range(n_steps):
        rows = x[step * batch : (step + 1) * batch]
        optimizer.zero_grad()
        loss(made, rows).backward()
        if made.settings.unit_norm:
            project(made)
        with torch.no_grad():
            fired = activations(made, preactivations(made, rows))[0].gt(0).any(0)
            made.steps_silent += 1
            made.steps_silent[fired] = 0
            optimizer.step()
            if made.settings.unit_norm:
                made.decoder_weight /= made.decoder_weight.norm(dim=1, keepdim=True)
    return made
