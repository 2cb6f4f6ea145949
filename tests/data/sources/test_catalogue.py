"""The catalogue of public data sets: complete entries, labels that exist, files that are fetched once."""

import zipfile

import pytest

from trilineage.core.errors import DownloadError, UnknownOptionError
from trilineage.data.download import Download
from trilineage.data.sources import catalogue
from trilineage.data.sources.catalogue import SOURCES, fetch_source, read_source, sources
from trilineage.data.taxonomy import load_taxonomy

CLASSES = {
    module.SOURCE.name: set(module.CLASSES)
    for module in (catalogue.acevedo, catalogue.bmc, catalogue.lmu, catalogue.mll23, catalogue.taleqani)
} | {"aml_hehr": set(catalogue.aml_hehr.BAGS), "c_nmc": {"all", "hem"}, "all_idb": {"0", "1"}}


def test_all_ten_sets_are_there():
    assert [len(SOURCES.names()), len(CLASSES)] == [10, 8]


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_an_entry_says_where_how_and_under_what_licence(source):
    assert source.homepage.startswith("https://")
    assert all((source.title, source.content, source.licence, source.citation, source.layout))
    assert source.files or source.how_to_get
    assert all(file.url.startswith("https://") for file in (*source.files, *source.extra_files))
    assert ("check at the homepage" in source.licence_note) != source.is_licence_verified


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.name)
def test_every_label_has_a_node_in_each_taxonomy_it_is_meant_for(source):
    for taxonomy in source.taxonomies:
        mapping = source.label_map(taxonomy)
        assert set(mapping.values()) - {""} <= set(load_taxonomy(taxonomy).nodes)
        assert CLASSES.get(source.name, set()) <= set(mapping)


def test_an_unknown_set_is_answered_with_the_nearest():
    with pytest.raises(UnknownOptionError, match="'bloodmnist' was meant"):
        read_source("bloodmist", ".")


def test_a_set_without_an_address_says_what_to_do(tmp_path):
    with pytest.raises(DownloadError, match="IBM Aspera Connect"):
        fetch_source("lmu", tmp_path)


@pytest.fixture
def served(monkeypatch):
    """Stand in for the network: every file is an archive of an archive with one image."""
    asked = []

    def fake(file, folder, settings=None):
        asked.append(file.name)
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / "inner.zip", "w") as archive:
            archive.writestr("basophil/1.TIF", b"x")
        with zipfile.ZipFile(folder / file.name, "w") as archive:
            archive.write(folder / "inner.zip", "basophil.zip")
        return Download(folder / file.name, "0" * 64, 1, is_verified=False)

    monkeypatch.setattr(catalogue, "download", fake)
    return asked


def test_archives_are_unpacked_beside_themselves_with_those_inside(served, tmp_path):
    folder, downloads = fetch_source("mll23", tmp_path / "here")
    assert folder == tmp_path / "here"
    assert [here.path.name for here in downloads] == served == ["mll23.zip"]
    assert read_source("mll23", folder)["label"].tolist() == ["basophil"]
    fetch_source("mll23", tmp_path / "here")  # again: what is unpacked stays


def test_the_cache_is_the_place_unless_another_is_named(served, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fetch_source("bloodmnist")[0] == tmp_path / "trilineage" / "bloodmnist"


def test_other_files_of_a_set_are_fetched_by_name(served, tmp_path):
    fetch_source("bloodmnist", tmp_path, files=("bloodmnist_64.npz",))
    assert served == ["bloodmnist_64.npz"]
    with pytest.raises(UnknownOptionError, match="no file of bloodmnist"):
        fetch_source("bloodmnist", tmp_path, files=("bloodmnist_65.npz",))
