"""Means over parents hold over all processes: two that share the batches learn what one learns."""

import importlib.util
from pathlib import Path

import numpy as np
from together import run_together

SCRIPT = Path(__file__).with_name("paired_hierarchy.py")


def alone():
    spec = importlib.util.spec_from_file_location("paired_hierarchy", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.fit()


def test_two_processes_learn_what_one_learns(tmp_path):
    weights, losses = alone()
    for found in run_together(SCRIPT, tmp_path):
        np.testing.assert_allclose(found["weights"], weights, atol=1e-5)
        np.testing.assert_allclose(found["losses"], losses, rtol=1e-5)
