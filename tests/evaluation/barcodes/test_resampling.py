"""Intervals cover what they should, and the number of cells that is enough is found where it is known."""

import numpy as np
import pytest
import scipy.sparse as sp

from trilineage.core.errors import CohortError
from trilineage.core.seeding import generator
from trilineage.evaluation.barcodes.resampling import (
    Stability,
    cell_interval,
    cells_needed,
    class_interval,
    stability,
)

from .drawing import draw_patients


def draw_counts(n_cells, *, n_latents=300, seed=0):
    """Return tokens above tau of cells that all follow the same frequencies, which come too."""
    rng = generator(seed, "counts")
    rates = rng.gamma(0.5, 2.0, n_latents)
    return sp.csr_array(rng.poisson(rates, size=(n_cells, n_latents)).astype(np.float32)), rates


def test_intervals_cover_the_true_rate_in_about_95_of_100_latents():
    counts, rates = draw_counts(60)
    often = np.flatnonzero(rates > 0.5)
    found = cell_interval(counts, latents=often, n_resamples=400)
    is_covered = (found.low <= rates[often]) & (rates[often] <= found.high)
    assert 0.9 < is_covered.mean() < 0.99
    np.testing.assert_allclose(found.value, counts.toarray().mean(axis=0)[often], rtol=1e-6)


def test_intervals_have_the_width_of_the_standard_error():
    counts, rates = draw_counts(200)
    found = cell_interval(counts, latents=np.flatnonzero(rates > 0.5), n_resamples=1000)
    expected = 2 * 1.97 * np.sqrt(rates[rates > 0.5] / 200)
    assert np.median((found.high - found.low) / expected) == pytest.approx(1.0, abs=0.05)


def test_the_same_seed_gives_the_same_interval_and_active_latents_are_the_default():
    counts = sp.csr_array(np.array([[0, 2, 1], [0, 1, 1], [0, 5, 1]], np.float32))
    one, again = (cell_interval(counts, n_resamples=100, seed=4) for _ in range(2))
    assert one.latents.tolist() == [1, 2]
    np.testing.assert_array_equal(one.low, again.low)
    assert (one.low[1], one.high[1]) == (1.0, 1.0)


def test_one_cell_has_a_barcode_without_interval_and_none_has_no_barcode():
    found = cell_interval(sp.csr_array(np.array([[0.0, 3.0]])))
    assert (found.value.tolist(), found.low, found.n_drawn) == ([3.0], None, 1)
    with pytest.raises(CohortError, match="without cells has no barcode"):
        cell_interval(sp.csr_array((0, 5)))


def test_the_interval_of_a_class_resamples_its_patients():
    barcodes, _ = draw_patients(30)
    found = class_interval(barcodes, "B", latents=np.array([3, 9]), n_resamples=200)
    own = barcodes.dense()[barcodes.labels == "B"][:, [3, 9]]
    np.testing.assert_allclose(found.value, own.mean(axis=0), rtol=1e-6)
    assert found.n_drawn == 10
    assert ((found.low < found.value) & (found.value < found.high)).all()
    with pytest.raises(CohortError, match="no patient has the label 'Z'"):
        class_interval(barcodes, "Z")


def test_more_cells_agree_better_and_the_rest_agrees_less_than_the_whole():
    counts, _ = draw_counts(400)
    full, rest = (stability(counts, n_draws=8, against=other) for other in ("full", "rest"))
    assert full.n_cells.tolist() == [5, 10, 20, 50, 100, 200]
    assert (np.diff(full.correlation.mean(axis=1)) > 0).all()
    assert (np.diff(full.distance.mean(axis=1)) < 0).all()
    assert (full.correlation.mean(axis=1) > rest.correlation.mean(axis=1)).all()


def test_a_patient_of_equal_cells_needs_one():
    counts = sp.csr_array(np.tile(np.array([[0, 3, 1, 7]], np.float32), (20, 1)))
    found = stability(counts, n_cells=(1, 5), n_draws=3)
    np.testing.assert_allclose(found.correlation, 1.0)
    np.testing.assert_allclose(found.distance, 0.0)
    assert cells_needed(found, agreement=0.999) == 1


def test_cells_needed_is_the_number_from_which_on_agreement_stays():
    correlation = np.array([[0.99, 0.5], [0.96, 0.96], [0.9, 0.96], [0.97, 0.99], [0.99, 0.99]])
    found = Stability(np.array([5, 10, 20, 50, 100]), correlation, 1 - correlation, "full")
    assert cells_needed(found, agreement=0.95) == 50
    assert cells_needed(found, agreement=0.95, share=0.5) == 5
    assert cells_needed(found, agreement=0.995) is None


def test_cells_of_which_none_is_active_agree_with_nothing():
    counts = sp.csr_array(np.array([[0.0], [0.0], [0.0], [0.0]]))
    found = stability(counts, n_cells=(2,), n_draws=2)
    assert (found.correlation.tolist(), found.distance.tolist()) == ([[0.0, 0.0]], [[1.0, 1.0]])


def test_too_few_cells_to_see_how_many_are_enough_are_refused():
    with pytest.raises(CohortError, match="seen: 8 images; allowed: at least 10"):
        stability(draw_counts(8)[0])
