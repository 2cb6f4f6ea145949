"""Each public layout, rebuilt with empty files: labels, patients, parts and finer labels are read as published."""

import pandas as pd
import pytest

from trilineage.core.errors import FormatError
from trilineage.data.sources.catalogue import read_source, sources
from trilineage.data.sources.source import COLUMNS


def lay(root, *paths: str, **tables: pd.DataFrame):
    """Make empty files below a root, and tables by their file names."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    for name, frame in tables.items():
        frame.to_csv(root / f"{name}.csv", index=False)
    return root


def told(frame: pd.DataFrame, *columns: str) -> dict[str, tuple[str, ...]]:
    """Return some columns by the name of the file."""
    names = frame["path"].str.rpartition("/")[2]
    return dict(zip(names, frame[list(columns)].itertuples(index=False, name=None), strict=True))


def test_acevedo_takes_the_finer_label_from_the_prefix(tmp_path):
    lay(
        tmp_path,
        "PBC_dataset_normal_DIB/neutrophil/SNE_1.jpg",
        "PBC_dataset_normal_DIB/ig/PMY_2.jpg",
        "other/x_3.jpg",
    )
    frame = read_source("acevedo", tmp_path)
    assert told(frame, "label", "subclass") == {
        "SNE_1.jpg": ("neutrophil", "SNE"),
        "PMY_2.jpg": ("ig", "PMY"),
    }


def test_acevedo_takes_split_and_acquisition_from_a_table_beside_the_folders(tmp_path):
    metadata = pd.DataFrame({"file": ["SNE_1.jpg"], "split": ["test"], "acquisition_group": ["B"]})
    lay(tmp_path, "images/neutrophil/SNE_1.jpg", "images/neutrophil/SNE_2.jpg", metadata=metadata)
    frame = read_source("acevedo", tmp_path)
    assert told(frame, "split", "site") == {"SNE_1.jpg": ("test", "B"), "SNE_2.jpg": ("", "")}


def test_c_nmc_reads_subjects_in_either_case_from_nested_folds(tmp_path):
    lay(
        tmp_path,
        "C-NMC_training_data/fold_0/fold_0/all/UID_11_1_2_all.bmp",
        "C-NMC_training_data/fold_1/hem/UID_H10_5_1_hem.bmp",
        "C-NMC_training_data/fold_2/hem/UID_h10_6_1_HEM.BMP",
    )
    frame = read_source("c_nmc", tmp_path)
    assert told(frame, "label", "patient", "fold", "split") == {
        "UID_11_1_2_all.bmp": ("all", "11", "fold_0", "train"),
        "UID_H10_5_1_hem.bmp": ("hem", "H10", "fold_1", "train"),
        "UID_h10_6_1_HEM.BMP": ("hem", "H10", "fold_2", "train"),
    }


def test_c_nmc_names_the_preliminary_part_by_its_table_and_leaves_the_final_one_unlabelled(tmp_path):
    names = pd.DataFrame({"Patient_ID": ["UID_57_29_1_all.bmp"], "new_names": ["1.bmp"], "labels": [1]})
    lay(
        tmp_path,
        "C-NMC_test_prelim_phase_data/C-NMC_test_prelim_phase_data/1.bmp",
        "C-NMC_test_final_phase_data/2.bmp",
        **{"C-NMC_test_prelim_phase_data_labels": names},
    )
    frame = read_source("c_nmc", tmp_path)
    assert told(frame, "label", "patient", "split") == {
        "1.bmp": ("all", "57", "valid"),
        "2.bmp": ("", "", "test"),
    }


def test_aml_hehr_takes_patients_from_folders_and_the_rest_from_the_table(tmp_path):
    metadata = pd.DataFrame(
        {"patient_id": ["AAA", "BBB"], "bag_label": ["NPM1", "control"], "age": ["61", "40"]}
    )
    lay(tmp_path, "data/NPM1/AAA/image_0.TIF", "data/control/BBB/image_1.tif", metadata=metadata)
    frame = read_source("aml_hehr", tmp_path)
    assert told(frame, "label", "patient", "age") == {
        "image_0.TIF": ("NPM1", "AAA", "61"),
        "image_1.tif": ("control", "BBB", "40"),
    }


def test_aml_hehr_refuses_a_table_that_contradicts_the_folders(tmp_path):
    metadata = pd.DataFrame({"patient_id": ["AAA"], "bag_label": ["control"]})
    lay(tmp_path, "data/NPM1/AAA/image_0.TIF", metadata=metadata)
    with pytest.raises(FormatError, match="disagree about a patient"):
        read_source("aml_hehr", tmp_path)


@pytest.mark.parametrize(
    ("name", "path", "label"),
    [
        ("lmu", "AML-Cytomorphology/MYO/MYO_0001.tiff", "MYO"),
        ("bmc", "BM/ABE/0001-1000/ABE_00001.jpg", "ABE"),
        ("mll23", "lymphocyte_large_granular/a.TIF", "lymphocyte_large_granular"),
        ("taleqani", "Original/Pre/WBC-Malignant-Pre-1.jpg", "Pre"),
        ("all_idb", "ALL_IDB2/img/Im131_0.tif", "0"),
        ("all_idb", "ALL_IDB1/im/Im001_1.jpg", "1"),
    ],
)
def test_the_class_comes_from_the_folder_or_the_name(name, path, label, tmp_path):
    frame = read_source(name, lay(tmp_path, path, f"__MACOSX/{path}", "readme/x.jpg"))
    assert frame["label"].tolist() == [label]
    assert frame["path"].tolist() == [path]


def test_taleqani_leaves_out_the_segmented_copies(tmp_path):
    lay(tmp_path, "Original/Pro/a.jpg", "Segmented/Pro/a.jpg")
    assert read_source("taleqani", tmp_path)["path"].tolist() == ["Original/Pro/a.jpg"]


def test_all_idb_tells_fields_from_crops(tmp_path):
    frame = read_source("all_idb", lay(tmp_path, "ALL_IDB1/Im001_1.jpg", "ALL_IDB2/Im002_0.tif"))
    assert told(frame, "version") == {"Im001_1.jpg": ("1",), "Im002_0.tif": ("2",)}


def test_wbcatt_joins_attributes_to_the_images_of_acevedo(tmp_path):
    from trilineage.data.sources.wbcatt import ATTRIBUTES

    def row(name):
        return pd.DataFrame([{"img_name": name, "label": "Neutrophil"} | dict.fromkeys(ATTRIBUTES, "x")])

    tables = {f"pbc_attr_v1_{part}": row(f"BNE_{part}.jpg") for part in ("train", "val", "test")}
    lay(tmp_path, "PBC_dataset_normal_DIB/neutrophil/BNE_val.jpg", **tables)
    frame = read_source("wbcatt", tmp_path)
    assert told(frame, "label", "split", "granularity") == {"BNE_val.jpg": ("Neutrophil", "valid", "x")}


def test_wbcatt_says_how_to_get_its_tables(tmp_path):
    with pytest.raises(FormatError, match="Fetch it: trilineage data get wbcatt"):
        read_source("wbcatt", lay(tmp_path, "neutrophil/BNE_1.jpg"))


def test_bloodmnist_says_where_in_the_file_each_image_is(tmp_path):
    import numpy as np

    arrays = {f"{part}_labels": np.array([[i], [7]]) for i, part in enumerate(("train", "val", "test"))}
    np.savez(tmp_path / "bloodmnist.npz", **arrays)
    frame = read_source("bloodmnist", tmp_path)
    assert frame["label"].tolist() == ["0", "7", "1", "7", "2", "7"]
    assert frame["split"].unique().tolist() == ["train", "valid", "test"]
    assert frame[["path", "array", "row"]].iloc[3].tolist() == ["bloodmnist.npz", "val_images", "1"]


@pytest.mark.parametrize("name", [source.name for source in sources()])
def test_another_folder_is_refused_with_the_layout_that_was_expected(name, tmp_path):
    with pytest.raises(FormatError):
        read_source(name, lay(tmp_path, "holiday/beach.jpg"))
    with pytest.raises(FormatError, match="no such f"):
        read_source(name, tmp_path / "nowhere")


def test_every_table_begins_with_the_same_columns_and_holds_text_only(tmp_path):
    frame = read_source("lmu", lay(tmp_path, "BAS/BAS_0001.tiff"))
    assert tuple(frame.columns) == COLUMNS
    assert frame.iloc[0].tolist() == ["BAS/BAS_0001.tiff", "BAS", "", "", ""]


def test_the_barcelona_folder_is_read_as_its_table_says(real_data):
    root = real_data / "images" / "pbc_barcelona"
    frame = read_source("acevedo", root)
    metadata = pd.read_csv(root / "metadata.csv").set_index("file")
    names = frame["path"].str.rpartition("/")[2]
    assert len(frame) == len(metadata) == 2640
    for column, given in (
        ("label", "class"),
        ("subclass", "subclass"),
        ("split", "split"),
        ("site", "acquisition_group"),
    ):
        assert frame[column].tolist() == metadata.loc[names, given].tolist()
