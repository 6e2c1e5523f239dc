"""Units of tokens on their way to a batch."""

import numpy as np
import pytest
from flax import nnx

from textzoo.checkpoints.weights import abstract_model
from textzoo.errors import ConfigError
from textzoo.modules import LexicalTokenizer
from textzoo.registry import get_config
from textzoo.trainers.data import PackedData, Reading, TextData
from textzoo.trainers.data.packed_columns import PackedColumns
from textzoo.trainers.data.words import tokenize_with_words
from textzoo.trainers.objectives.masked_language import make_masked_language_head

ROWS = [{"text": "word " * (i % 4) + f"Number {i}"} for i in range(12)]
TOKENIZER = LexicalTokenizer(max_length=16)


def text_data(**options):
    return TextData(
        ROWS, TOKENIZER, columns=("text",), batch_size=4, lengths=(4, 16), shuffle=False,
        reading=Reading(threads=0), **options,
    )  # fmt: skip


def batches(data):
    stream = data.stream()
    found = [next(stream).batch.texts[0] for _ in range(3)]
    stream.close()
    return found


def expected(first):
    tokenized = TOKENIZER([row["text"] for row in ROWS[first : first + 4]])
    return tokenized.batch(np.arange(4), 16)


@pytest.mark.parametrize("beforehand", [False, True])
def test_batches_have_the_units_of_their_tokens(beforehand, tmp_path):
    options = {"tokenize_ahead": True, "cache": tmp_path} if beforehand else {}
    for _ in range(2):  # The second time from disk.
        for index, batch in enumerate(batches(text_data(**options))):
            length = batch.ids.shape[1]
            np.testing.assert_array_equal(batch.units, expected(4 * index).units[:, :length])
            np.testing.assert_array_equal(
                batch.unit_mask, expected(4 * index).unit_mask[:, :length]
            )


def test_words_are_numbered_beside_units():
    tokenized = tokenize_with_words(TOKENIZER, ["one two, three"])
    assert tokenized.words.tolist() == [0, 1, 1, 2]
    np.testing.assert_array_equal(tokenized.units, TOKENIZER(["one two, three"]).units)


def test_packed_rows_refuse_units():
    with pytest.raises(ConfigError, match="gives units of tokens"):
        PackedData(ROWS, TOKENIZER, batch_size=2, length=16)
    with pytest.raises(ConfigError, match="texts with units"):
        next(PackedColumns(text_data(), length=16).stream())


def test_a_model_without_ids_has_no_tokens_to_guess():
    model = abstract_model(get_config("multi_hash_tiny"))
    with pytest.raises(ValueError, match="MultiHashEmbedding has no vocab_size, so"):
        make_masked_language_head(model, rngs=nnx.Rngs(0))


def test_processes_share_the_widest_units():
    tokenized = TOKENIZER(["a"])
    several = tokenized.with_units(tokenized.units, tokenized.unit_starts, (16, 20))
    assert several.batch(np.array([0]), 1).units.shape[2] == 16
    assert several.widest().batch(np.array([0]), 1).units.shape[2] == 20
