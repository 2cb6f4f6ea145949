"""Configurations: what loads, what is refused and how it is explained, and that saving is lossless."""

import tomllib
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, model_validator

from trilineage.core.config import Settings, describe, flatten
from trilineage.core.errors import ConfigError, StorageError, UnknownOptionError


class Encoder(Settings):
    n_latent: int = Field(default=8, ge=1)
    """Width of the latent."""
    hidden: tuple[int, ...] = (4, 2)
    """Widths of the hidden layers."""
    clip_norm: float | None = 1.0
    """Largest gradient norm; none for no limit."""


class Recipe(Settings):
    encoder: Encoder = Encoder()
    """The encoder."""
    loss: Literal["squared_error", "nb"] = "squared_error"
    """Loss."""
    label: str | None = None
    """Label column."""
    population: tuple[str, ...] = ()
    """Populations."""
    path: Path | None = None
    """Input."""
    weights: dict[str, float] = {}
    """Weight per class."""
    rate: float = 0.1
    """Learning rate."""

    @model_validator(mode="after")
    def _refuse_impossible(self) -> "Recipe":
        if self.loss == "nb" and self.rate > 1:
            raise ConfigError("loss 'nb' needs a rate of at most 1", seen=self.rate)
        return self


def test_a_file_and_its_overrides_give_one_configuration(tmp_path):
    path = tmp_path / "demo.toml"
    path.write_text('loss = "nb"\n[encoder]\nn_latent = 16\n')
    config = Recipe.load(path, ["encoder.n_latent=32", "rate=1e-3"])
    assert (config.loss, config.encoder.n_latent, config.rate) == ("nb", 32, 0.001)


def test_texts_values_and_keywords_are_three_faces_of_the_same_configuration():
    from_texts = Recipe.load(None, ["encoder.hidden=128,256", "population=HSC"])
    from_values = Recipe.load(None, {"encoder.hidden": (128, 256), "population": ["HSC"]})
    assert from_texts == from_values == Recipe(encoder={"hidden": (128, 256)}, population=("HSC",))


class Study(Settings):
    """A configuration whose group has defaults of its own."""

    encoder: Encoder = Encoder(n_latent=32, hidden=(64,))
    """The encoder."""


def test_setting_one_option_of_a_group_leaves_the_others_at_the_defaults_of_the_group(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text("[encoder]\nclip_norm = 2.0\n")
    assert Study.load(path).encoder == Encoder(n_latent=32, hidden=(64,), clip_norm=2.0)
    assert Study.load(None, ["encoder.n_latent=4"]).encoder == Encoder(n_latent=4, hidden=(64,))


class Unclipped(Settings):
    """A configuration whose group has None where its class has a number, and the other way round."""

    encoder: Encoder = Encoder(clip_norm=None)
    """The encoder."""


def test_a_group_whose_defaults_are_its_own_is_saved_without_loss():
    for config in (Unclipped(), Unclipped(encoder=Encoder(clip_norm=3.0))):
        assert Unclipped.load(None, tomllib.loads(config.to_toml())) == config


def test_the_description_of_a_group_shows_the_defaults_it_has_there():
    shown = {row.key: row.default for row in describe(Study)}
    assert (shown["encoder.n_latent"], shown["encoder.clip_norm"]) == (32, 1.0)


def test_overrides_may_be_whole_groups():
    assert Recipe().replace(encoder=Encoder(n_latent=3)).encoder.n_latent == 3
    assert Recipe.load(None, {"encoder": {"n_latent": 3}}).encoder.n_latent == 3


def test_a_text_for_a_field_that_takes_none_is_read_as_on_the_command_line():
    assert Recipe.load(None, {"encoder.hidden": "[3, 4]"}).encoder.hidden == (3, 4)
    assert Recipe.load(None, {"label": "[3, 4]"}).label == "[3, 4]"


def test_free_keys_are_allowed_where_a_field_is_a_dictionary():
    assert Recipe.load(None, ["weights.AML=2"]).weights == {"AML": 2.0}


def test_replace_leaves_the_original_alone():
    config = Recipe()
    other = config.replace(**{"encoder.n_latent": 9})
    assert (config.encoder.n_latent, other.encoder.n_latent) == (8, 9)


def test_a_configuration_cannot_be_changed_in_place():
    with pytest.raises(ConfigError, match="cannot be used"):
        Recipe(rate="x")
    with pytest.raises(ValueError, match="frozen"):
        Recipe().rate = 2.0


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("encoder.n_latents=3", "'encoder.n_latent'"),
        ("encodr.n_latent=3", "'encoder.n_latent'"),
        ("los=nb", "'loss'"),
        ("encoder.hidden.first=3", "'encoder.hidden'"),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest(override, nearest):
    with pytest.raises(UnknownOptionError, match=nearest):
        Recipe.load(None, [override])


def test_an_unknown_key_in_a_file_or_a_call_is_refused_too(tmp_path):
    path = tmp_path / "demo.toml"
    path.write_text("[encoder]\nn_laten = 16\n")
    with pytest.raises(UnknownOptionError, match=r"encoder\.n_latent"):
        Recipe.load(path)
    with pytest.raises(UnknownOptionError, match="'rate' was meant"):
        Recipe(rat=3)


@pytest.mark.parametrize(
    ("override", "key", "seen"),
    [
        ("encoder.n_latent=abc", r"encoder\.n_latent", "abc"),
        ("encoder.n_latent=0", r"encoder\.n_latent", "0"),
        ("encoder.n_latent=2.5", r"encoder\.n_latent", "2.5"),
        ("encoder.hidden=1,x", r"encoder\.hidden\.1", "x"),
        ("loss=poisson", "loss", "poisson"),
        ("encoder=3", "encoder", "3"),
    ],
)
def test_a_bad_value_is_one_clear_error(override, key, seen):
    with pytest.raises(ConfigError, match=key) as caught:
        Recipe.load(None, [override])
    assert seen in str(caught.value)
    assert "allowed:" in str(caught.value)


def test_several_bad_values_are_named_together():
    with pytest.raises(ConfigError, match=r"options loss, rate cannot be used"):
        Recipe(loss="x", rate="y")


def test_an_impossible_combination_raises_the_error_of_the_recipe():
    with pytest.raises(ConfigError, match="needs a rate"):
        Recipe.load(None, ["loss=nb", "rate=2"])


@pytest.mark.parametrize("text", ["rate", "=3", ""])
def test_an_override_without_key_or_value_is_refused(text):
    with pytest.raises(ConfigError, match="key=value"):
        Recipe.load(None, [text])


def test_an_absent_file_is_named():
    with pytest.raises(ConfigError, match="nowhere.toml"):
        Recipe.load("nowhere.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rate = 1\nloss = = 2\n", "line 2"),
        (b"\xff\xfe\x00", "not a TOML file"),
        (b"a = " + b"[" * 100_000, "not a TOML file"),
        (b"# " + b"x" * 1_000_001, "too large"),
    ],
)
def test_a_file_that_is_no_toml_is_refused(tmp_path, content, message):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        Recipe.load(path)


def test_a_folder_is_no_configuration(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        Recipe.load(tmp_path)


@given(
    n_latent=st.integers(1, 10**6),
    hidden=st.lists(st.integers(0, 10**6), max_size=4),
    clip_norm=st.none() | st.floats(allow_nan=False),
    label=st.none() | st.text(st.characters(codec="utf-8")).filter(lambda text: text.lower() != "none"),
    rate=st.floats(0, 1),
)
def test_saving_and_loading_gives_the_same_configuration_and_the_same_bytes(
    tmp_path, n_latent, hidden, clip_norm, label, rate
):
    encoder = Encoder(n_latent=n_latent, hidden=tuple(hidden), clip_norm=clip_norm)
    config = Recipe(encoder=encoder, label=label, rate=rate)
    config.save(tmp_path / "config.toml")
    again = Recipe.load(tmp_path / "config.toml")
    assert again == config
    assert again.to_toml() == config.to_toml()


def test_none_is_written_only_where_it_is_not_the_default():
    text = Recipe(encoder=Encoder(clip_norm=None)).to_toml()
    assert 'clip_norm = "none"' in text
    assert "label" not in text
    assert Recipe.load(None, ["encoder.clip_norm=none"]).encoder.clip_norm is None


def test_saving_where_nothing_can_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        Recipe().save(tmp_path / "file" / "config.toml")


def test_describe_lists_dotted_keys_types_defaults_and_docs():
    rows = {row.key: row for row in describe(Recipe)}
    assert list(rows)[:3] == ["encoder.n_latent", "encoder.hidden", "encoder.clip_norm"]
    assert rows["encoder.n_latent"] == ("encoder.n_latent", "int", 8, "Width of the latent.")
    assert rows["loss"].type == "'squared_error' | 'nb'"
    assert rows["encoder.clip_norm"].type == "float | None"
    assert rows["encoder.hidden"].type == "tuple[int, ...]"


def test_flatten_keeps_empty_groups():
    assert flatten({"a": {"b": {}}, "c": 1}) == {"a.b": {}, "c": 1}
