"""Models of bytes and characters give finite vectors for any Unicode text, and refuse what is none.

Texts are of every kind in one batch, so that each model is compiled for few shapes.
"""

import functools
import warnings

import numpy as np
import pytest
from flax import nnx

import textzoo
from textzoo import Part, TextEncoder, build
from textzoo.errors import TextInputError, TruncationWarning
from textzoo.registry import get_config

TEXTS = {
    "latin": "plain words",
    "emoji": "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f1ef\U0001f1f5",
    "right to left": "\u0634\u0643\u0631\u0627 \u202e\u05e9\u05dc\u05d5\u05dd\u202c",
    "combining marks": "Z\u0351\u036b\u0343a\u0328\u0303\u0316lgo\u0334\u0313",
    "Han and Hangul": "\u4f60\u597d \ubc43\uc0ac\ub78c \u1112\u1161\u11ab",
    "last plane": "\U0010fffd\U0010ffff\ufffe\uffff",
    "private use": "\ue000\ue001\ue003\uf8ff",
    "control": "\0\x01\x7f\u2028\ufeff",
    "white space": " \t\n\u3000\xa0",
    "one letter": "a",
    "empty": "",
    "long word": "\u00fcber" * 2500,
}
MODELS = ("byte_bert_tiny", "charformer_tiny", "canine_tiny")
every = pytest.mark.parametrize("name", MODELS)


@functools.cache
def encoder(name):
    longest = 64
    config = get_config(name)
    small = {"width": 16, "num_heads": 2, "hidden_dim": 16, "num_layers": 1}
    config = config.with_options(
        tokenizer={"max_length": longest}, embedding={"width": 16},
        encoder={**small, "max_length": longest},
    )  # fmt: skip
    return TextEncoder(build(config, rngs=nnx.Rngs(0)), tokens_per_batch=longest * len(TEXTS))


@functools.cache
def vectors(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        found = encoder(name).encode(list(TEXTS.values()))
    return found, encoder(name).last_report


@every
def test_any_text_has_a_finite_vector_of_its_own(name):
    found, _ = vectors(name)
    assert np.isfinite(found).all()
    assert np.abs(found).sum(axis=1).min() > 0  # A text has special tokens, if nothing else.
    distances = np.linalg.norm(found[:, None] - found[None], axis=-1)
    assert distances[~np.eye(len(found), dtype=bool)].min() > 1e-4


@every
def test_a_word_of_ten_thousand_characters_is_cut_and_counted(name):
    _, report = vectors(name)
    longest = [text for text in TEXTS.values() if len(text) > 64]
    assert len(longest) == 1 and len(longest[0]) == 10_000
    assert report.truncated == 1 and report.max_length == 64


@every
def test_lone_surrogates_are_refused(name):
    with pytest.raises(TextInputError, match="lone surrogate"):
        encoder(name).encode(["fine", "\ud83d alone"])


def test_tokens_are_the_bytes_of_the_text():
    text = TEXTS["Han and Hangul"]
    (tokens,) = encoder("byte_bert_tiny").encode_tokens([text])
    assert tokens.tokens == [c for c in text if not c.isspace() for _ in c.encode()]
    assert np.isfinite(tokens.vectors).all()


def test_a_model_of_bytes_is_saved_and_loaded_without_a_tokenizer_file(tmp_path):
    encoder("byte_bert_tiny").save(tmp_path / "model")
    assert not list((tmp_path / "model").glob("tokenizer*"))
    again = textzoo.load(str(tmp_path / "model"))
    assert again.model.config.tokenizer == Part("ByteTokenizer", max_length=64)
    assert again.tokenizer(["\u00fc"]).ids.tolist() == [0xC3 + 3, 0xBC + 3, 1]
