import gzip
import json
import subprocess
import sys

import numpy as np
import pytest

from textzoo.errors import ConfigError, DataError
from textzoo.trainers.mined_rows import text_keys, write_mined
from textzoo.trainers.mining import MinedNegatives

QUERIES = ["which fox?", "wo ist der Fuchs im Café?"]
CORPUS = ["a quick fox", "a lazy dog", "stock markets\nfell", "der Fuchs"]
MINED = MinedNegatives(
    queries=np.array([0, 1]),
    positives=np.array([0, 3]),
    negatives=np.array([[1, 2], [0, -1]]),
    positive_scores=np.float32([0.75, 0.5]),
    negative_scores=np.float32([[0.5, 0.25], [0.125, np.nan]]),
    removed=np.zeros((2, 7), np.int64),
    duplicates=0,
)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_tuples_are_written_for_pairs_with_all_negatives(tmp_path):
    assert write_mined(tmp_path / "a.jsonl", MINED, QUERIES, CORPUS) == 1
    assert lines(tmp_path / "a.jsonl") == [
        {
            "anchor": "which fox?",
            "positive": "a quick fox",
            "negative_1": "a lazy dog",
            "negative_2": "stock markets\nfell",
        }
    ]


def test_triplets_are_written_for_every_negative(tmp_path):
    path = tmp_path / "a.jsonl"
    assert write_mined(path, MINED, QUERIES, CORPUS, form="triplets", scores=True) == 3
    assert lines(path)[1:] == [
        {"anchor": "which fox?", "positive": "a quick fox", "negative": "stock markets\nfell",
         "scores": [0.75, 0.25]},
        {"anchor": "wo ist der Fuchs im Café?", "positive": "der Fuchs",
         "negative": "a quick fox", "scores": [0.5, 0.125]},
    ]  # fmt: skip


def test_scores_of_a_tuple_begin_with_the_positive(tmp_path):
    write_mined(tmp_path / "a.jsonl", MINED, QUERIES, CORPUS, scores=True)
    assert lines(tmp_path / "a.jsonl")[0]["scores"] == [0.75, 0.5, 0.25]


def test_rows_are_compressed_on_request(tmp_path):
    write_mined(tmp_path / "a.jsonl", MINED, QUERIES, CORPUS)
    write_mined(tmp_path / "a.jsonl.gz", MINED, QUERIES, CORPUS)
    unpacked = gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes())
    assert unpacked == (tmp_path / "a.jsonl").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_texts_that_were_not_mined_are_refused(tmp_path):
    with pytest.raises(DataError, match="corpus has 2 texts, and row 3 was mined"):
        write_mined(tmp_path / "a.jsonl", MINED, QUERIES, CORPUS[:2])
    with pytest.raises(DataError, match="queries has 1 texts"):
        write_mined(tmp_path / "a.jsonl", MINED, QUERIES[:1], CORPUS)


def test_an_unknown_form_or_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'triplets'"):
        write_mined(tmp_path / "a.jsonl", MINED, QUERIES, CORPUS, form="triplet")
    with pytest.raises(DataError, match="cannot be written"):
        write_mined(tmp_path / "no" / "a.jsonl", MINED, QUERIES, CORPUS)


def test_keys_are_equal_for_equal_texts_in_every_process():
    keys = text_keys(["a", "b", "a", ""])
    assert keys[0] == keys[2] and len(set(keys.tolist())) == 3
    program = "from textzoo.trainers.mined_rows import text_keys; print(text_keys(['a'])[0])"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert int(other.stdout) == keys[0]
    assert text_keys([]).shape == (0,)
