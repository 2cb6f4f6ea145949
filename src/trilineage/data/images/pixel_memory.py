"""The memory in which Pillow holds an image, as an array: no copy is made of what is only read once more."""

import ctypes
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image


def pixels_of(image: Image.Image) -> UInt8[np.ndarray, "height width 4"]:
    """Return the pixels of a decoded colour image: red, green, blue and a fourth byte that counts for nothing.

    They are Pillow's own, so they may only be read; the array keeps them alive. Images of more than Pillow puts in one
    piece (16 MB) are copied.
    """
    assert image.mode == "RGB"
    try:
        return np.asarray(_Lent(image))
    except ValueError:  # in several pieces
        return np.asarray(image.convert("RGBX"))


class _Lent:
    """What an array is made of and keeps alive: Arrow's view of an image, which Pillow gives without a copy."""

    def __init__(self, image: Image.Image):
        self.capsules: Any = image.__arrow_c_array__()
        whole = _ArrowArray.from_address(_pointer(self.capsules[1], b"arrow_array"))
        bands = whole.children[0].contents
        self.__array_interface__ = {
            "version": 3,
            "shape": (image.height, image.width, 4),
            "typestr": "|u1",
            "data": (bands.buffers[1], True),
        }


class _ArrowArray(ctypes.Structure):
    """An array in Arrow's C data interface (arrow.apache.org/docs/format/CDataInterface.html)."""


_ArrowArray._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
]  # and three more that only the one who frees it needs

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
