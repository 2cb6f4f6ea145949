"""timm beside a torch without the compiled part of torchvision."""

import subprocess
import sys

import torch

from trilineage.models.backbones.library import timm


def test_timm_is_whole():
    assert timm.is_model("vit_small_patch16_384")
    assert hasattr(torch.ops.torchvision, "nms")


def test_an_import_that_fails_for_another_reason_is_not_hidden():
    code = (
        "import sys, types, importlib.abc\n"
        "class Broken(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'timm': raise RuntimeError('another reason')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "import trilineage.models.backbones.library\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "RuntimeError: another reason" in done.stderr
