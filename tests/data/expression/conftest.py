"""A small expression cohort and its files: 90 cells, 60 genes, 6 donors, counts."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

N_CELLS, N_GENES = 90, 60


@pytest.fixture
def adata() -> anndata.AnnData:
    """Counts with donors, diseases and cell types; genes have Ensembl ids and symbols."""
    rng = np.random.default_rng(3)
    counts = rng.poisson(rng.gamma(0.4, 2.0, size=(N_CELLS, N_GENES))).astype(np.float32)
    counts[:, 0] += 1
    counts[5, 7], counts[6, 8] = 300, 70_000
    donors = np.repeat([f"D{i}" for i in range(6)], N_CELLS // 6)
    obs = pd.DataFrame(
        {
            "donor_id": donors,
            "disease": pd.Categorical(np.where(donors < "D3", "healthy", "AML")),
            "cell_type": np.resize(["HSC", "Monocyte", "CD4 T cell"], N_CELLS),
            "batch": np.where(np.arange(N_CELLS) % 2 == 0, "b0", "b1"),
            "age": np.arange(N_CELLS, dtype=float),
        },
        index=[f"cell{i}" for i in range(N_CELLS)],
    )
    ids = [f"ENSG{i:011d}.{i % 5 + 1}" for i in range(N_GENES)]
    var = pd.DataFrame({"gene_symbol": [f"GENE{i}" for i in range(N_GENES)]}, index=ids)
    return anndata.AnnData(sparse.csr_matrix(counts), obs=obs, var=var)


@pytest.fixture
def h5ad(adata: anndata.AnnData, tmp_path: Path) -> Path:
    """The cohort as a plain h5ad."""
    path = tmp_path / "cohort.h5ad"
    adata.write_h5ad(path)
    return path
