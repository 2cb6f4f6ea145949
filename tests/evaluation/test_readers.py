"""Tables of readers are read from both layouts, matched by image, and refused where they cannot be read."""

import numpy as np
import pytest

from trilineage.core.errors import ColumnError, FormatError
from trilineage.evaluation.readers import ReaderTable, read_attribute_tables, read_reader_table

LONG = "image,reader,label,patient\na,Kim,blast,p\nb,Kim,normal,q\na,Lee,blast,p\nb,Lee,blast,q\nc,Lee,normal,q\n"
WIDE = "file,Kim,Lee,patient\na,blast,blast,p\nb,normal,blast,q\nc,,normal,q\n"


@pytest.fixture
def written(tmp_path):
    """Return a writer of CSV files."""

    def write(text: str, name: str = "table.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.mark.parametrize("text", [LONG, WIDE])
def test_both_layouts_say_the_same(written, text):
    table = read_reader_table(written(text))
    assert (table.readers, table.categories) == (("Kim", "Lee"), ("blast", "normal"))
    assert table.items.tolist() == ["a", "b", "c"]
    assert table.codes.tolist() == [[0, 0], [1, 0], [-1, 1]]
    assert table.patients.tolist() == ["p", "q", "q"]


def test_columns_can_be_named(written):
    path = written("cell;ignored\n".replace(";", ",") + "a,1\n")
    table = read_reader_table(path, item="cell", readers=("ignored",))
    assert (table.readers, table.patients) == (("ignored",), None)


def test_a_model_joins_the_readers():
    table = ReaderTable.of(["a", "b"], {"Kim": ["x", "y"]}).with_reader("model", ["b", "z"], ["x", "x"])
    assert table.labels_of("model").tolist() == ["", "x"]
    assert table.labels_of("Kim").tolist() == ["x", "y"]


def test_labels_are_translated_to_what_they_mean():
    table = ReaderTable.of(["a", "b"], {"Kim": ["Blast", ""], "Lee": ["blast", "blast"]}, patients=["p", "q"])
    renamed = table.renamed(str.lower)
    assert (renamed.categories, renamed.codes.tolist()) == (("blast",), [[0, 0], [-1, 0]])
    assert renamed.patients.tolist() == ["p", "q"]


def test_categories_that_are_given_keep_their_order():
    known, names = {"b1": "blast", "n1": "normal"}, ("normal", "leukemia", "blast")
    table = ReaderTable.of(["a", "b"], {"Kim": ["b1", "n1"]}, patients=["p", "q"]).renamed(
        known.__getitem__, names
    )
    assert (table.categories, table.codes.tolist()) == (names, [[2], [0]])
    model = table.with_reader("model", table.items, ["leukemia", ""])
    assert (model.categories, model.codes.tolist()) == (names, [[2, 1], [0, -1]])
    assert table.with_reader("model", table.items, ["reactive", ""]).categories == (
        "blast",
        "normal",
        "reactive",
    )
    assert model.subset(np.array([1])).labels_of("Kim").tolist() == ["normal"]
    assert model.subset(np.array([1])).patients.tolist() == ["q"]


def test_attributes_of_two_annotations_are_paired_by_image(written):
    first = written("file,class,shape,patient\na,x,round,p\nb,y,oval,q\nc,x,round,q\n", "first.csv")
    second = written("img_name,shape,class,path\nb,round,y,1\na,round,x,2\n", "second.csv")
    tables = read_attribute_tables(first, second, patient="patient")
    assert set(tables) == {"class", "shape"}
    assert tables["shape"].items.tolist() == ["a", "b"]
    assert tables["shape"].labels_of("second").tolist() == ["round", "round"]
    assert tables["shape"].patients.tolist() == ["p", "q"]


def test_annotations_of_other_images_have_nothing_in_common(written):
    first, second = written("file,shape\na,x\n", "1.csv"), written("file,shape\nb,x\n", "2.csv")
    with pytest.raises(ColumnError, match="nothing in common; seen: 0 images"):
        read_attribute_tables(first, second)


def test_an_attribute_that_is_missing_is_named(written):
    first, second = written("file,shape\na,x\n", "1.csv"), written("file,shape\na,x\n", "2.csv")
    with pytest.raises(ColumnError, match="no column 'shapes'.*Perhaps 'shape'"):
        read_attribute_tables(first, second, attributes=("shapes",))


@pytest.mark.parametrize(
    "text", ["image,reader,label\na,Kim,x\na,Kim,y\n", "image,Kim\na,x\na,y\n"], ids=["long", "wide"]
)
def test_an_image_labelled_twice_by_one_reader_is_refused(written, text):
    with pytest.raises(FormatError, match="labelled twice.*'a'"):
        read_reader_table(written(text))


def test_a_table_without_images_is_refused(written):
    with pytest.raises(ColumnError, match="no column of the image"):
        read_reader_table(written("Kim,Lee\nx,y\n"))


def test_a_column_that_does_not_exist_is_answered_with_the_nearest(written):
    with pytest.raises(ColumnError, match="no column 'Kin'.*Perhaps 'Kim' was meant"):
        read_reader_table(written(WIDE), readers=("Kin",))


@pytest.mark.parametrize("text", ["", "image,Kim\n"])
def test_an_empty_table_is_refused(written, text):
    with pytest.raises(FormatError, match="without a row"):
        read_reader_table(written(text))


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FormatError, match="cannot be read"):
        read_reader_table(tmp_path / "none.csv")


def test_columns_that_are_no_labels_are_refused(written):
    rows = "".join(f"{number},value {number}\n" for number in range(1100))
    with pytest.raises(ColumnError, match="no labels; seen: 1100"):
        read_reader_table(written("image,Kim\n" + rows))
