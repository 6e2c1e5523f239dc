"""Registered models that read words by their bytes, from text to vectors."""

import functools
import warnings

import numpy as np
import pytest
from flax import nnx

import textzoo
from textzoo import TextEncoder, build
from textzoo.errors import ConfigError, TextInputError, TruncationWarning
from textzoo.modules import WordTokenizer
from textzoo.registry import get_config

TEXTS = [
    "", " \n", "plain words, and more", "\U0001f600 \U0001f468\u200d\U0001f469", "e\u0301" * 500,
    "x" * 10_000, "\u05e9\u05dc\u05d5\u05dd \u0928\u092e\u0938\u094d\u0924\u0947", "\0 \uffff",
]  # fmt: skip
SMALL = {
    "character_bert_tiny": {"filters": ((1, 4), (3, 8))},
    "byte2word_tiny": {"unit_dim": 8, "num_heads": 2},
}
every = pytest.mark.parametrize("name", SMALL)


@functools.cache
def encoder(name):
    encoder = {"width": 16, "num_heads": 2, "hidden_dim": 16, "num_layers": 1, "max_length": 16}
    config = get_config(name).with_options(
        tokenizer={"max_length": 16}, embedding={"width": 16, **SMALL[name]}, encoder=encoder
    )
    return TextEncoder(build(config, rngs=nnx.Rngs(0)), tokens_per_batch=16 * len(TEXTS))


@functools.cache
def vectors(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        return encoder(name).encode(TEXTS)


@every
def test_any_text_has_a_finite_vector_and_no_two_have_the_same(name):
    found = vectors(name)
    assert np.isfinite(found).all() and found.shape == (len(TEXTS), 16)
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)  # Two texts without words.
    distances = np.linalg.norm(found[1:, None] - found[None, 1:], axis=-1)
    assert distances[~np.eye(len(found) - 1, dtype=bool)].min() > 1e-4


@every
def test_a_saved_model_needs_no_tokenizer_file(name, tmp_path):
    encoder(name).save(tmp_path / "model")
    again = textzoo.load(tmp_path / "model")
    again.tokens_per_batch = encoder(name).tokens_per_batch
    assert vars(again.tokenizer) == vars(encoder(name).tokenizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        np.testing.assert_array_equal(again.encode(TEXTS), vectors(name))


def test_tokens_are_the_words_of_the_text():
    (tokens,) = encoder("character_bert_tiny").encode_tokens(["It\u2019s so, Z\u0301!"])
    assert tokens.tokens == ["It\u2019s", "so", ",", "Z\u0301", "!"]


def test_what_is_no_text_or_does_not_fit_is_refused():
    with pytest.raises(TextInputError, match="lone surrogate"):
        encoder("byte2word_tiny").encode(["fine", "\ud83d alone"])
    characters = WordTokenizer(units="characters", max_length=16)
    with pytest.raises(ConfigError, match="its units go up to 65542, the embedding has unit_v"):
        TextEncoder(encoder("byte2word_tiny").model, characters)
