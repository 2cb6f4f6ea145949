"""Options of the evaluation are checked when they are made."""

import pytest

from trilineage.core.errors import ConfigError, UnknownOptionError
from trilineage.evaluation.metrics import METRICS
from trilineage.evaluation.settings import EvaluationSettings


def test_every_metric_is_reported_by_default():
    assert EvaluationSettings().metrics == tuple(METRICS)


def test_an_unknown_metric_is_answered_with_the_nearest():
    with pytest.raises(UnknownOptionError, match="no metric 'auroc_macro'.*auroc"):
        EvaluationSettings(metrics=("auroc_macro",))


def test_too_few_resamples_are_refused():
    with pytest.raises(ConfigError, match="n_bootstrap"):
        EvaluationSettings(n_bootstrap=10)


def test_settings_survive_toml(tmp_path):
    settings = EvaluationSettings(level=0.9, metrics=("mcc",))
    settings.save(tmp_path / "evaluation.toml")
    assert EvaluationSettings.load(tmp_path / "evaluation.toml") == settings
