"""Matches of dictionaries are those of all cosines at once, and random directions say what chance is worth."""

import tracemalloc

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from trilineage.core.errors import ConfigError, DataError
from trilineage.evaluation.concepts.stability import (
    assign_latents,
    chance_cosines,
    match_dictionaries,
    stability,
)


def rows(seed: int, n: int = 90, width: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def cosines(first, second) -> np.ndarray:
    one, other = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (first, second))
    return one @ other.T


@pytest.mark.parametrize("block", [7, 64, 1000])
def test_matches_are_those_of_all_cosines_at_once(block):
    first, second = rows(0), rows(1, 70)
    found, every = match_dictionaries(first, second, block=block), cosines(first, second)
    assert (found.partner == every.argmax(axis=1)).all()
    assert found.cosine == pytest.approx(every.max(axis=1), abs=1e-6)
    assert (found.is_mutual == (every.argmax(axis=0)[every.argmax(axis=1)] == np.arange(90))).all()


def test_a_shuffled_dictionary_is_found_again_whole_whatever_the_lengths_of_its_rows():
    first, order = rows(0), np.random.default_rng(3).permutation(90)
    scaled = first[order] * np.linspace(0.1, 10, 90, dtype=np.float32)[:, None]
    found = match_dictionaries(first, scaled)
    assert (order[found.partner] == np.arange(90)).all()
    assert found.is_mutual.all()
    assert found.cosine == pytest.approx(1.0)


def test_a_dead_row_of_zeros_matches_nothing():
    first = rows(0)
    first[4] = 0
    found = match_dictionaries(first, rows(1))
    assert (found.cosine[4], found.is_mutual[4]) == (0.0, False)


def test_the_strong_latents_are_assigned_so_that_the_sum_is_largest():
    first, second = rows(0), rows(1, 70)
    strong = (np.arange(90) % 3 == 0, np.arange(70) < 25)
    found = assign_latents(first, second, strong)
    every = cosines(first[strong[0]], second[strong[1]])
    best = every[linear_sum_assignment(every, maximize=True)].sum()
    assert found.cosine.sum() == pytest.approx(best, rel=1e-5)
    assert len(set(found.second.tolist())) == 25
    assert found.cosine == pytest.approx(cosines(first, second)[found.first, found.second], abs=1e-6)


def test_stability_counts_what_comes_back_in_every_seed():
    first = rows(0)
    others = [np.concatenate([first[:60], rows(1, 30)]), np.concatenate([first[:40], rows(2, 50)])]
    found = stability(first, others)
    assert found.found[:40].all()
    assert not found.found[60:].any()
    assert found.score[:40] == pytest.approx(1.0)
    assert found.score[45] == pytest.approx(0.5 + found.is_mutual[45, 1] * found.cosine[45, 1] / 2)
    assert found.summary(np.arange(90) < 40)["found"] == 1.0
    assert found.summary()["n_dictionaries"] == 2


def test_dead_latents_of_another_seed_are_no_match():
    first = rows(0)
    found = stability(first, [first.copy()], alive=[np.arange(90) >= 10])
    assert not found.found[:10].any()
    assert found.found[10:].all()


def test_random_directions_match_as_well_as_a_dictionary_that_has_nothing_in_common():
    crowded = np.random.default_rng(0).normal(size=(4, 16)) * np.array([[9], [4], [2], [1]])
    make = [np.random.default_rng(seed).normal(size=(800, 4)) @ crowded + 2 for seed in (1, 2)]
    unrelated = match_dictionaries(make[0], make[1]).cosine.mean()
    assert chance_cosines(make[1]).mean() == pytest.approx(unrelated, abs=0.02)
    assert chance_cosines(rows(5, 800, 16)).mean() < unrelated - 0.1


def test_the_same_seed_gives_the_same_chance():
    assert (chance_cosines(rows(0), seed=4) == chance_cosines(rows(0), seed=4)).all()


def test_matching_never_holds_all_cosines():
    first, second = rows(0, 1500, 8), rows(1, 1500, 8)
    tracemalloc.start()
    match_dictionaries(first, second, block=128)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1500 * 1500 * 4 / 10


def test_too_many_latents_are_not_assigned(monkeypatch):
    monkeypatch.setattr("trilineage.evaluation.concepts.stability.MAX_ASSIGNED", 50)
    every = np.ones(90, dtype=bool)
    with pytest.raises(ConfigError, match="seen: 90 and 90"):
        assign_latents(rows(0), rows(1), (every, every))


def test_dictionaries_that_cannot_be_compared_are_refused():
    with pytest.raises(DataError, match=r"\(90, 12\) and \(90, 13\)"):
        match_dictionaries(rows(0), rows(1, width=13))
    with pytest.raises(DataError, match="cannot be compared"):
        match_dictionaries(rows(0), rows(1, 0))
    broken = rows(1)
    broken[8, 0] = np.inf
    with pytest.raises(DataError, match="latent 8"):
        match_dictionaries(rows(0), broken)
    with pytest.raises(ConfigError, match="needs a second dictionary"):
        stability(rows(0), [])
