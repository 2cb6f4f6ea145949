"""A fit that is killed ten times, whatever it was doing, ends with the same weights."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kills import Zygote, survive
from trainers import TRAINERS, write_data

N_KILLS = 10


@pytest.fixture(scope="module")
def zygote():
    process = Zygote()
    yield process
    process.close()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_ten_kills_change_no_weight(trainer, zygote, tmp_path):
    write_data(tmp_path)
    found = survive(zygote, trainer, tmp_path, N_KILLS)
    assert found.complaint == ""
    assert (found.n_kills, found.n_different) == (N_KILLS, 0)
    assert found.n_finished >= 1
