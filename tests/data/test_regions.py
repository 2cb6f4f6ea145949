"""Masks and boxes are read as they are, brought to the working size as their images are, and refused when damaged."""

import numpy as np
import pytest
from PIL import Image

from trilineage.core.errors import ColumnError, FormatError
from trilineage.data.images.decoding import fitted
from trilineage.data.regions import (
    Box,
    box_mask,
    estimated_nucleus,
    fit_mask,
    mask_files,
    read_boxes,
    read_mask,
    read_voc,
)

VOC = """<annotation><object><name>WBC</name><bndbox>
<xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>2</ymax></bndbox></object></annotation>"""


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P"])
def test_a_mask_of_any_kind_is_true_where_it_is_bright(tmp_path, mode):
    drawn = np.zeros((3, 4), dtype=np.uint8)
    drawn[1, 2] = 255
    Image.fromarray(drawn).convert(mode).save(tmp_path / "cell.png")
    np.testing.assert_array_equal(read_mask(mask_files(tmp_path)["cell"]), drawn > 0)


def test_a_mask_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "cell.png").write_bytes(b"not an image")
    with pytest.raises(FormatError, match=r"cell.png is no mask"):
        read_mask(tmp_path / "cell.png")


def test_a_folder_without_masks_or_with_two_of_a_stem_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no mask"):
        mask_files(tmp_path)
    for name in ("a.png", "a.bmp", "b.png"):
        (tmp_path / name).touch()
    with pytest.raises(FormatError, match="3 files with 2 stems"):
        mask_files(tmp_path)


def test_boxes_are_read_by_file(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        "file,object,x0,y0,x1,y1,other\na.jpg,WBC,0,1,2,3.5,x\nb.jpg,RBC,1,1,2,2,\na.jpg,RBC,0,0,9,9,\n"
    )
    found = read_boxes(path)
    assert found["a.jpg"] == (Box("WBC", 0.0, 1.0, 2.0, 3.5), Box("RBC", 0.0, 0.0, 9.0, 9.0))
    assert len(found["b.jpg"]) == 1


@pytest.mark.parametrize(
    "line", ["a,WBC,2,0,1,1", "a,WBC,0,0,x,1", "a,WBC,0,0,inf,1", "a,WBC,0,0,nan,1", "a,WBC,0"]
)
def test_a_line_that_is_no_box_is_named(tmp_path, line):
    path = tmp_path / "boxes.csv"
    path.write_text(f"file,object,x0,y0,x1,y1\n{line}\n")
    with pytest.raises(FormatError, match="line 2: this is no box"):
        read_boxes(path)


def test_a_table_without_the_columns_of_boxes_is_refused(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("file,object,x0,y0\n")
    with pytest.raises(ColumnError, match="Add x1, y1"):
        read_boxes(path)


def test_a_table_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no table of boxes"):
        read_boxes(tmp_path / "absent.csv")
    (tmp_path / "boxes.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(FormatError, match="no table of boxes"):
        read_boxes(tmp_path / "boxes.csv")


def test_the_boxes_of_voc_count_pixels_from_1_and_include_the_last(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(VOC)
    (box,) = read_voc(path)
    assert box == Box("WBC", 0.0, 1.0, 3.0, 2.0)
    assert box_mask([box], (3, 4)).astype(int).tolist() == [[0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    "doctype",
    ['<!DOCTYPE a [<!ENTITY x "lol"><!ENTITY y "&x;&x;">]>', '<!DOCTYPE a SYSTEM "file:///etc/hostname">'],
)
def test_xml_that_could_expand_or_fetch_is_refused(tmp_path, doctype, encoding):
    path = tmp_path / "a.xml"
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>{doctype}{VOC}'.encode(encoding))
    with pytest.raises(FormatError, match="document type"):
        read_voc(path)


@pytest.mark.parametrize(
    "text", ["", "<a>", "no xml", VOC.replace("</bndbox>", ""), VOC.replace("<xmax>3", "<xmax>0"), "&x;"]
)
def test_damaged_xml_is_refused(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"a\.xml"):
        read_voc(path)


def test_xml_of_many_megabytes_is_refused(tmp_path):
    path = tmp_path / "a.xml"
    path.write_bytes(b"<a>" + b" " * 6_000_000 + b"</a>")
    with pytest.raises(FormatError, match="too large"):
        read_voc(path)


def test_objects_are_chosen_and_boxes_end_at_the_image():
    boxes = [Box("WBC", -5.0, -5.0, 1.0, 1.0), Box("rbc", 2.0, 2.0, 99.0, 99.0)]
    assert box_mask(boxes, (4, 4), ["wbc"]).sum() == 1
    assert box_mask(boxes, (4, 4)).sum() == 1 + 4


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("shape", [(16, 16), (24, 12), (90, 60)])
def test_a_mask_goes_where_its_image_goes(fit, shape):
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:30, 20:50] = True
    image = Image.fromarray((mask * 255).astype(np.uint8)).convert("RGB")
    np.testing.assert_array_equal(fit_mask(mask, shape, fit), fitted(image, shape, fit)[..., 0] > 127)


def test_what_is_padded_lies_outside_the_mask():
    found = fit_mask(np.ones((10, 20), dtype=bool), (20, 20), "pad")
    assert found.sum() == 10 * 20
    assert found[5:15].all()


def test_the_dark_part_of_a_cell_is_its_nucleus():
    image = np.full((20, 20, 3), 230, dtype=np.uint8)
    cell, nucleus = np.zeros((2, 20, 20), dtype=bool)
    cell[4:16, 4:16], nucleus[6:12, 6:12] = True, True
    noise = np.random.default_rng(0).integers(-15, 15, (20, 20))
    image[..., 1] = np.where(nucleus, 60, np.where(cell, 170, 230)) + noise
    image[0, 0] = 0  # dark, but outside the cell
    np.testing.assert_array_equal(estimated_nucleus(image, cell), nucleus)


def test_a_cell_of_one_shade_and_an_empty_one_have_no_nucleus():
    image = np.full((5, 5, 3), 90, dtype=np.uint8)
    assert not estimated_nucleus(image, np.ones((5, 5), dtype=bool)).any()
    assert not estimated_nucleus(image, np.zeros((5, 5), dtype=bool)).any()
