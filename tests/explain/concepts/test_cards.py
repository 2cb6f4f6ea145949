"""Cards: what is known of a latent as plain values, nothing invented where nothing is known."""

import json

import numpy as np
import pytest

from trilineage.core.errors import ConfigError
from trilineage.core.manifest import to_json
from trilineage.evaluation.concepts.association import AssociationTable
from trilineage.evaluation.concepts.references import References
from trilineage.evaluation.concepts.statistics import ConceptStatistics
from trilineage.explain.concepts.cards import CardDeck, CardMaterial, latents_to_show, make_cards


@pytest.fixture
def statistics():
    """Four latents of two classes: strong, strong and frequent, weak, dead."""
    return ConceptStatistics(
        n_images=10,
        counts=np.array([3, 8, 2, 0]),
        frequency=np.array([0.3, 0.8, 0.2, 0.0]),
        mean_activation=np.array([0.5, 0.1, 1e-5, 0.0]),
        alive=np.array([True, True, True, False]),
        strong=np.array([True, True, False, False]),
        class_counts=np.array([[3, 0], [4, 4], [1, 1], [0, 0]]),
        class_images=np.array([5, 5]),
        class_shares=np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.0, 0.0]]),
        entropy=np.array([0.0, 0.69, 0.69, 0.0]),
        relative_entropy=np.array([0.0, 1.0, 1.0, 0.0]),
    )


@pytest.fixture
def associations():
    """The first latent finds class a and red granules; the second is tested and finds nothing."""
    shape = (4, 3)
    auroc, q_value = np.full(shape, 0.5), np.ones(shape)
    auroc[0], q_value[0] = [0.9, 0.2, 0.95], [0.001, 0.001, 0.002]
    tested = np.zeros(shape, bool)
    tested[:2] = True
    counts = np.array([5, 5, 4])
    names = ("class=a", "class=b", "granules=red")
    return AssociationTable(names, auroc, np.zeros(shape), q_value, q_value, tested, counts, counts, counts)


@pytest.fixture
def material(statistics, associations):
    images = np.array([[4, 2], [0, -1], [-1, -1], [-1, -1]])
    return CardMaterial(
        statistics,
        References(
            images,
            np.float32([[0.9, 0.8], [0.2, 0], [0, 0], [0, 0]]),
            np.int32([[7, -1], [3, -1], [-1, -1], [-1, -1]]),
        ),
        classes=("a", "b"),
        images=np.array([f"{n}.png" for n in range(5)]),
        labels=np.array(["a", "b", "a", "b", "a"]),
        patients=np.array(["p", "p", "q", "q", "r"]),
        associations=associations,
        figures={"stability": np.array([0.9, np.nan, 0.1, 0.0])},
        tests={
            "association": np.array([True, False, False, False]),
            "stability": np.array([1.0, np.nan, 0, 0]),
        },
        names={0: ("red granules, a", True, ("AUROC 0.95",))},
    )


def test_strong_latents_are_shown_those_that_find_something_first(statistics, associations):
    assert latents_to_show(statistics).tolist() == [1, 0]
    assert latents_to_show(statistics, associations).tolist() == [0, 1]
    assert latents_to_show(statistics, associations, limit=1).tolist() == [0]


def test_classes_and_attributes_are_told_apart_discoveries_first(material):
    (card,) = make_cards([0], material)
    assert [(one.target, one.is_significant) for one in card.classes] == [("a", True), ("b", False)]
    assert [one.target for one in card.attributes] == ["granules=red"]
    assert card.shares == {"a": 1.0}


def test_references_carry_image_patient_class_and_patch(material):
    first, second = make_cards([0, 1], material)
    assert [(one.image, one.patient, one.label, one.patch) for one in first.references] == [
        ("4.png", "r", "a", 7),
        ("2.png", "q", "a", -1),
    ]
    assert len(second.references) == 1


def test_what_is_not_known_is_none_and_a_name_is_a_draft_until_confirmed(material):
    first, second = make_cards([0, 1], material)
    assert (first.name, first.is_draft) == ("red granules, a", True)
    assert second.name == ""
    assert second.figures == {"stability": None}
    assert second.tests == {"association": False, "stability": None}


def test_cards_know_their_place_on_the_sheets(material):
    cards = make_cards([1, 0, 2], material, full_colours=np.array([2.0, 3.0, 0.0]), cards_per_sheet=2)
    assert [(card.sheet, card.row) for card in cards] == [(0, 0), (0, 1), (1, 0)]
    assert cards[1].full_colour == 3.0
    assert make_cards([1], material)[0].sheet == -1


def test_a_deck_is_strict_json(material):
    deck = CardDeck(make_cards([0, 1], material), ("a", "b"))
    found = json.loads(to_json(deck.to_dict()))
    assert found["kind"] == "trilineage concept cards"
    assert found["cards"][0]["references"][0]["image"] == "4.png"


def test_latents_that_do_not_exist_are_refused(material):
    with pytest.raises(ConfigError, match="0 to 3"):
        make_cards([4], material)
