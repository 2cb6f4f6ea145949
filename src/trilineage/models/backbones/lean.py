"""Networks that compute only what the feature of an image needs: for prediction, where nobody looks inside."""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as fn

from trilineage.models.backbones.gelu_kernels import add_bias_and_gelu
from trilineage.models.backbones.library import timm


def lean(module: nn.Module, *, is_eager_cpu: bool) -> nn.Module:
    """Return a module with the same weights and results that does less; the one given is left as it is.

    In a vision transformer that is read from its class token, the last block computes that token only. In an eager
    float32 network on a CPU, bias and GELU are one pass. For evaluation without gradients; hooks on what is replaced do
    not run, so whoever looks inside takes the module given.

    Parameters
    ----------
    is_eager_cpu
        Whether it runs on a CPU and is not compiled.
    """
    if is_eager_cpu and _is_plain_mlp(module):
        return QuickMlp(module)
    changed = {
        name: lean(child, is_eager_cpu=is_eager_cpu)
        for name, child in module._modules.items()
        if child is not None
    }
    if _reads_class_token(module):
        *others, last = changed["blocks"].children()
        changed["blocks"] = nn.Sequential(*others, ClassTokenBlock(last))
    if all(child is module._modules[name] for name, child in changed.items()):
        return module
    twin = copy.copy(module)
    twin._modules = {**module._modules, **changed}
    return twin


class ClassTokenBlock(nn.Module):
    """The last block of a vision transformer for its first token: all tokens are looked at, one is computed.

    Parameters
    ----------
    block
        A `Block` of timm, in evaluation.
    """

    def __init__(self, block: Any):
        super().__init__()
        self.block = block

    def forward(self, x: Float[Tensor, "b token d"]) -> Float[Tensor, "b 1 d"]:
        """Return what the block makes of the first token."""
        block, attention = self.block, self.block.attn
        normed = block.norm1(x)
        first = x[:, :1] + block.ls1(self._attended(attention, normed))
        out: Tensor = first + block.ls2(block.mlp(block.norm2(first)))
        return out

    def _attended(self, attention: Any, x: Float[Tensor, "b token d"]) -> Float[Tensor, "b 1 d"]:
        width, heads = attention.attn_dim, (attention.num_heads, attention.head_dim)
        weight, bias = attention.qkv.weight, attention.qkv.bias
        q_bias, kv_bias = (None, None) if bias is None else (bias[:width], bias[width:])
        q = fn.linear(x[:, :1], weight[:width], q_bias).unflatten(2, heads).transpose(1, 2)  # b head 1 d
        both = fn.linear(x, weight[width:], kv_bias).unflatten(2, (2, *heads))
        k, v = both.permute(2, 0, 3, 1, 4).unbind(0)  # b head token d
        found = fn.scaled_dot_product_attention(attention.q_norm(q), attention.k_norm(k), v)
        out: Tensor = attention.proj(attention.norm(found.transpose(1, 2).flatten(2)))
        return out


class QuickMlp(nn.Module):
    """Two linear layers with a GELU between them, whose bias and activation are one pass over memory.

    Parameters
    ----------
    mlp
        An `Mlp` of timm, in evaluation.
    """

    def __init__(self, mlp: Any):
        super().__init__()
        self.fc1, self.fc2 = mlp.fc1, mlp.fc2

    def forward(self, x: Float[Tensor, "*some d"]) -> Float[Tensor, "*some d"]:
        """Return the output of the second layer."""
        flat = x.flatten(0, -2)
        if flat.dtype is not torch.float32 or torch.is_grad_enabled():
            hidden = fn.gelu(self.fc1(flat))
        else:
            hidden = flat @ self.fc1.weight.t()
            add_bias_and_gelu(hidden.numpy(), self.fc1.bias.detach().numpy())
        out: Tensor = self.fc2(hidden).unflatten(0, x.shape[:-1])
        return out


def _is_plain_mlp(module: Any) -> bool:
    """Return whether a module is two linear layers with bias and the exact GELU between them, and nothing else."""
    return (
        type(module) is timm.layers.Mlp
        and type(module.fc1) is type(module.fc2) is nn.Linear
        and module.fc1.bias is not None
        and (type(module.act) is timm.layers.GELU or str(module.act) == "GELU(approximate='none')")
        and type(module.norm) is nn.Identity
    )


def _reads_class_token(module: Any) -> bool:
    """Return whether a module is a transformer of plain blocks of which only the first token is used."""
    return (
        type(module) is timm.models.vision_transformer.VisionTransformer
        and module.global_pool == "token"
        and module.attn_pool is None
        and module.num_prefix_tokens > 0
        and type(module.blocks[-1]) is timm.models.vision_transformer.Block
        and type(module.blocks[-1].attn) is timm.layers.attention.Attention
        and module.blocks[-1].attn.gate is None
    )
