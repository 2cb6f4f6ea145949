"""Maps are enlarged about the centres of their cells, stretched, written, and read as they were."""

import io

import numpy as np
import pytest
import torch

from trilineage.core.errors import ArtifactError, NewerVersionError
from trilineage.explain.saliency import maps as maps_module
from trilineage.explain.saliency.maps import SaliencyMaps, enlarged, unit_range
from trilineage.explain.saliency.targets import NodeTarget, Targets


@pytest.fixture
def maps() -> SaliencyMaps:
    targets = Targets.from_rows([[NodeTarget(0, (1,)), NodeTarget(1)], [NodeTarget(1)]], ("ALL", "AML"))
    values = np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1)
    values[1, 1] = np.nan
    return SaliencyMaps(values, targets, ("a.png", "b.png"), "gradcam", (4, 2))


def test_maps_are_read_as_they_were_written(maps, tmp_path):
    maps.save(tmp_path / "maps.npz")
    found = SaliencyMaps.load(tmp_path / "maps.npz")
    np.testing.assert_array_equal(found.values, maps.values)
    assert (found.images, found.method, found.image_size) == (maps.images, maps.method, maps.image_size)
    assert found.targets.label(0, 0) == "ALL against AML"


def test_maps_of_a_newer_version_are_refused(maps, monkeypatch):
    monkeypatch.setattr(maps_module, "VERSION", 2)
    newer = maps.to_bytes()
    monkeypatch.undo()
    with pytest.raises(NewerVersionError, match="version 2"):
        SaliencyMaps.from_bytes(newer)


def npz(**arrays) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 cut short",
        npz(values=np.zeros(3)),
        npz(about=np.array("no json")),
        npz(about=np.array('{"kind": "table"}')),
        npz(about=np.array('{"kind": "saliency maps", "version": 1}')),
        npz(about=np.array([{}], dtype=object)),
    ],
)
def test_what_holds_no_maps_is_refused(data):
    with pytest.raises(ArtifactError, match="no saliency maps"):
        SaliencyMaps.from_bytes(data)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="absent.npz"):
        SaliencyMaps.load(tmp_path / "absent.npz")


def test_values_between_the_centres_of_cells_are_interpolated(maps):
    found = maps.at_image_size(0)[0]
    np.testing.assert_allclose(found[:, 0], [0.0, 0.25, 0.75, 1.0])
    assert np.isnan(maps.at_image_size(1)[1]).all()
    assert enlarged(torch.ones(1, 1, 3, 3), (7, 5)).shape == (1, 1, 7, 5)


def test_a_stretched_map_goes_from_0_to_1_and_a_constant_one_is_0():
    found = unit_range(torch.tensor([[[2.0, 4.0, 3.0]], [[5.0, 5.0, 5.0]]]))
    assert found.tolist() == [[[0.0, 1.0, 0.5]], [[0.0, 0.0, 0.0]]]
