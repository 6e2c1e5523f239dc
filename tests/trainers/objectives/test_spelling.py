"""Units that follow replaced tokens, one edit of a word, and heads tied to spelled pieces."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_encoder import library_tokenizer, tiny_tokenizer

from textzoo import ModelConfig, Part, build
from textzoo.errors import ConfigError
from textzoo.modules import SubwordTokenizer, TextBatch
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.objectives.masked_language import (
    MaskedLanguageObjective,
    make_masked_language_head,
)
from textzoo.trainers.objectives.spelling import Spelling, edit_units
from textzoo.trainers.objectives.token_masking import MaskingConfig, Vocabulary, mask_texts

OPTIONS = {"units": "characters", "num_characters": 300, "max_units": 8, "mark_words": True}
STEP = jnp.asarray(0)
TEXTS = ["the quick brown fox jumps over the lazy dog", "cats and dogs are pets"]


@functools.cache
def tokenizer():
    inner = SubwordTokenizer(library_tokenizer("wordpiece"), max_length=24, **OPTIONS)
    return inner


VOCAB = library_tokenizer("wordpiece").get_vocab_size()
VOCABULARY = Vocabulary(mask_id=1, special_ids=(0, 1, 2, 3), vocab_size=VOCAB)


def batch_of(texts=TEXTS, length=24):
    return tokenizer()(texts).batch(np.arange(len(texts)), length)


def test_units_are_those_of_the_tokenizer():
    batch = batch_of()
    spelled = Spelling.of(tokenizer()).respell(batch.replace(units=None, unit_mask=None))
    np.testing.assert_array_equal(spelled.unit_mask[..., : batch.units.shape[-1]], batch.unit_mask)
    found = np.where(spelled.unit_mask, spelled.units, 0)[..., : batch.units.shape[-1]]
    np.testing.assert_array_equal(found, batch.units)
    assert spelled.units.shape[-1] == 8


def test_masked_tokens_are_spelled_as_what_stands_there_now():
    batch = TrainBatch(texts=(batch_of(),))
    spelling = Spelling.of(tokenizer())
    masked = jax.jit(
        lambda key: mask_texts(
            key, batch, MaskingConfig(rate=0.5), VOCABULARY, step=STEP, spelling=spelling
        )
    )(jax.random.key(0))
    ids = np.asarray(masked.texts.ids)
    changed = (ids != batch.texts[0].ids)[..., None]
    assert changed.any() and (ids == 1).any()
    units, starts = tokenizer().unit_table
    for row, column in zip(*np.nonzero(batch.texts[0].mask), strict=True):
        own = units[starts[ids[row, column]] : starts[ids[row, column] + 1]]
        found = np.asarray(masked.texts.units)[row, column][
            np.asarray(masked.texts.unit_mask)[row, column]
        ]
        assert found.tolist() == own.tolist()


edit = jax.jit(edit_units, static_argnames="first_special")


def edited(word, count, size=8):
    """So many mistakes in a word; one program for all of them."""
    units = np.zeros((4000, size), np.int32)
    units[:, : len(word)] = word
    counts = np.full(4000, len(word), np.int32)
    found, lengths = edit(jax.random.key(0), units, counts, rate=1.0, first_special=300)
    found, lengths = found[:count], lengths[:count]
    return [tuple(row[:n]) for row, n in zip(np.asarray(found), np.asarray(lengths), strict=True)]


def test_an_edit_is_one_letter_out_in_replaced_or_swapped():
    word = (302, 65, 66, 67)  # A mark and three letters.
    kinds = collections.Counter()
    for found in edited(word, 4000):
        assert found[0] == 302
        letters, own = found[1:], word[1:]
        if len(letters) == 2:
            kinds["drop"] += 1
            assert letters in {own[:i] + own[i + 1 :] for i in range(3)}
        elif len(letters) == 4:
            kinds["put"] += 1
            (place,) = [i for i in range(4) if letters[i] >= 97]
            assert letters[:place] + letters[place + 1 :] == own
        elif sorted(letters) == sorted(own):
            kinds["swap"] += 1
            assert letters in {(66, 65, 67), (65, 67, 66)}
        else:
            kinds["change"] += 1
            assert sum(a != b for a, b in zip(letters, own, strict=True)) == 1
    assert set(kinds) == {"drop", "put", "swap", "change"}
    assert min(kinds.values()) > 850 and len(set(edited(word, 4000))) > 100


def test_what_has_no_letter_to_spare_keeps_one_and_special_tokens_stay():
    assert set(edited((306,), 50)) == {(306,)}
    assert all(found for found in edited((65,), 200))
    full = edited((65, 66, 67, 68), 300, size=4)  # There is no room for one more.
    assert {len(found) for found in full} == {3, 4}


def test_a_share_of_the_tokens_is_edited_in_training_alone():
    units = jnp.tile(jnp.arange(65, 73), (2000, 1))
    found, _ = edit_units(jax.random.key(1), units, jnp.full(2000, 6), rate=0.25, first_special=300)
    share = (np.asarray(found) != np.asarray(units))[:, :6].any(axis=1).mean()
    assert 0.18 < share < 0.27
    texts, spelling = batch_of(), Spelling.of(tokenizer(), edit_rate=1.0)
    misspelled = jax.jit(lambda key: spelling.respell(texts, key=key))(jax.random.key(0))
    plain = spelling.respell(texts)
    assert (np.asarray(misspelled.units) != np.asarray(plain.units)).sum() > 10


def make_objective(embedding, *, tied, **options):
    model = build(ModelConfig(embedding=embedding), rngs=nnx.Rngs(0))
    spelling = Spelling.of(tokenizer(), **options)
    head = make_masked_language_head(model, rngs=nnx.Rngs(1), spelling=spelling, tied=tied)
    return MaskedLanguageObjective(model, head, vocabulary=VOCABULARY, spelling=spelling)


LETTERS = Part("NGramEmbedding", width=8, unit_vocab_size=307, pooling="root")


@pytest.mark.parametrize("block", [None, 50])
def test_a_model_of_letters_learns_to_guess_pieces_by_their_letters(block):
    objective = make_objective(LETTERS, tied=True, edit_rate=0.2, block=block)
    objective = nnx.view(objective, deterministic=False)
    graphdef, parameters, rest = nnx.split(objective, nnx.Param, ...)
    batch = TrainBatch(texts=(batch_of(),))

    @jax.jit
    def run(parameters, key):
        def loss(parameters):
            merged = nnx.merge(graphdef, parameters, rest)
            return merged(batch, step=STEP, rngs=nnx.Rngs(objective=key)).total()

        return jax.value_and_grad(loss)(parameters)

    first, slopes = run(parameters, jax.random.key(0))
    assert abs(float(first) - np.log(VOCAB)) < 0.5
    for path, value in jax.tree_util.tree_leaves_with_path(slopes):
        assert np.isfinite(value).all() and np.any(np.asarray(value)), path
    for step in range(30):
        _, slopes = run(parameters, jax.random.key(step % 3))
        parameters = jax.tree.map(lambda p, g: p - 0.3 * g, parameters, slopes)
    assert float(run(parameters, jax.random.key(0))[0]) < float(first) - 0.5


def test_a_tied_head_scores_the_vectors_of_all_pieces_in_blocks_or_not():
    objective = make_objective(LETTERS, tied=True)
    rows = objective.spelling.rows(objective.model.embedding)
    assert rows.shape == (VOCAB, 8)
    objective.spelling.block = 50
    np.testing.assert_allclose(
        objective.spelling.rows(objective.model.embedding), rows, rtol=0, atol=1e-6
    )
    x = jax.random.normal(jax.random.key(0), (3, 8))
    found = objective.spelling.scorer(objective.model.embedding).attend(x)
    np.testing.assert_allclose(found, np.asarray(x) @ np.asarray(rows).T, rtol=0, atol=1e-5)
    table = build(
        ModelConfig(embedding=Part("SubwordEmbedding", vocab_size=VOCAB, width=8)), rngs=nnx.Rngs(0)
    ).embedding
    assert objective.spelling.scorer(table) is table


def test_what_does_not_fit_is_explained():
    with pytest.raises(ConfigError, match="gives its pieces no units"):
        Spelling.of(tiny_tokenizer())
    grams = tiny_tokenizer(units="n_grams", num_characters=100)
    assert Spelling.of(grams).vocab_size == VOCAB
    with pytest.raises(ConfigError, match="n-grams are no letters"):
        Spelling.of(grams, edit_rate=0.1)
    with pytest.raises(ConfigError, match="edit_rate=2"):
        Spelling.of(tokenizer(), edit_rate=2)
    with pytest.raises(ValueError, match="give the objective spelling="):
        batch = TrainBatch(texts=(batch_of(),))
        mask_texts(jax.random.key(0), batch, MaskingConfig(), VOCABULARY, step=STEP)
    model = build(ModelConfig(embedding=LETTERS), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="has no vocab_size"):
        make_masked_language_head(model, rngs=nnx.Rngs(0))
    assert isinstance(batch.texts[0], TextBatch)
