"""Draft names say the strongest findings; names that people give replace them and are checked at the door."""

import numpy as np
import pytest

from trilineage.core.errors import ColumnError, DataError, FormatError
from trilineage.evaluation.concepts.association import AssociationTable
from trilineage.evaluation.concepts.naming import (
    ConceptName,
    GivenName,
    NamingSettings,
    draft_names,
    names_csv,
    read_names_csv,
    with_given_names,
)


def found(areas: dict[str, float], *, q_value: float = 1e-8) -> AssociationTable:
    """Return a table of one latent with these areas, all as significant."""
    row, n = np.array([list(areas.values())]), len(areas)
    q_values = np.full((1, n), q_value)
    counts = np.full(n, 30)
    tested = np.ones((1, n), dtype=bool)
    return AssociationTable(
        tuple(areas), row, 0.01 + 0 * row, q_values, q_values, tested, counts, counts, counts
    )


def name_of(areas: dict[str, float], **options) -> str:
    return draft_names(found(areas), **options)[0].name


def test_a_name_says_the_strongest_attributes_and_the_class_and_stays_a_draft():
    areas = {
        "class=eosinophil": 0.9,
        "granule_colour=purple": 0.95,
        "granule_colour=red": 0.94,
        "cell_size=big": 0.6,
    }
    (draft,) = draft_names(found(areas)).values()
    assert draft.name == "purple-red granules, eosinophil"
    assert draft.is_draft
    assert draft.reasons[0] == "granule_colour=purple: AUROC 0.95, q = 1e-08, 30 images"
    assert len(draft.reasons) == 3


@pytest.mark.parametrize(
    ("areas", "name"),
    [
        (
            {"granule_type=coarse": 0.9, "granule_colour=purple": 0.8, "granularity=yes": 0.95},
            "coarse purple granules",
        ),
        ({"granularity=yes": 0.9}, "granules"),
        ({"granularity=no": 0.9, "granule_type=nil": 0.85, "granule_colour=red": 0.75}, "no granules"),
        ({"granule_type=small": 0.9, "granule_colour=nil": 0.8}, "small granules"),
        ({"nucleus_shape=segmented-bilobed": 0.9}, "bilobed nucleus"),
        ({"chromatin_density=loosely": 0.9, "cytoplasm_vacuole=yes": 0.8}, "loose chromatin, vacuoles"),
        ({"class=band_cell": 0.9, "class=segmented": 0.89, "class=blast": 0.88}, "band cell or segmented"),
        ({"class=a": 0.95, "class=b": 0.85}, "a"),
        ({"auer_rods=yes": 0.9}, "auer rods"),
        (
            {"cell_size=big": 0.99, "nucleus_shape=irregular": 0.9, "granularity=yes": 0.8},
            "big cell, irregular nucleus",
        ),
    ],
)
def test_phrases(areas, name):
    assert name_of(areas) == name


def test_words_for_classes_and_attributes_can_be_given():
    areas = {"class=MMZ": 0.9, "rods=many": 0.8}
    assert (
        name_of(areas, titles={"MMZ": "metamyelocyte"}, nouns={"rods": "Auer rods"})
        == "many Auer rods, metamyelocyte"
    )


@pytest.mark.parametrize(
    "table", [found({"class=a": 0.65}), found({"class=a": 0.9}, q_value=0.2), found({"class=a": 0.1})]
)
def test_without_a_finding_there_is_no_name_and_the_reason_says_so(table):
    (draft,) = draft_names(table).values()
    assert draft.name == ""
    assert draft.reasons == (
        "no class or attribute with an AUROC of 0.7 or more at a false discovery rate of 0.05",
    )


def test_options_decide_what_is_said():
    areas = {"class=a": 0.65, "granularity=yes": 0.9}
    assert name_of(areas, settings=NamingSettings(min_auroc=0.6, n_phrases=0)) == "a"


def test_given_names_replace_drafts_and_are_none():
    drafts = {3: ConceptName("granules", True, ("r",)), 5: ConceptName("", True, ())}
    names = with_given_names(
        drafts, {5: GivenName("Auer rods", "Kim", "also two artefacts"), 1: GivenName("stain")}
    )
    assert list(names) == [1, 3, 5]
    assert names[5] == ConceptName("Auer rods", False, ("named by Kim", "also two artefacts"))
    assert names[1].reasons == ("named by a reviewer",)
    assert names[3].is_draft


def test_drafts_are_written_corrected_and_read(tmp_path):
    path = tmp_path / "names.csv"
    text = names_csv(
        {3: ConceptName("purple-red granules, eosinophil", True, ("a", "b")), 5: ConceptName("", True, ())}
    )
    path.write_text(text.replace("purple-red", "orange"), encoding="utf-8-sig")
    assert read_names_csv(path, 10) == {3: GivenName("orange granules, eosinophil", "", "a; b")}


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("latent,name\n10,x\n", DataError, "line 2: there is no such latent; seen: 10; allowed: 0 to 9"),
        ("latent,name\n-1,x\n", DataError, "no such latent"),
        ("latent,name\nx,x\n", DataError, "no such latent"),
        ("latent,name\n1,x\n1,y\n", FormatError, "line 3: latent 1 is named twice; seen: 'x' and 'y'"),
        ("latent,name\n1, \n", FormatError, "line 2: latent 1 has an empty name"),
        ("latent,name\n1\n", FormatError, "empty name"),
        ("latent,name\n1,a\x07b\n", FormatError, "cannot be shown"),
        (f"latent,name\n1,{'a' * 121}\n", FormatError, "at most 120 characters"),
        ("latent,title\n1,x\n", ColumnError, "no column 'name'"),
        ("", ColumnError, "no column 'latent'; seen: no header"),
        ("latent,name\n\xff", FormatError, "cannot be read"),
    ],
)
def test_names_that_cannot_be_used_are_refused(tmp_path, text, error, message):
    path = tmp_path / "names.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(error, match=message):
        read_names_csv(path, 10)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FormatError, match="check the path|Check the path"):
        read_names_csv(tmp_path / "none.csv", 10)
