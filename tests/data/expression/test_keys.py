"""Columns asked for and columns guessed."""

import pandas as pd
import pytest

from trilineage.core.errors import ColumnError
from trilineage.data.expression.keys import choose_keys


def test_columns_are_guessed_by_their_usual_names_and_reported():
    obs = pd.DataFrame(
        {"Donor ID": ["a", "b"], "Disease": ["x", "y"], "CellType": ["t", "t"], "study": ["s", "r"]}
    )
    chosen = choose_keys(obs, {})
    assert chosen.keys == {
        "label": "Disease",
        "patient": "Donor ID",
        "cell_type": "CellType",
        "site": "study",
    }
    assert any("'Donor ID' (guessed" in note for note in chosen.notes)


def test_a_diagnosis_that_varies_is_preferred():
    obs = pd.DataFrame({"disease": ["lupus", "lupus"], "condition": ["control", "stimulated"]})
    chosen = choose_keys(obs, {})
    assert chosen.keys["label"] == "condition"
    assert "also there: disease" in chosen.notes[0]


def test_a_constant_site_is_no_site():
    assert choose_keys(pd.DataFrame({"batch": ["one", "one"]}), {}).keys["site"] is None


def test_an_empty_column_is_not_guessed():
    assert (
        choose_keys(pd.DataFrame({"donor": [None, None], "patient": ["a", "b"]}), {}).keys["patient"]
        == "patient"
    )


def test_a_column_asked_for_is_taken():
    obs = pd.DataFrame({"disease": ["x", "y"], "subtype": ["a", "b"]})
    assert choose_keys(obs, {"label": "subtype"}).keys["label"] == "subtype"


def test_a_missing_column_is_refused_with_the_columns_there_are_and_the_nearest():
    obs = pd.DataFrame({"diseases": ["x"], "donor": ["a"]})
    with pytest.raises(
        ColumnError, match=r"'disease' \(label\).*allowed: diseases, donor.*Did you mean 'diseases'"
    ):
        choose_keys(obs, {"label": "disease"})
