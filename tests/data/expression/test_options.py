"""Options of an expression file: refused where they cannot work."""

import pytest

from trilineage.core.errors import ConfigError, UnknownOptionError
from trilineage.data.expression.options import ExpressionSettings


@pytest.mark.parametrize(
    "text", ["state=tpm", "backed=maybe", "block_size=0", "target_sum=-1", "memory_limit_gb=0"]
)
def test_values_that_cannot_work_are_refused_by_name(text):
    with pytest.raises(ConfigError, match=text.split("=")[0]):
        ExpressionSettings.load(overrides=[text])


def test_an_unknown_option_names_the_nearest():
    with pytest.raises(UnknownOptionError, match="patient_key"):
        ExpressionSettings.load(overrides=["patent_key=donor"])


def test_options_survive_a_file(tmp_path):
    settings = ExpressionSettings(path="a.h5ad", label_key="disease", target_sum=1e6)
    settings.save(tmp_path / "config.toml")
    assert ExpressionSettings.load(tmp_path / "config.toml") == settings
