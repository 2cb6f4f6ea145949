"""Settings that cannot be drawn are refused in words, before anything is drawn."""

import pytest

from trilineage.core.errors import ConfigError
from trilineage.data.simulate.smears.settings import SmearSettings


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"diagnoses": ("normal", "AMLL")}, "perhaps 'AML' was meant"),
        ({"diagnoses": ("normal", "healthy")}, "each diagnosis once"),
        ({"diagnoses": ()}, "at least one"),
        ({"cell_types": ("monocite",)}, "perhaps 'monocyte' was meant"),
        ({"cell_types": ("monocyte", "monocyte")}, "named twice"),
        ({"size": 28, "field_um": 90.0}, "change size or field_um"),
        ({"size": 2000}, "0.02 to 1.25 um"),
        ({"jpeg_quality": (95, 80)}, "ascending"),
        ({"product": "fields", "field_um": 40.0}, "larger field_um"),
        ({"product": "fields", "field_um": 90.0, "label": "cell_type"}, "no single cell type"),
        ({"n_sites": 1, "site_confounding": 0.5}, "n_sites of 2 or more"),
        ({"label": "cell_type", "cell_types": ("monocyte", "smudge_cell")}, "cannot be a class"),
        ({"size": 8}, "size"),
        ({"field_um": 12.0}, "field_um"),
        ({"signal": 1.5}, "signal"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, words):
    with pytest.raises(ConfigError, match=f"(?i){words}"):
        SmearSettings(**options)


def test_pixels_of_the_canvas_are_fine_however_small_the_image():
    for size in (28, 96, 512):
        settings = SmearSettings(size=size)
        assert settings.um_per_pixel / settings.canvas_factor <= 0.14


def test_the_settings_survive_their_file(tmp_path):
    settings = SmearSettings(cell_types=("monocyte",), size=64)
    settings.save(tmp_path / "settings.toml")
    assert SmearSettings.load(tmp_path / "settings.toml") == settings
