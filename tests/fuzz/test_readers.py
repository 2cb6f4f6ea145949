"""Damaged files of every kind are read or refused by a typed error: no crash, no hang, nothing else."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from campaign import Victim, run_campaign
from readers import READERS

N_MUTANTS = 500


@pytest.fixture(scope="module")
def victim():
    child = Victim()
    yield child
    child.end()


@pytest.mark.parametrize("name", READERS)
def test_every_mutant_is_read_or_refused(victim, name):
    found = run_campaign(victim, name, N_MUTANTS)
    assert found.failures == []
    assert sum(found.outcomes.values()) == N_MUTANTS
    assert found.outcomes["read"] < 0.9 * N_MUTANTS, found.outcomes
