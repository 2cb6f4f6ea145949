"""timm, imported once for all, also beside a torch without the compiled part of torchvision.

torchvision registers functions for two operators of its compiled part, `nms` and `qnms`; beside a CPU build of torch
from another source that part does not load, and with the import of torchvision fails that of timm. No model here uses
these operators, so naming them is enough. Where the real part loads, nothing of this happens.
"""

import sys

import torch

_MISSING = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _declare_operators() -> torch.library.Library:
    """Name the operators of torchvision; they exist as long as the object that is returned."""
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    return library


def _forget_half_loaded() -> None:
    """Drop what a failed import left behind."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("torchvision", "timm"):
            del sys.modules[name]


try:
    import timm
except RuntimeError as error:
    if _MISSING not in str(error):
        raise
    _forget_half_loaded()
    _declared = _declare_operators()  # kept alive by this module
    import timm

__all__ = ["timm"]
