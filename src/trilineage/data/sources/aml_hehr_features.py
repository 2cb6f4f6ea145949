"""Image features of AML-Hehr as they are shared: one HDF5 file per patient with `features` and `labels`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from trilineage.core.errors import CohortError, FormatError, MatrixError
from trilineage.data.expression.hdf5 import HDF5Node, open_hdf5
from trilineage.data.sources.aml_hehr import BAGS

LAYOUT = "<patient>.h5, or <label>/<patient>.h5, each with `features` (image, width) and `labels`"
SUFFIXES = (".h5", ".hdf5")


@dataclass(frozen=True)
class FeatureBags:
    """One vector per image (the CLS token), with the patient each image belongs to."""

    features: Float32[np.ndarray, "image width"]
    """Vectors of the images, patient by patient."""
    patients: Int64[np.ndarray, " image"]
    """Row of each image's patient in `names`."""
    names: Shaped[np.ndarray, " patient"]
    """Patients (str), sorted."""
    labels: Shaped[np.ndarray, " patient"]
    """Label of each patient (str); an empty text is unknown."""


def read_features(
    folder: Path | str, *, width: int | None = 768, label_names: Sequence[str] = BAGS
) -> FeatureBags:
    """Read the files of all patients below a folder.

    Parameters
    ----------
    folder
        Holds one file per patient; a folder named like a label may stand between.
    width
        Axes of the features that are expected (768 of DinoBloom-B); None takes what the first file has.
    label_names
        What the numbers in `labels` stand for; a folder's name counts where a file has no labels.

    Raises
    ------
    FormatError
        No file, a damaged or truncated one, or features of another width.
    MatrixError
        Features that are NaN or infinite.
    CohortError
        A patient without cells, with two files, or with several labels.
    """
    root = Path(folder)
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise FormatError(
            "no features of patients in this folder",
            seen=root,
            allowed=LAYOUT,
            remedy="give the unpacked folder",
        )
    paths.sort(key=lambda path: path.stem)
    _require_one_file_each(paths)
    parts, labels = [], []
    for path in paths:
        features, label = read_patient(path, width=width, label_names=label_names)
        width = features.shape[1]
        parts.append(features)
        labels.append(label)
    sizes = [len(part) for part in parts]
    return FeatureBags(
        np.concatenate(parts),
        np.repeat(np.arange(len(parts)), sizes).astype(np.int64),
        np.array([path.stem for path in paths], dtype=str),
        np.array(labels, dtype=str),
    )


def read_patient(
    path: Path | str, *, width: int | None = 768, label_names: Sequence[str] = BAGS
) -> tuple[Float32[np.ndarray, "image width"], str]:
    """Read one patient's file: its features and its label (an empty text where it says none).

    Raises
    ------
    FormatError, MatrixError, CohortError
        As `read_features`.
    """
    path = Path(path)
    with open_hdf5(path) as root:
        features = _features(root, path.name, width)
        found = root.child("labels").values() if "labels" in root.names() else np.zeros(0, np.int64)
    return features, _label(found, path, len(features), label_names)


def _features(root: HDF5Node, name: str, width: int | None) -> Float32[np.ndarray, "image width"]:
    array = root.child("features").array()
    shape = tuple(array.shape)
    if len(shape) != 2 or (width is not None and shape[1] != width) or array.dtype.kind != "f":
        raise FormatError(
            f"{name} holds features of another shape",
            seen=f"{array.dtype} {shape}",
            allowed=f"(image, {width}) of floating-point numbers",
            remedy="set the width of the encoder that made them, or take the features of the right encoder",
        )
    if shape[0] == 0:
        raise CohortError(
            f"the patient of {name} has no cells",
            seen="0 rows of features",
            allowed="at least 1 image per patient",
            remedy="leave this file out",
        )
    features = np.asarray(array[:]).astype(np.float32)
    is_bad = ~np.isfinite(features).all(axis=1)
    if is_bad.any():
        raise MatrixError(
            f"{int(is_bad.sum())} of {len(features)} images of {name} have features that are no numbers",
            seen=f"NaN or infinity in row {int(np.flatnonzero(is_bad)[0])}",
            allowed="finite numbers",
            remedy="make the features again in float32",
        )
    return features


def _label(found: np.ndarray, path: Path, n_images: int, label_names: Sequence[str]) -> str:
    values = np.unique(np.asarray(found).reshape(-1).astype(str)).tolist()
    if len(values) > 1 or np.size(found) not in (0, 1, n_images):
        raise CohortError(
            f"the images of {path.stem} do not carry one label",
            seen=f"{np.size(found)} labels for {n_images} images: {', '.join(values[:8])}",
            allowed="one label per patient",
            remedy="mend `labels` of this file",
        )
    if not values:
        known = {name.lower(): name for name in label_names}
        return known.get(path.parent.name.lower(), "")
    text = values[0]
    is_number = text.removesuffix(".0").isdigit()
    if is_number and int(float(text)) >= len(label_names):
        raise CohortError(
            f"the label of {path.stem} has no name",
            seen=text,
            allowed=f"0 to {len(label_names) - 1}: {', '.join(label_names)}",
            remedy="give the names of the labels (label_names)",
        )
    return label_names[int(float(text))] if is_number else text


def _require_one_file_each(paths: Sequence[Path]) -> None:
    names, counts = np.unique([path.stem for path in paths], return_counts=True)
    if (counts > 1).any():
        raise CohortError(
            "a patient has several files",
            seen=", ".join(names[counts > 1].tolist()[:8]),
            allowed="one file per patient",
            remedy="leave the copies out",
        )
