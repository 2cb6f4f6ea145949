"""Two processes learn what one learns: thresholds of a batch top-k and silent latents are those of the whole batch."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from together import run_together

SCRIPT = Path(__file__).with_name("paired_sae.py")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Weights of both of two Gloo processes."""
    return run_together(SCRIPT, tmp_path_factory.mktemp("pair"))


def test_both_processes_have_the_same_weights_and_statistics(pair):
    assert all(np.array_equal(pair[0][name], value) for name, value in pair[1].items())


@pytest.mark.parametrize("recipe", ["topk", "batch_topk", "relu"])
def test_two_processes_learn_what_one_learns(pair, recipe, plain):
    spec = importlib.util.spec_from_file_location("paired_sae", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in module.fit(plain, module.RECIPES[recipe]).items():
        assert np.abs(pair[0][f"{recipe}/{name}"] - value).max() < 1e-5, name
