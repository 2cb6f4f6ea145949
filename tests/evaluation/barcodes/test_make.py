"""Barcodes against the definition computed densely; streamed, merged, saved; wrong tau, codes and patients refused."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfTransformer

from trilineage.core.errors import CohortError, ConfigError, DataError
from trilineage.core.seeding import generator
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.evaluation.barcodes import sums
from trilineage.evaluation.barcodes.make import BarcodeTally, class_barcodes, inverse_frequencies, weigh

from .drawing import codes_of, draw_activations

NAMES = np.array(["a", "b", "c"])
PATIENTS = np.array([0, 0, 1, 2, 2, 2, 0, 1])


@pytest.fixture
def activations():
    return draw_activations(8)


def tallied(codes, patients, **options):
    tally = BarcodeTally(NAMES, codes.n_latents, **options)
    tally.add(codes, patients)
    return tally


def defined(activations, *, tau=0.2, with_cls=True):
    """Return the barcode from the formula: mean over the images of the number of tokens above tau."""
    above = (activations[:, 0 if with_cls else 1 :] > tau).sum(axis=1)
    return np.stack([above[patient == PATIENTS].mean(axis=0) for patient in range(3)])


@pytest.mark.parametrize("uses_cls", [True, False])
def test_a_barcode_is_the_mean_over_images_of_the_tokens_above_tau(activations, uses_cls):
    found = tallied(codes_of(activations), PATIENTS, uses_cls=uses_cls).barcodes()
    np.testing.assert_allclose(found.dense(), defined(activations, with_cls=uses_cls), rtol=1e-6)
    assert found.n_images.tolist() == [3, 2, 3]


def test_a_patient_with_every_image_twice_keeps_its_barcode(activations):
    codes = codes_of(activations)
    once, twice = tallied(codes, PATIENTS), tallied(codes, PATIENTS)
    twice.add(codes, PATIENTS)
    np.testing.assert_array_equal(twice.barcodes().dense(), once.barcodes().dense())


def test_portions_order_merging_and_saving_change_nothing(activations):
    codes, order = codes_of(activations), np.array([7, 2, 0, 5, 1, 6, 4, 3])
    whole = tallied(codes, PATIENTS).barcodes()
    first = tallied(codes.subset(order[:3]), PATIENTS[order[:3]])
    first = BarcodeTally.from_arrays(first.to_arrays())
    for image in order[3:]:
        part = tallied(codes.subset(np.array([image])), PATIENTS[[image]])
        first.merge(part)
    np.testing.assert_array_equal(first.barcodes().dense(), whole.dense())


@pytest.mark.parametrize("max_dense", [0, sums.MAX_DENSE])
def test_sums_by_group_are_those_of_a_dense_product(max_dense, monkeypatch):
    monkeypatch.setattr(sums, "MAX_DENSE", max_dense)
    rng, found, expected = generator(0, "groups"), sums.GroupSums(4, 30), np.zeros((4, 30))
    assert found.total().nnz == 0
    for seed in range(20):
        rows, groups = (
            codes_of(draw_activations(3, n_latents=30, seed=seed)).matrix("above"),
            rng.integers(0, 4, 3),
        )
        found.add(rows, groups)
        np.add.at(expected, groups, rows.toarray())
    found.add_sums(found.total())
    np.testing.assert_array_equal(found.total().toarray(), 2 * expected)
    assert found.total().has_sorted_indices


def test_a_patient_without_cells_is_refused(activations):
    tally = tallied(codes_of(activations).subset(np.arange(2)), np.zeros(2, int))
    with pytest.raises(CohortError, match="2 patients without an image.*seen: b, c"):
        tally.barcodes()


@pytest.mark.parametrize(("tau", "side"), [(0.1, "below"), (0.5, "above")])
def test_another_tau_than_that_of_the_codes_is_refused(activations, tau, side):
    with pytest.raises(ConfigError, match=f"tau {side} the one the codes were counted at"):
        tallied(codes_of(activations, tau=0.2), PATIENTS, tau=tau)


def test_a_tau_that_leaves_nothing_is_refused_with_the_largest_activation(activations):
    codes = codes_of(activations, tau=50.0)
    with pytest.raises(DataError, match=rf"no latent exceeds tau = 50.*{activations.max():.4g}"):
        tallied(codes, PATIENTS, tau=50.0).barcodes()


@pytest.mark.parametrize("patients", [np.zeros(7, int), np.full(8, 3), np.full(8, -1)])
def test_images_of_nobody_are_refused(activations, patients):
    with pytest.raises(CohortError, match="none of the patients"):
        tallied(codes_of(activations), patients)


def test_activations_that_are_no_numbers_are_named_by_their_image(activations):
    codes = codes_of(activations)
    peaks = codes.peaks.copy()
    peaks[codes.indptr[5]] = np.nan
    broken = ImageCodes.from_arrays(codes.to_arrays() | {"peaks": peaks})
    with pytest.raises(DataError, match="image at position 5"):
        tallied(broken, PATIENTS)


def test_other_latents_and_other_tallies_are_refused(activations):
    codes = codes_of(activations)
    with pytest.raises(ConfigError, match="another autoencoder"):
        BarcodeTally(NAMES, 7).add(codes, PATIENTS)
    with pytest.raises(ConfigError, match="cannot be added"):
        tallied(codes, PATIENTS).merge(tallied(codes, PATIENTS, uses_cls=False))


def test_a_class_is_the_mean_of_its_patients_whatever_their_cells(activations):
    labels = np.array(["x", "y", "x"])
    barcodes = tallied(codes_of(activations), PATIENTS).barcodes(labels=labels)
    found, dense = class_barcodes(barcodes), barcodes.dense()
    np.testing.assert_allclose(found.dense(), [dense[[0, 2]].mean(axis=0), dense[1]], rtol=1e-6)
    assert (found.names.tolist(), found.n_images.tolist()) == (["x", "y"], [6, 2])


def test_weightings_are_those_of_their_names(activations):
    barcodes = tallied(codes_of(activations), PATIENTS).barcodes()
    np.testing.assert_allclose(weigh(barcodes, "log1p").dense(), np.log1p(barcodes.dense()), rtol=1e-6)
    shares = barcodes.dense() / barcodes.dense().sum(axis=1, keepdims=True)
    peer = TfidfTransformer(norm=None).fit(barcodes.values).transform(shares).toarray()
    np.testing.assert_allclose(weigh(barcodes, "tf-idf").dense(), peer, rtol=1e-5)
    given = weigh(barcodes, "tf-idf", idf=2.0 * inverse_frequencies(barcodes))
    np.testing.assert_allclose(given.dense(), 2.0 * peer, rtol=1e-5)
    with pytest.raises(ConfigError, match="weighted already"):
        weigh(given, "log1p")
