"""Options of the loop: values that cannot work are refused, and those that decide a result are known."""

import pytest

from trilineage.core.errors import ConfigError
from trilineage.training.settings import TrainingSettings


@pytest.mark.parametrize(
    "option",
    [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"learning_rate": float("inf")}, {"keep": 0}],
)
def test_values_that_cannot_work_are_refused(option):
    with pytest.raises(ConfigError, match=next(iter(option))):
        TrainingSettings(**option)


def test_early_stopping_needs_a_value_to_watch():
    with pytest.raises(ConfigError, match="needs a value to watch"):
        TrainingSettings(patience=3, monitor="")


def test_where_and_when_things_are_written_decides_nothing():
    here, there = TrainingSettings(), TrainingSettings(checkpoint_every_s=1.0, keep=9, prefetch="no")
    assert here.options_that_matter() == there.options_that_matter()
    assert here.options_that_matter() != TrainingSettings(epochs=3).options_that_matter()
