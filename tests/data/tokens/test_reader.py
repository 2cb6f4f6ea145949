"""Where tokens meet: what differs is refused by name."""

from dataclasses import replace

import pytest

from trilineage.core.errors import ArtifactError
from trilineage.data.tokens.reader import TokenNorms, TokenReader, require_same_encoder, require_source
from trilineage.data.tokens.store import TokenStore


def test_cohorts_of_one_encoder_may_be_compared(source):
    require_same_encoder(source.encoder_key, replace(source, images="other").encoder_key)


def test_cohorts_of_different_encoders_are_refused(source):
    other = replace(source, block=3).encoder_key
    with pytest.raises(ArtifactError, match="Bonn and Jena were made with different encoders"):
        require_same_encoder(source.encoder_key, other, first="Bonn", second="Jena")


def test_tokens_of_another_backbone_are_refused_with_the_digest_that_differs(source):
    asked = replace(source, weights="c" * 64)
    with pytest.raises(
        ArtifactError, match="cohort holds other tokens.*weights aaaaaaaaaaaa; allowed: weights cccc"
    ):
        require_source(source, asked, where="cohort")


def test_tokens_of_another_block_are_refused_with_its_number(source):
    with pytest.raises(ArtifactError, match="seen: block 4; allowed: block 3"):
        require_source(source, replace(source, block=3), where="cohort")


def test_a_store_is_a_reader_whose_norms_are_known(made):
    store = TokenStore.open(made().path)
    assert isinstance(store, TokenReader)
    assert isinstance(store, TokenNorms)
