"""Shift between cohorts: the definitions densely, planted losses and gains, and cohorts that may not be compared."""

from dataclasses import replace

import numpy as np
import pytest

from trilineage.core.errors import ArtifactError, CohortError, DataError
from trilineage.core.seeding import generator
from trilineage.data.codes.image_codes import ImageCodes
from trilineage.evaluation.barcodes.shift import ProfileTally, shift_report

from .drawing import codes_of

N_LATENTS = 40


def draw_cohort(n_images=60, *, gain=0.0, seed=0, silent=()):
    """Return activations whose latents have rates and strengths of their own, both changed by noise of size `gain`."""
    fixed, rng = generator(0, "latents"), generator(seed, "cohort")
    rates = fixed.uniform(0.05, 0.6, N_LATENTS)
    strengths = np.exp(fixed.normal(size=N_LATENTS) + gain * rng.normal(size=N_LATENTS))
    shape = (n_images, 6, N_LATENTS)
    values = np.where(rng.random(shape) < rates, strengths * rng.gamma(4.0, 0.25, shape), 0.0)
    values[:, :, list(silent)] = 0.0
    return values.astype(np.float32)


def profile_of(activations, *, n_patients=6, **keys):
    tally = ProfileTally(n_patients, N_LATENTS)
    patients = np.arange(len(activations)) % n_patients
    codes = codes_of(activations)
    for rows in np.array_split(generator(1, "order").permutation(len(activations)), 3):
        tally.add(codes.subset(rows), patients[rows])
    return tally.profile(**keys)


def by_name(report):
    return {score.metric: score for score in report.scores}


def test_frequency_and_mean_activation_are_those_of_the_definitions():
    activations = draw_cohort()
    means = activations[:, 1:].mean(axis=1)
    profile = profile_of(activations)
    np.testing.assert_allclose(profile.frequency(), (means > 0).mean(axis=0))
    expected = means.sum(axis=0) / (means > 0).sum(axis=0)
    np.testing.assert_allclose(profile.mean_activation(), expected, rtol=1e-6)


def test_a_latent_without_activation_has_zeros_and_never_nan():
    profile = profile_of(draw_cohort(silent=[3]))
    assert (profile.frequency()[3], profile.mean_activation()[3]) == (0.0, 0.0)


def test_correlations_are_those_of_numpy():
    first, second = profile_of(draw_cohort()), profile_of(draw_cohort(seed=1, gain=0.5))
    found = by_name(shift_report(first, second))["correlation_log_mean_activation"]
    logs = [np.log(profile.mean_activation()) for profile in (first, second)]
    assert found.value == pytest.approx(np.corrcoef(logs)[0, 1])
    assert found.low < found.value < found.high
    assert found.n_patients == 12


def test_the_same_blood_agrees_better_than_other_stains():
    first = profile_of(draw_cohort())
    same, other = (shift_report(first, profile_of(draw_cohort(seed=2, gain=g))) for g in (0.0, 1.0))
    assert by_name(same)["correlation_log_mean_activation"].low > 0.9
    assert by_name(other)["correlation_log_mean_activation"].high < 0.9
    assert by_name(same)["correlation_log_frequency"].value > 0.9


def test_lost_and_new_concepts_are_named_and_rare_ones_left_open():
    first, second = draw_cohort(silent=[7]), draw_cohort(seed=1, silent=[3, 30])
    first[:, :, 30] = 0.0
    first[0, 2, 30] = 1.0  # one image of 60: five are not to be expected
    found = shift_report(profile_of(first), profile_of(second))
    assert (found.lost.tolist(), found.new.tolist(), found.n_unknown) == ([3], [7], 1)
    assert found.n_strong == (39, 38, 37)
    assert found.to_dict()["lost"] == [3]


def test_a_cohort_of_one_patient_has_correlations_without_interval():
    found = shift_report(profile_of(draw_cohort(), n_patients=1), profile_of(draw_cohort(seed=1)))
    assert {(score.low, score.note.split(";")[0]) for score in found.scores} == {
        (None, "no interval: a cohort of one patient")
    }


@pytest.mark.parametrize(
    ("key", "message"),
    [("encoder_key", "different encoders"), ("dictionary_key", "different autoencoders")],
)
def test_cohorts_of_different_encoders_or_dictionaries_are_not_compared(key, message):
    first = profile_of(draw_cohort(), encoder_key="e" * 64, dictionary_key="d" * 64)
    with pytest.raises(ArtifactError, match=message):
        shift_report(first, replace(first, **{key: "f" * 64}))


def test_cohorts_with_nothing_in_common_are_refused():
    first = profile_of(draw_cohort(silent=range(20)))
    with pytest.raises(CohortError, match="seen: 0 latents"):
        shift_report(first, profile_of(draw_cohort(silent=range(20, 40))))


def test_activations_that_are_no_numbers_are_refused():
    codes = codes_of(draw_cohort(4))
    broken = ImageCodes.from_arrays(codes.to_arrays() | {"sums": np.full_like(codes.sums, np.inf)})
    with pytest.raises(DataError, match="no numbers"):
        ProfileTally(1, N_LATENTS).add(broken, np.zeros(4, int))
