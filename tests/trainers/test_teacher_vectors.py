from types import SimpleNamespace

import numpy as np
import pytest
from flax import nnx

from textzoo import ModelConfig, Part, build
from textzoo.trainers.teacher_vectors import encode_single_tokens, encode_with_cache


class CountingTeacher:
    def __init__(self):
        self.seen = []

    def encode(self, texts):
        self.seen += texts
        return np.array([[len(text), ord(text[0])] for text in texts], np.float32)


def test_texts_are_encoded_once_whatever_their_order(tmp_path):
    teacher = CountingTeacher()
    encode_with_cache(teacher, ["ab", "c", "def"], tmp_path, chunk_size=2)
    vectors = encode_with_cache(teacher, ["def", "g", "ab"], tmp_path, chunk_size=2)
    assert teacher.seen == ["ab", "c", "def", "g"]
    assert vectors.tolist() == [[3, 100], [1, 103], [2, 97]]


def test_a_chunk_without_its_list_of_texts_is_encoded_again(tmp_path):
    teacher = CountingTeacher()
    encode_with_cache(teacher, ["a", "b", "c"], tmp_path, chunk_size=1)
    (tmp_path / "000002.json").unlink()  # killed between the two files of a chunk
    vectors = encode_with_cache(teacher, ["a", "b", "c"], tmp_path, chunk_size=1)
    assert teacher.seen == ["a", "b", "c", "c"]
    assert vectors[:, 1].tolist() == [97, 98, 99]


def test_progress_adds_up_to_the_number_of_texts(tmp_path):
    counts = []
    for _ in range(2):
        encode_with_cache(
            CountingTeacher(), ["a", "b", "c"], tmp_path, chunk_size=2, on_progress=counts.append
        )
    assert counts == [0, 2, 1, 3]


def test_no_texts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        encode_with_cache(CountingTeacher(), [], tmp_path)


def test_a_token_alone_stands_between_the_special_tokens():
    class Special:
        def __call__(self, texts):
            return SimpleNamespace(ids=np.array([1, 2], np.int32), units=None)

    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=9, width=4), pooling=Part("MeanPooling")
    )
    model = build(config, rngs=nnx.Rngs(0))
    table = np.asarray(model.embedding.table[...])
    vectors = encode_single_tokens(model, Special(), [5, 8, 3], batch_size=2)
    expected = [(table[1] + table[token] + table[2]) / 3 for token in (5, 8, 3)]
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
