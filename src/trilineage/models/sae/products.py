"""The one product that an encoder cannot avoid, by the library that is faster at it on this processor."""

import functools
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_VENDOR = "AuthenticAMD"
"""Processors on which OpenBLAS, which numpy brings, beats MKL, which torch brings: by 8 % in tiles of 1,024 tokens and
2,048 latents, by 29 % in blocks of 256 tokens and all latents (EPYC with AVX2, float32)."""


def multiply_into(
    out: Float[Tensor, "token latent"],
    tokens: Float[Tensor, "token width"],
    weight: Float[Tensor, "latent width"],
) -> None:
    """Write tokens @ weight.T to `out`.

    The two libraries differ by rounding. Which one computes depends on the processor and on the numbers of threads,
    so that the same machine with the same settings gives the same bits.
    """
    is_plain = out.device.type == "cpu" and out.dtype == tokens.dtype == weight.dtype == torch.float32
    if is_plain and _openblas_threads() == torch.get_num_threads():
        np.matmul(tokens.detach().numpy(), weight.detach().numpy().T, out=out.numpy())
    else:
        torch.mm(tokens.detach(), weight.detach().T, out=out)


@functools.cache
def _openblas_threads() -> int:
    """Return how many threads numpy's products use; 0 where they are not the faster ones."""
    if not _is_of_vendor() or not _has_openblas():
        return 0
    asked = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    return int(asked) if asked.isdecimal() and int(asked) > 0 else len(os.sched_getaffinity(0))


def _is_of_vendor() -> bool:
    try:
        return _VENDOR in Path("/proc/cpuinfo").read_text()
    except OSError:  # no Linux
        return False


def _has_openblas() -> bool:
    configuration = np.show_config(mode="dicts")
    blas = configuration["Build Dependencies"]["blas"] if isinstance(configuration, dict) else {}
    return "openblas" in str(blas.get("name", ""))
