"""Options of scores on a taxonomy are checked when they are made."""

import pytest

from trilineage.core.errors import ConfigError, UnknownOptionError
from trilineage.evaluation.hierarchy.decoding import RULES
from trilineage.evaluation.hierarchy.settings import METRIC_NAMES, NodeEvaluationSettings


def test_every_metric_is_reported_by_default():
    assert NodeEvaluationSettings().metrics == METRIC_NAMES


def test_an_unknown_metric_is_answered_with_the_nearest():
    with pytest.raises(UnknownOptionError, match="no metric 'hierarchical_f2'.*Perhaps 'hierarchical_f1'"):
        NodeEvaluationSettings(metrics=("hierarchical_f2",))


def test_the_rules_that_can_be_set_are_those_that_exist():
    assert all(NodeEvaluationSettings(rule=rule).rule == rule for rule in RULES.names())
    with pytest.raises(ConfigError, match="rule"):
        NodeEvaluationSettings(rule="coin")


def test_settings_survive_toml(tmp_path):
    settings = NodeEvaluationSettings(rule="expected_cost", top_k=(2,), metrics=("kappa",))
    settings.save(tmp_path / "nodes.toml")
    assert NodeEvaluationSettings.load(tmp_path / "nodes.toml") == settings
