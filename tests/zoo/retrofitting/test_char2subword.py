"""Both stages of Char2Subword: the old table by letters, then masked tokens in the frozen model."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers
from flax import nnx
from tiny_encoder import SENTENCES
from tiny_training import LENGTH, SPECIAL, VOCAB_SIZE, tiny_model

import textzoo
from textzoo import Part, TextEncoder
from textzoo.errors import ConfigError
from textzoo.modules import SubwordTokenizer
from textzoo.modules.tokenizers import Tokenized
from textzoo.retrofitting import Mimic, RetrofitConfig, Stage, retrofit
from textzoo.retrofitting.mimicking import MimicObjective, retrieved
from textzoo.retrofitting.table import OldTable
from textzoo.trainers.batch import TrainBatch

UNITS = {"units": "characters", "num_characters": 200, "max_units": 12, "mark_words": True}
# Words of letters: a bag of n-grams compiles faster than a transformer and learns them, too.
LETTERS = Part("NGramEmbedding", unit_vocab_size=207, pooling="root")
STAGE = Stage(steps=120, batch_size=64, learning_rate=3e-2)


@functools.cache
def tokenizer(**options) -> SubwordTokenizer:
    words = sorted({word.strip(",") for sentence in SENTENCES for word in sentence.split()})
    ids = {word: index for index, word in enumerate((*SPECIAL, *words))}
    library = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token="[UNK]"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    library.add_special_tokens(list(SPECIAL))
    return SubwordTokenizer(library, max_length=LENGTH, **options)


def teacher():
    return TextEncoder(tiny_model(layers=1, seed=3), tokenizer(), name="teacher")


def config(**options) -> RetrofitConfig:
    return RetrofitConfig(
        **{"table": None, "frozen": None, "joint": None, "lengths": (8,), **options}
    )


def part() -> Part:
    return Part("SubwordTokenizer", max_length=LENGTH, **UNITS)


def parameters(module):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(module, nnx.Param))]


def test_letters_learn_the_table_and_then_to_guess_with_the_encoder_as_it_was(tmp_path):
    own, seen = teacher(), {}

    def watch(model):
        seen[len(seen)] = (parameters(model.encoder), parameters(model.embedding))
        return {}

    numbers = config(
        table=STAGE, mimic=Mimic(edit_rate=0.1), edit_rate=0.2,
        masked=Stage(steps=30, batch_size=5, learning_rate=1e-2),
    )  # fmt: skip
    result = retrofit(
        own, LETTERS, tmp_path, tokenizer=part(), texts=list(SENTENCES), config=numbers,
        evaluators=[watch],
    )  # fmt: skip
    assert list(result.scores) == ["before", "table", "masked"]
    assert result.scores["before"]["table/retrieved"] < 0.2
    assert result.scores["table"]["table/retrieved"] > 0.6
    assert result.scores["table"]["table/unexplained"] < 0.7
    (_, fitted), (encoder, trained) = seen[1], seen[2]
    for before, after in zip(parameters(own.model.encoder), encoder, strict=True):
        np.testing.assert_array_equal(before, after)
    assert any(not np.array_equal(*pair) for pair in zip(fitted, trained, strict=True))
    lines = (tmp_path / "masked" / "metrics.jsonl").read_text().splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
    assert losses[-1] < losses[0]
    # What no vocabulary has is read by its letters.
    found = textzoo.load(result.model).encode(["foxes", "foxes jumq"])
    assert np.isfinite(found).all()


def table_of(rows):
    count = len(rows)
    pieces = Tokenized(
        ids=np.arange(count, dtype=np.int32), starts=np.arange(count + 1),
        truncated=np.zeros(count, bool),
    )  # fmt: skip
    return OldTable(pieces=pieces, rows=rows)


def test_terms_are_as_in_the_formulas():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(12, 4)).astype(np.float32)
    embedding = textzoo.build(
        textzoo.ModelConfig(embedding=Part("SubwordEmbedding", vocab_size=12, width=4)),
        rngs=nnx.Rngs(0),
    ).embedding
    vectors = (rows + rng.normal(0, 0.6, rows.shape)).astype(np.float32)
    embedding.table[...] = jnp.asarray(vectors)
    mimic = Mimic(cosine=2.0, retrieval=0.5, neighbors=3.0, num_neighbors=2)
    table = table_of(rows)
    objective = MimicObjective(embedding, table, mimic)
    chosen = np.array([3, 7, 1])
    batch = TrainBatch(texts=(table.pieces.batch(chosen, 1),))
    terms = objective(batch, step=jnp.asarray(0), rngs=nnx.Rngs(0))

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    cosines, old = unit(vectors) @ unit(rows).T, unit(rows) @ unit(rows).T
    scores = vectors @ rows.T
    expected = {"unexplained": [], "cosine": [], "retrieval": [], "neighbors": []}
    for s in chosen:
        expected["unexplained"].append(np.square(vectors[s] - rows[s]).mean())
        expected["cosine"].append(1 - cosines[s, s])
        expected["retrieval"].append(np.log(np.exp(scores[s]).sum()) - scores[s, s])
        near = [n for n in np.argsort(-old[s]) if n != s][:2]
        expected["neighbors"].append(np.square(cosines[s, near] - old[s, near]).mean())
    for name, values in expected.items():
        np.testing.assert_allclose(terms.terms[name].ratio.value(), np.mean(values), rtol=1e-4)
    weights = {name: float(term.weight) for name, term in terms.terms.items()}
    assert weights == pytest.approx(
        {"unexplained": 1 / table.variance, "cosine": 2.0, "retrieval": 0.5, "neighbors": 3.0}
    )
    hits = scores.argmax(axis=1) == np.arange(12)
    np.testing.assert_allclose(terms.metrics["retrieved"].value(), hits[chosen].mean(), rtol=1e-6)
    assert retrieved(embedding, table) == pytest.approx(hits.mean())


def test_special_tokens_keep_their_rows(tmp_path):
    letters = Part(
        "Char2SubwordEmbedding", unit_vocab_size=207, unit_dim=4, num_layers=1, num_heads=1,
        hidden_dim=4, max_units=12, kept_ids=(0, 1, 2, 3, 4),
    )  # fmt: skip
    own = teacher()
    short = Stage(steps=2, batch_size=8, learning_rate=1e-2)
    result = retrofit(own, letters, tmp_path, tokenizer=part(), config=config(table=short))
    kept = np.asarray(result.encoder.model.embedding.kept[...])
    np.testing.assert_array_equal(kept, np.asarray(own.model.embedding.table[...])[:5])


def test_what_does_not_fit_is_explained(tmp_path):
    with pytest.raises(ConfigError, match="cosine=-1"):
        Mimic(cosine=-1)
    with pytest.raises(ConfigError, match="num_neighbors=0"):
        Mimic(num_neighbors=0)
    masked = config(masked=Stage(steps=1, batch_size=2, learning_rate=1e-2))
    with pytest.raises(ConfigError, match="stage 'masked' is learned from texts"):
        retrofit(teacher(), LETTERS, tmp_path, tokenizer=part(), config=masked)
    assert VOCAB_SIZE >= tokenizer().vocab_size
