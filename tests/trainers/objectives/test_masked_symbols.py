"""Masking of bytes and code points: their masks, their words, and what replaces them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from textzoo.modules import ByteTokenizer, CodePointTokenizer
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.data.words import tokenize_with_words
from textzoo.trainers.objectives.token_masking import MaskingConfig, Vocabulary, mask_texts

TEXTS = ("whole words h\u00e9 of bytes", "two words", "")


@pytest.mark.parametrize("make", [ByteTokenizer, CodePointTokenizer])
def test_a_vocabulary_is_read_from_a_tokenizer_of_symbols(make):
    found = Vocabulary.of(make())
    assert (found.mask_id, found.vocab_size) == (make.mask_id, make.vocab_size)
    assert {*make.before, *make.after, make.mask_id, make.pad_id} <= set(found.special_ids)
    assert not set(make(add_special_tokens=False)(["any text \u00ff"]).ids) & set(found.special_ids)


def test_whole_words_of_bytes_are_masked_and_replaced_by_bytes():
    tokenizer = ByteTokenizer()
    tokenized = tokenize_with_words(tokenizer, TEXTS)
    assert tokenized.words[: tokenized.lengths[0]].tolist() == [
        *[0] * 5, -1, *[1] * 5, -1, *[2] * 3, -1, *[3] * 2, -1, *[4] * 5, -1,
    ]  # fmt: skip
    length = int(tokenized.lengths.max())
    texts = tokenized.batch(np.arange(3), length)
    words = np.full(texts.ids.shape, -1, np.int32)
    words[texts.mask] = tokenized.words
    batch = TrainBatch(texts=(texts,), word_ids=words)
    config = MaskingConfig(rate=0.4, unit="word", random_share=0.2)
    quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    masked = quick_jit(
        lambda key: mask_texts(key, batch, config, Vocabulary.of(tokenizer), step=jnp.asarray(0))
    )(jax.random.key(0))
    selected = np.asarray(masked.selection.selected)
    assert selected.any() and not (selected & ~(texts.mask & (words >= 0))).any()
    for word in range(5):
        assert len(set(selected[0][words[0] == word])) == 1
    changed = np.asarray(masked.texts.ids)[selected]
    is_byte = (changed >= 3) & (changed < 259)
    assert (is_byte | (changed == tokenizer.mask_id)).all()
    np.testing.assert_array_equal(np.asarray(masked.texts.ids)[~selected], texts.ids[~selected])
