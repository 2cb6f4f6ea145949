"""The streamed file holds the same cells as the simulation in memory."""

import anndata
import numpy as np
import pandas as pd
import pytest

from trilineage.core.errors import StorageError
from trilineage.data.simulate.expression import simulate_expression
from trilineage.data.simulate.settings import SimulationSettings
from trilineage.data.simulate.truth import read_truth
from trilineage.data.simulate.write import simulate_to_h5ad

SMALL = SimulationSettings(n_classes=3, n_donors_per_class=3, n_cells_per_donor=20, n_genes=150)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "blood.h5ad"
    simulate_to_h5ad(SMALL, path)
    return path


def test_the_file_equals_the_simulation_in_memory(written):
    found, expected = anndata.read_h5ad(written), simulate_expression(SMALL).to_anndata()
    assert (found.X != expected.X).nnz == 0
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    pd.testing.assert_frame_equal(found.var, expected.var)


def test_the_file_opens_backed(written):
    backed = anndata.read_h5ad(written, backed="r")
    assert backed.shape == (180, 150)
    backed.file.close()


def test_the_truth_is_in_the_file(written):
    truth = read_truth(written)
    assert truth.classes == ("healthy", "AML", "ALL")
    assert np.count_nonzero(truth.effects("AML")) > 0
    assert np.count_nonzero(truth.effects("healthy")) == 0


def test_the_same_seed_gives_the_same_bytes(written, tmp_path):
    simulate_to_h5ad(SMALL, tmp_path / "again.h5ad")
    assert (tmp_path / "again.h5ad").read_bytes() == written.read_bytes()


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    from trilineage.data.simulate import write

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "_append", full)
    with pytest.raises((StorageError, OSError)):
        simulate_to_h5ad(SMALL, tmp_path / "never.h5ad")
    assert list(tmp_path.iterdir()) == []
