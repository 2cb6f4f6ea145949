"""What is said against the concepts of a Run, and when it is not said."""

import pytest

from trilineage.core.records import Score
from trilineage.report.concept_doubts import (
    control_notices,
    reconstruction_notices,
    shift_notice,
    stability_notices,
)


def texts(notices) -> str:
    return " ".join(notice.text for notice in notices)


def test_controls_that_stay_behind_raise_no_doubt(concept_run):
    assert control_notices(concept_run) == []


def test_controls_that_do_as_well_are_named_with_their_figures(concept_runs, bare_concept_run):
    concept_runs.write_figures(bare_concept_run, merit=0.0)
    concept_runs.write_targets(bare_concept_run, merit=0.005)
    areas, likeness = control_notices(bare_concept_run)
    assert "raw neurons (0.78), principal components (0.78) and random dictionary (0.78)" in areas.text
    assert "those of the autoencoder (0.78)" in areas.text
    assert "raw neurons (0.38)" in likeness.text
    assert {areas.level, likeness.level} == {"caution"}


@pytest.mark.parametrize(
    ("explained", "dead", "said"),
    [
        (0.8, 0.1, ""),
        (0.4, 0.1, "explain 40 % of the variance of held-out"),
        (0.8, 0.6, "60 % of the latents are dead"),
    ],
)
def test_what_is_unexplained_or_dead_is_said(concept_runs, bare_concept_run, explained, dead, said):
    concept_runs.write_reconstruction(bare_concept_run, explained=explained, dead=dead)
    found = texts(reconstruction_notices(bare_concept_run))
    assert said in found
    assert bool(found) == bool(said)


def test_latents_no_better_than_random_directions_are_not_stable(concept_runs, bare_concept_run, concept_run):
    row = {**concept_run.read_json("figures.json")[0], "returning": concept_runs.matched(0.3)}
    bare_concept_run.write_json("figures.json", [row])
    assert "mean cosine of 0.30, and random directions reach 0.25" in texts(
        stability_notices(bare_concept_run)
    )
    assert stability_notices(concept_run) == []


@pytest.mark.parametrize(
    ("metric", "value", "n_notices"),
    [
        ("correlation_log_mean_activation", 0.79, 1),
        ("correlation_log_mean_activation", 0.81, 0),
        ("correlation_log_mean_activation", float("nan"), 0),
        ("correlation_log_frequency", 0.2, 0),
    ],
)
def test_a_shift_is_a_low_correlation_of_strengths(metric, value, n_notices):
    assert len(shift_notice(Score(metric, value, None, None), "site B")) == n_notices
