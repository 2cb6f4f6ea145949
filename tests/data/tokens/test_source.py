"""What tokens are of: digests that change with what matters, and the way to JSON and back."""

from dataclasses import replace

import pytest

from trilineage.core.errors import ArtifactError
from trilineage.data.tokens.source import TokenSource


def test_a_source_comes_back_from_its_dictionary(source):
    assert TokenSource.from_dict(source.to_dict()) == source


def test_tokens_of_an_image_are_its_class_token_and_its_patches(source):
    assert (source.n_tokens, source.n_patches) == (5, 4)
    only_cls = replace(source, keep="cls")
    assert (only_cls.n_tokens, only_cls.n_patches) == (1, 0)
    assert replace(source, keep="patches", n_prefix=0).n_tokens == 4


@pytest.mark.parametrize(
    "change",
    [{"weights": "c" * 64}, {"block": 5}, {"backbone": "other"}, {"image_size": (32, 16)}, {"keep": "cls"}],
)
def test_another_encoder_changes_both_digests(source, change):
    other = replace(source, **change)
    assert other.encoder_key != source.encoder_key
    assert other.key != source.key


@pytest.mark.parametrize("change", [{"images": "c" * 64}, {"dtype": "float32"}, {"reading": "fit crop"}])
def test_other_images_change_the_tokens_but_not_the_encoder(source, change):
    other = replace(source, **change)
    assert other.encoder_key == source.encoder_key
    assert other.key != source.key


def test_digests_stay_what_they_were(source):
    """They lie in files: a change of the formula would orphan every extraction there is."""
    assert source.encoder_key[:16] == "3baafae89f8292e5"
    assert source.key[:16] == "3c4f555456f90804"


@pytest.mark.parametrize(
    "change",
    [{"block": "4"}, {"block": True}, {"grid": [2]}, {"grid": 2}, {"more": 1}, {"width": None}],
)
def test_what_is_no_source_is_refused(source, change):
    with pytest.raises(ArtifactError, match="does not say what tokens are of"):
        TokenSource.from_dict({**source.to_dict(), **change})


def test_a_source_without_a_field_is_refused(source):
    values = source.to_dict()
    del values["weights"]
    with pytest.raises(ArtifactError, match="does not say what tokens are of"):
        TokenSource.from_dict(values)
