"""The stains of sites are compared where there are patients to compare; one lone patient stops no fit."""

import csv

import pytest
from smears import write_smears

from trilineage.pipelines._images.material import gather
from trilineage.pipelines._images.trust import stain_table
from trilineage.pipelines.images import Config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_smears(
        tmp_path_factory.mktemp("sites") / "set", n_patients=3, n_images=1, labels=("ALL", "AML")
    )


@pytest.mark.parametrize(
    ("sites", "compared"),
    [
        ("north north south south east east", ["east", "north", "south"]),
        ("north north south south south east", ["north", "south"]),
        ("north north north north north east", None),
        ("north north north north north north", None),
    ],
)
def test_only_sites_of_two_patients_or_more_are_compared(folder, sites, compared, caplog):
    with open(folder / "manifest.csv", newline="") as stream:
        rows = [row | {"site": site} for row, site in zip(csv.DictReader(stream), sites.split(), strict=True)]
    with open(folder / "sites.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    config = Config.load(None, {"data.path": str(folder / "sites.csv"), "data.size": 16})
    with caplog.at_level("INFO"):
        found = stain_table(gather(config), config)
    assert (found and [row["site"] for row in found["sites"]]) == compared
    assert ("stains: east left out" in caplog.text) == (sites.count("east") == 1)
