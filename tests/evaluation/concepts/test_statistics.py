"""Figures of latents by hand, in any order, saved and merged, never NaN; references against a plain walk."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trilineage.core.errors import ConfigError, DataError
from trilineage.evaluation.concepts import references as module
from trilineage.evaluation.concepts.statistics import ConceptTally

NAMES = np.array(["p0", "p1", "p2", "p3", "p4", "p5"])


def cohort(n_images=120, n_latents=4, *, seed=0, n_classes=3, n_patients=6):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 12, (n_images, n_latents)) / 8.0  # many ties
    scores[:, -1] = 0
    return scores, rng.integers(-1, n_classes, n_images), NAMES[rng.integers(0, n_patients, n_images)]


@pytest.fixture(scope="module")
def tally_of(from_scores):
    def tally(scores, labels, patients, *, portions=1, order=None, **options):
        made = ConceptTally(scores.shape[1], 3, **options)
        order = np.arange(len(scores)) if order is None else order
        whole = from_scores(scores)
        for rows in np.array_split(order, portions):
            made.add(whole.subset(rows), labels[rows], patients[rows])
        return made

    return tally


def plain_references(scores, labels, patients, *, max_references, per_patient, per_class):
    """Walk over all images, the best first, and pass over those whose patient or class has its share."""
    chosen = []
    for image in sorted(np.flatnonzero(scores > 0), key=lambda image: (-scores[image], image)):
        of_patient = sum(patients[other] == patients[image] for other in chosen)
        of_class = sum(labels[other] == labels[image] for other in chosen) if labels[image] >= 0 else -1
        if len(chosen) < max_references and of_patient < per_patient and of_class < per_class:
            chosen.append(image)
    return chosen


def test_figures_by_hand(codes_of):
    f = np.zeros((4, 3, 3))  # CLS and two patches
    f[0, 1:, 0], f[1, 1, 0], f[2, 0, 0] = [1.0, 3.0], 2.0, 8.0
    f[3, 2, 1] = 4e-4
    tally = ConceptTally(3, 2)
    tally.add(codes_of(f), np.array([0, 1, 1, 0]), NAMES[:4])
    found = tally.statistics()
    assert found.counts.tolist() == [2, 1, 0]  # the third image has latent 0 in CLS only
    assert found.frequency.tolist() == [0.5, 0.25, 0.0]
    assert found.mean_activation[[0, 2]].tolist() == [1.5, 0.0]
    assert found.alive.tolist() == [True, True, False]
    assert found.strong.tolist() == [True, False, False]
    assert found.class_shares[0] == pytest.approx([2 / 3, 1 / 3])
    assert found.entropy == pytest.approx([-(2 / 3) * np.log(2 / 3) - np.log(1 / 3) / 3, 0, 0])
    assert found.relative_entropy[0] == pytest.approx(found.entropy[0] / np.log(2))
    assert found.class_counts[0].tolist() == [1, 1]
    assert found.class_images.tolist() == [2, 2]
    with_cls = ConceptTally(3, 2, with_cls=True)
    with_cls.add(codes_of(f), np.array([0, 1, 1, 0]), NAMES[:4])
    assert with_cls.statistics().mean_activation[0] == pytest.approx((4 + 2 + 8) / 3 / 3)


def test_no_image_and_no_activation_give_zeros(from_scores):
    tally = ConceptTally(5, 3)
    for _ in range(2):
        found = tally.statistics()
        arrays = found.to_arrays() | tally.references().to_arrays()
        assert all(np.isfinite(array).all() for array in arrays.values())
        assert not found.alive.any()
        assert (tally.references().images == -1).all()
        tally.add(from_scores(np.zeros((3, 5))), np.array([0, 1, -1]), NAMES[:3])
    assert tally.n_images == 6


@given(st.integers(1, 5), st.integers(0, 3), st.integers(0, 4), st.integers(0, 10_000), st.integers(1, 60))
def test_references_are_those_of_a_plain_walk(
    tally_of, max_references, per_patient, per_class, seed, n_images
):
    scores, labels, patients = cohort(n_images, seed=seed)
    caps = {"max_references": max_references, "per_patient": per_patient, "per_class": per_class}
    order = np.random.default_rng(seed).permutation(n_images)
    found = tally_of(scores, labels, patients, portions=4, order=order, **caps).references()
    caps = {name: cap or n_images for name, cap in caps.items()}
    for latent in range(4):
        expected = plain_references(scores[:, latent], labels, patients, **caps)
        images = found.images[latent]
        assert images[images >= 0].tolist() == expected
        assert found.scores[latent][: len(expected)].tolist() == scores[expected, latent].tolist()
        assert (images[len(expected) :] == -1).all()


def test_candidates_that_are_sorted_out_early_change_no_reference(tally_of, monkeypatch):
    scores, labels, patients = cohort(3000, seed=5)
    monkeypatch.setattr(module, "_ROOM", 1)
    tally = tally_of(scores, labels, patients, portions=100, max_references=4, per_class=2)
    assert len(tally.shortlist.candidates().latents) < 3 * 4 * 4 * 4
    for latent in range(3):
        expected = plain_references(
            scores[:, latent], labels, patients, max_references=4, per_patient=2, per_class=2
        )
        assert tally.references().images[latent].tolist() == expected


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_order_portions_saving_and_merging_change_not_a_bit(tally_of, seed, portions):
    scores, labels, patients = cohort(seed=seed)
    scores = scores * np.random.default_rng(seed).lognormal(sigma=3, size=scores.shape)
    whole = tally_of(scores, labels, patients)
    order = np.random.default_rng(seed + 1).permutation(len(scores))
    first = tally_of(scores, labels, patients, order=order[:50], portions=portions)
    second = tally_of(scores, labels, patients, order=order[50:], portions=portions)
    resumed = ConceptTally.from_arrays(first.to_arrays())
    resumed.merge(second)
    pairs = (whole.statistics(), resumed.statistics()), (whole.references(), resumed.references())
    for one, other in pairs:
        for name, array in one.to_arrays().items():
            assert np.array_equal(array, other.to_arrays()[name]), name


def test_sums_are_exact_where_floats_would_lose_them(from_scores):
    scores = np.ones((3001, 1), np.float32)
    scores[0] = 2.0**20
    scores[1:] = 2.0**-34
    tally = ConceptTally(1, 1)
    tally.add(from_scores(scores), np.zeros(3001, np.int64), np.full(3001, "p"))
    assert tally.statistics().mean_activation[0] == (2.0**20 + 3000 * 2.0**-34) / 3001
    assert (int(tally.high[0]), int(tally.low[0])) == (2**36, 3000 * 2**30)


def test_shares_of_classes_are_not_thinned_by_the_cap_per_class(tally_of):
    scores = np.full((40, 1), 0.25)
    scores[:20] = 1.0
    labels = np.repeat([0, 1], 20)
    patients = np.array([f"p{i}" for i in range(40)])
    tally = tally_of(scores, labels, patients, per_class=8)
    assert tally.statistics().class_shares[0].tolist() == [1.0, 0.0, 0.0]
    assert (labels[tally.references().images[0]] == 0).sum() == 8


def test_images_of_unknown_class_are_references_without_a_share(tally_of):
    scores, patients = np.array([[2.0], [1.0]]), NAMES[:2]
    tally = tally_of(scores, np.array([-1, 2]), patients)
    assert tally.references().images[0, :2].tolist() == [0, 1]
    assert tally.statistics().class_shares[0].tolist() == [0.0, 0.0, 1.0]


def test_the_patch_of_a_reference_is_that_of_the_peak(codes_of):
    f = np.zeros((1, 5, 2))
    f[0, 3, 0], f[0, 0, 1] = 1.0, 1.0
    tally = ConceptTally(2, 1, with_cls=True)
    tally.add(codes_of(f), np.array([0]), NAMES[:1])
    assert tally.references().patches[:, 0].tolist() == [2, -1]


def test_what_does_not_belong_is_refused(from_scores):
    codes, names = from_scores(np.ones((2, 3))), NAMES[:2]
    with pytest.raises(DataError, match="do not belong"):
        ConceptTally(4, 1).add(codes, np.zeros(2, int), names)
    with pytest.raises(DataError, match="no class"):
        ConceptTally(3, 1).add(codes, np.array([0, 1]), names)
    with pytest.raises(DataError, match="position 1"):
        ConceptTally(3, 1).add(from_scores([[1, 1, 1], [1, np.inf, 1]]), np.zeros(2, int), names)
    with pytest.raises(DataError, match="do not ascend"):
        ConceptTally(3, 1).add(replace(codes, latents=codes.latents + np.int32(1)), np.zeros(2, int), names)
    with pytest.raises(ConfigError, match="no CLS"):
        ConceptTally(3, 1, with_cls=True).add(codes, np.zeros(2, int), names)
    with pytest.raises(ConfigError, match="different things"):
        ConceptTally(3, 1).merge(ConceptTally(3, 2))
    with pytest.raises(ConfigError, match="room"):
        ConceptTally(3, 1, max_references=0)
