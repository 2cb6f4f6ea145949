"""The table of names: what it gives, what it refuses."""

import pytest

from trilineage.core.errors import UnknownOptionError
from trilineage.core.registry import Registry, nearest_remedy


@pytest.fixture
def classifiers():
    registry = Registry("classifier")
    registry.register("transformer")(object)
    registry.register("linear")(int)
    return registry


def test_names_come_in_the_order_of_registration(classifiers):
    assert classifiers.names() == ("transformer", "linear")
    assert classifiers.get("linear") is int


def test_register_hands_back_what_it_was_given():
    assert Registry("shape").register("round")(min) is min


def test_an_unknown_name_is_answered_with_the_known_ones_and_the_nearest(classifiers):
    with pytest.raises(UnknownOptionError, match="transformer, linear.*'transformer' was meant") as caught:
        classifiers.get("transfromer")
    assert "classifier" in str(caught.value)


def test_a_name_taken_twice_is_a_mistake_of_the_programmer(classifiers):
    with pytest.raises(ValueError, match="registered twice"):
        classifiers.register("linear")


def test_case_does_not_hide_the_nearest_name():
    assert "'Monocyte'" in nearest_remedy("monocytes", ("HSC", "Monocyte"))


def test_nothing_near_leaves_the_choice_open():
    assert nearest_remedy("qqq", ("HSC",)) == "choose one of these"
