"""Writes ``multi_hash.npz`` and ``lexical.json``: spaCy's hashes, features and MultiHashEmbed.

Run in an environment of its own with spaCy 3.8 and thinc 8.3 (``pip install spacy``):
``python tests/golden/make_multi_hash.py``.
"""

import json
from pathlib import Path

import numpy as np
import spacy
from spacy.ml.models.tok2vec import MultiHashEmbed
from spacy.strings import hash_string
from spacy.tokens import Doc
from thinc.api import NumpyOps, fix_random_seed

HERE = Path(__file__).parent
WORDS = [
    "Hello", "hello", "coffee", "straße", "你好", "😀", "internationalization", "abcdefgh",
    "e\u0301a",
    "don't", "1,234.56", "“", "—", "AAAAAAbbbbbbb1111111C", "aaaaBaaaaaa", "x" * 99, "x" * 100,
    "’s", "£", "İstanbul", "Ⅷ٣²", "ǅa", "COVID-19", "नमस्ते", "שלום", "a", "ab", "abc", "a_b",
]  # fmt: skip


def main() -> None:
    """Writes the files into the folder of this script."""
    ops, vocabulary = NumpyOps(), spacy.blank("xx").vocab
    words = {}
    for word in WORDS:
        key = hash_string(word)
        lexeme = vocabulary[word]
        words[word] = {
            "hash": key,
            "hashes": [ops.hash(np.array([key], "uint64"), seed)[0].tolist() for seed in (8, 11)],
            "features": [lexeme.norm_, lexeme.prefix_, lexeme.suffix_, lexeme.shape_],
        }
    text = json.dumps({"seeds": [8, 11], "words": words}, indent=0, ensure_ascii=False)
    (HERE / "lexical.json").write_text(text + "\n", encoding="utf-8")

    fix_random_seed(0)
    rows = [20, 15, 10, 5]
    model = MultiHashEmbed(6, ["NORM", "PREFIX", "SUFFIX", "SHAPE"], rows, False)
    doc = Doc(vocabulary, words=WORDS)
    model.initialize(X=[doc])
    rng = np.random.default_rng(0)
    arrays = {}
    tables = 0
    for layer in model.walk():
        for name in layer.param_names:
            value = layer.get_param(name)
            value = (value + rng.normal(0, 0.1, value.shape)).astype(np.float32)
            layer.set_param(name, value)
            if layer.name == "hashembed":
                assert value.shape[0] == rows[tables]
                arrays[f"table{tables}"] = value
                tables += 1
            else:
                arrays[f"{layer.name.split('>')[-1]}_{name}"] = value
    arrays["states"] = model.predict([doc])[0]
    for name, array in arrays.items():
        assert np.isfinite(array).all(), name
    np.savez_compressed(HERE / "multi_hash.npz", **arrays)


if __name__ == "__main__":
    main()
