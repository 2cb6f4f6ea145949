"""Several processes: they end where one process ends, stop together, and go on together."""

from pathlib import Path

import numpy as np
import pytest
import torch
from together import run_together

from trilineage.core.errors import ConfigError
from trilineage.training.distributed import Processes, choose_device, join_processes, main_process_first


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Results of both of two Gloo processes that torchrun started."""
    return run_together(Path(__file__).with_name("paired.py"), tmp_path_factory.mktemp("pair"), launcher=True)


@pytest.mark.parametrize("training", ["plain", "clipped", "one_row", "resumed"])
def test_both_processes_have_the_same_weights(pair, training):
    assert np.array_equal(pair[0][training], pair[1][training])


def test_two_processes_learn_what_one_learns(pair, small):
    """Batch norm, dropout, uneven shares, unequal weights and an unused parameter are all in it."""
    one = small.weights(small.fit()[0])
    assert np.abs(pair[0]["plain"] - one).max() < 1e-5
    assert np.abs(one - small.weights(small.network())).max() > 0.01


def test_clipping_and_decay_are_those_of_one_process(pair, small):
    one = small.weights(small.fit(clip_norm=0.5, optimizer="adamw", weight_decay=0.1)[0])
    assert np.abs(pair[0]["clipped"] - one).max() < 1e-5


def test_a_process_with_an_empty_share_learns_with_the_others(pair, small):
    one, _ = small.fit(model=small.network(with_norm=False), batches=small.Line(5), batch_size=1)
    assert np.abs(pair[0]["one_row"] - small.weights(one)).max() < 1e-5


def test_the_first_process_decides_about_early_stopping(pair):
    """Its validation values never get better after the first epoch; those of the other would be 1, not 0."""
    assert pair[0]["stopped_early"] == pair[1]["stopped_early"] == 3 * 5


def test_a_signal_to_one_process_stops_all_after_the_same_step(pair):
    assert pair[0]["was_interrupted"] == pair[1]["was_interrupted"] == 1


def test_going_on_after_the_signal_ends_where_an_uninterrupted_pair_ends(pair):
    assert np.array_equal(pair[0]["resumed"], pair[0]["plain"])


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    processes = join_processes(torch.device("cpu"))
    assert (processes.rank, processes.world, processes.is_main) == (0, 1, True)


def test_one_process_tells_itself():
    alone = Processes()
    with main_process_first(alone):
        assert alone.tell_all(b"x") == b"x"
    assert torch.equal(alone.total(torch.ones(2)), torch.ones(2))


def test_a_device_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ConfigError, match="allowed: auto, cpu"):
        choose_device("cuda:99")
    with pytest.raises(ConfigError, match="no such device"):
        choose_device("abacus")
    assert choose_device("cpu") == torch.device("cpu")
