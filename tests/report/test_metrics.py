"""Metrics in the words of the page: every metric of the evaluation is named, directed and grouped."""

import pytest

from trilineage.data.taxonomy import load_taxonomy
from trilineage.evaluation.hierarchy.node_metrics import node_metrics
from trilineage.evaluation.hierarchy.relations import Relations
from trilineage.evaluation.hierarchy.settings import METRIC_NAMES
from trilineage.report.metrics import GROUPS, LEVELS, described, order_of

EVERY = node_metrics(Relations(load_taxonomy("leukemia")), METRIC_NAMES, (1, 3))


@pytest.mark.parametrize("metric", EVERY)
def test_a_metric_of_the_tree_has_its_own_words_a_group_and_a_meaning(metric):
    found = described(metric)
    assert "_" not in found.name
    assert found.group in GROUPS
    assert found.meaning


@pytest.mark.parametrize("metric", EVERY)
def test_the_page_and_the_evaluation_agree_which_way_is_better(metric):
    assert described(metric).is_lower_better == EVERY[metric].scale.is_lower_better


def test_levels_are_read_from_the_root_each_end_to_end_first():
    names = sorted((m for m in EVERY if described(m).group == LEVELS), key=order_of)
    assert names[:3] == [
        "accuracy_level_1_end_to_end",
        "accuracy_level_1_conditional",
        "accuracy_level_2_end_to_end",
    ]


def test_metrics_of_classes_come_first_and_unknown_ones_last_by_name():
    shuffled = ["zeta", "alpha", "clinical_cost", "leaf_accuracy", "auroc", "balanced_accuracy"]
    ordered = sorted(shuffled, key=order_of)
    assert ordered == ["balanced_accuracy", "auroc", "leaf_accuracy", "clinical_cost", "alpha", "zeta"]


def test_an_unknown_metric_is_called_by_its_name():
    assert described("share_of_luck").name == "share of luck"
