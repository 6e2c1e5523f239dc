"""Subwords of masked words (Byte2Word), and words that are mended (CharBERT)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers
from flax import nnx
from tiny_encoder import SENTENCES
from tiny_training import SPECIAL

from textzoo import ModelConfig, Part, build
from textzoo.errors import ConfigError
from textzoo.modules import SubwordTokenizer, WordTokenizer
from textzoo.modules.heads import MaskedLanguageHead, WordPiecesHead
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.data import TextData
from textzoo.trainers.data.labeled_tokens import (
    MisspellingTokenizer,
    WordPiecesTokenizer,
    split_labels,
    with_labels,
)
from textzoo.trainers.objectives.noisy_language import NoisyLanguageObjective
from textzoo.trainers.objectives.spelling import Spelling
from textzoo.trainers.objectives.token_masking import MaskingConfig, Vocabulary
from textzoo.trainers.objectives.word_pieces import WordPiecesObjective, replace_words

STEP = jnp.asarray(0)
WORDS = sorted({word.strip(",") for sentence in SENTENCES for word in sentence.split()})
LETTERS = [*"abcdefghijklmnopqrstuvwxyz", "é", "ï", ","]


@functools.cache
def pieces(**options) -> SubwordTokenizer:
    vocabulary = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS[:30]]
    ids = {piece: number for number, piece in enumerate(dict.fromkeys(vocabulary))}
    library = tokenizers.Tokenizer(tokenizers.models.WordPiece(ids, unk_token="[UNK]"))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    library.add_special_tokens(list(SPECIAL))
    return SubwordTokenizer(library, max_length=48, **options)


def words() -> WordTokenizer:
    return WordTokenizer(max_length=16, max_units=8, split="spaces", mark_words=False)


def train_batch(tokenizer, texts, length=16, words=False) -> TrainBatch:
    tokenized = tokenizer(texts, return_words=True) if words else tokenizer(texts)
    batch = tokenized.batch(np.arange(len(texts)), length)
    numbers = None
    if words:
        numbers = np.full(batch.ids.shape, -1, np.int32)
        numbers[np.asarray(batch.mask)] = tokenized.words
    return TrainBatch(texts=(batch,), word_ids=numbers)


def run(objective, batch, *, training=True):
    """Terms and slopes, as often as one likes in one program."""
    view = nnx.view(objective, deterministic=not training, raise_if_not_found=False)
    graphdef, parameters, rest = nnx.split(view, nnx.Param, ...)

    @jax.jit
    def value(parameters, key, batch=batch):
        def loss(parameters):
            terms = nnx.merge(graphdef, parameters, rest)(
                batch, step=STEP, rngs=nnx.Rngs(objective=key, dropout=key)
            )
            return terms.total(), terms

        return jax.value_and_grad(loss, has_aux=True)(parameters)

    return parameters, value


def learn(parameters, value, steps=40, rate=0.5):
    for step in range(steps):
        _, slopes = value(parameters, jax.random.key(step % 4))
        parameters = jax.tree.map(lambda p, g: p - rate * jnp.clip(g, -1, 1), parameters, slopes)
    return parameters


def test_labels_stand_before_units_and_are_taken_off():
    plain = words()(["a bc", ""])
    labels = np.arange(2 * len(plain.ids)).reshape(-1, 2)
    labeled = with_labels(plain, labels)
    batch = labeled.batch(np.arange(2), 4)
    own, found = split_labels(batch, 2)
    reference = plain.batch(np.arange(2), 4)
    np.testing.assert_array_equal(own.units, reference.units)
    np.testing.assert_array_equal(own.unit_mask, reference.unit_mask)
    np.testing.assert_array_equal(found[np.asarray(batch.mask)], labels)
    with pytest.raises(ValueError, match="tokenize with a WordPiecesTokenizer"):
        split_labels(batch.replace(units=None), 2)
    with pytest.raises(ConfigError, match="these have none"):
        with_labels(pieces()(["a"]), np.zeros((1, 1), np.int32))


def test_words_are_labeled_with_their_pieces():
    tokenizer = WordPiecesTokenizer(words(), pieces(), num_pieces=3)
    tokenized = tokenizer(["cats caty", "", "cats"])
    found = [tokenized.units_of(token)[:3].tolist() for token in range(len(tokenized.ids))]
    of = pieces().token_to_id
    none = [-1, -1, -1]
    assert found[:4] == [none, [of("cats"), -1, -1], [of("c"), of("##a"), of("##t")], none]
    assert found[4:] == [none, none, none, [of("cats"), -1, -1], none]
    assert bytes(tokenized.units_of(2)[3:].astype(np.uint8)) == b"caty"
    assert tokenized.offsets is None and tokenized.unit_sizes == (11,)


def word_model():
    embedding = Part("NGramEmbedding", width=8, unit_vocab_size=263, pooling="root")
    encoder = Part(
        "TransformerEncoder", width=8, num_layers=1, num_heads=1, hidden_dim=8, max_length=16
    )
    return build(ModelConfig(embedding=embedding, encoder=encoder), rngs=nnx.Rngs(0))


def word_objective(**options):
    vocab_size = pieces().vocab_size
    head = WordPiecesHead(8, vocab_size, num_pieces=2, rngs=nnx.Rngs(1))
    return WordPiecesObjective(word_model(), head, words=words(), num_pieces=2, **options)


def test_masked_words_are_replaced_by_a_mask_another_word_or_stay():
    batch = train_batch(words(), ["one two three four five six seven eight nine ten"] * 8, 12)
    texts = batch.texts[0]
    candidates = jnp.asarray(texts.ids) >= 4
    selected = candidates & (jnp.arange(12) % 2 == 0)
    found = jax.jit(
        lambda key: replace_words(
            key, texts, selected, candidates, (261,), mask_share=0.5, random_share=0.3
        )
    )(jax.random.key(0))

    def spelled(batch):
        units, mask = np.asarray(batch.units), np.asarray(batch.unit_mask)
        return [
            [tuple(u[m]) for u, m in zip(*row, strict=True)]
            for row in zip(units, mask, strict=True)
        ]

    before, after = spelled(texts), spelled(found)
    kinds = {"mask": 0, "other": 0, "same": 0}
    for row in range(8):
        for place in range(12):
            if not selected[row, place]:
                assert after[row][place] == before[row][place]
            elif after[row][place] == (261,):
                kinds["mask"] += 1
            else:
                assert after[row][place] in before[row][1:11]
                kinds["same" if after[row][place] == before[row][place] else "other"] += 1
    assert min(kinds.values()) >= 3 and kinds["mask"] > 12


@pytest.mark.parametrize("end_id", [None, 0])
def test_the_subwords_of_masked_words_are_learned(end_id):
    tokenizer = WordPiecesTokenizer(words(), pieces(), num_pieces=2)
    batch = train_batch(tokenizer, [*SENTENCES, ""])
    objective = word_objective(masking=MaskingConfig(rate=0.3), end_id=end_id)
    parameters, value = run(objective, batch)
    (total, terms), slopes = value(parameters, jax.random.key(0))
    assert abs(float(total) - np.log(pieces().vocab_size)) < 0.3
    selected = float(terms.metrics["mask_share"].numerator)
    count = float(terms.terms["word_pieces"].ratio.denominator)
    # Words of one piece have an end behind it, those of more have none within two slots.
    assert selected <= count <= 2 * selected and (end_id is None or count == 2 * selected)
    for path, leaf in jax.tree_util.tree_leaves_with_path(slopes):
        assert np.isfinite(leaf).all() and np.any(np.asarray(leaf)), path
    if end_id is None:
        after = learn(parameters, value)
        assert float(value(after, jax.random.key(0))[0][0]) < float(total) - 0.5


def test_words_are_misspelled_as_charbert_does_and_their_pieces_are_labeled():
    tokenizer = MisspellingTokenizer(
        pieces(units="characters", num_characters=300), WORDS, rate=1.0, seed=1
    )
    text = "the quick Cats, zzzz a"
    noisy, where = tokenizer._misspell(text)
    labels = [label for _, _, label in where]
    assert labels == [
        *(WORDS.index(w) for w in ("the", "quick", "cats")),
        len(WORDS),
        WORDS.index("a"),
    ]
    for (start, end, _), word in zip(where, ("the", "quick", "Cats", "zzzz", "a"), strict=True):
        wrong = noisy[start:end]
        if len(word) < 4:
            assert len(wrong) == len(word) + 1
        elif len(wrong) == len(word):
            assert sorted(wrong) == sorted(word) and wrong[0] == word[0]
        else:
            assert wrong in {word[:i] + word[i + 1 :] for i in range(len(word))}
    tokenized = tokenizer([text], return_offsets=True)
    found = [tokenized.units_of(token)[0] for token in range(len(tokenized.ids))]
    for label, (start, end) in zip(found, tokenized.offsets_of(0), strict=True):
        inside = [own for a, b, own in where if a <= start and end <= b]
        assert label == (inside[0] if inside else -1)
    assert tokenizer._misspell(text) == (noisy, where)
    rare = MisspellingTokenizer(tokenizer.pieces, WORDS, rate=0.1)
    share = np.mean([len(rare._misspell(f"{text} {n}")[1]) / 6 for n in range(200)])
    assert 0.07 < share < 0.13


def charbert_objective(tokenizer):
    config = ModelConfig(
        embedding=Part(
            "CharBertEmbedding", vocab_size=pieces().vocab_size, width=8, unit_vocab_size=307,
            unit_dim=4,
        ),
        encoder=Part(
            "CharBertEncoder", width=8, num_layers=1, num_heads=1, hidden_dim=8, max_length=48
        ),
    )  # fmt: skip
    model = build(config, rngs=nnx.Rngs(0))
    head = MaskedLanguageHead(8, pieces().vocab_size, rngs=nnx.Rngs(1))
    noise_head = MaskedLanguageHead(8, tokenizer.num_labels, tied=False, rngs=nnx.Rngs(2))
    return NoisyLanguageObjective(
        model, head, noise_head, vocabulary=Vocabulary.of(tokenizer.pieces),
        spelling=Spelling.of(tokenizer.pieces),
    )  # fmt: skip


def test_misspelled_words_are_mended_and_others_masked():
    inner = pieces(units="characters", num_characters=300, max_units=8)
    tokenizer = MisspellingTokenizer(inner, WORDS, rate=0.4)
    batch = train_batch(tokenizer, [*SENTENCES, ""], 48, words=True)
    objective = charbert_objective(tokenizer)
    parameters, value = run(objective, batch)
    (total, terms), slopes = value(parameters, jax.random.key(0))
    expected = np.log(pieces().vocab_size) + np.log(len(WORDS) + 1)
    assert abs(float(total) - expected) < 0.6
    labels = np.asarray(batch.texts[0].units)[..., 0][np.asarray(batch.texts[0].mask)]
    assert terms.terms["noisy_language"].ratio.denominator == (labels >= 0).sum() > 5
    for path, leaf in jax.tree_util.tree_leaves_with_path(slopes):
        assert np.isfinite(leaf).all() and np.any(np.asarray(leaf)), path
    texts = batch.texts[0]
    units = np.array(texts.units)
    units[..., 0] = 3
    wrong = batch.replace(texts=(texts.replace(units=units),))
    _, terms = value(parameters, jax.random.key(0), wrong)[0]
    assert terms.terms["masked_language"].ratio.denominator == 0  # Nothing is left to mask.
    assert terms.terms["noisy_language"].ratio.denominator == np.asarray(texts.mask).sum()
    after = learn(parameters, value, steps=30, rate=0.3)
    assert float(value(after, jax.random.key(0))[0][0]) < float(total) - 0.5


def test_they_go_through_the_data_of_training():
    tokenizer = WordPiecesTokenizer(words(), pieces(), num_pieces=2)
    rows = [{"text": sentence} for sentence in SENTENCES]
    data = TextData(rows, tokenizer, columns=("text",), lengths=(16,), batch_size=4)
    texts = next(data.stream()).batch.texts[0]
    own, labels = split_labels(texts, 2)
    assert labels.shape == (4, 16, 2) and own.units.shape[-1] == texts.units.shape[-1] - 2


def test_what_does_not_fit_is_explained():
    with pytest.raises(ConfigError, match="num_pieces=0"):
        WordPiecesTokenizer(words(), pieces(), num_pieces=0)
    with pytest.raises(ConfigError, match="two channels are trained"):
        NoisyLanguageObjective(
            word_model(), None, MaskedLanguageHead(8, 9, tied=False, rngs=nnx.Rngs(0)),
            vocabulary=None, spelling=None,
        )  # fmt: skip
    with pytest.raises(ConfigError, match="pieces have no units"):
        MisspellingTokenizer(pieces(), WORDS)
    with pytest.raises(ConfigError, match="rate=0"):
        MisspellingTokenizer(pieces(units="characters"), WORDS, rate=0)
    with pytest.raises(ConfigError, match="use 'token'"):
        word_objective(masking=MaskingConfig(unit="word"))
    with pytest.raises(ConfigError, match="the head has 2 slots, and words num_pieces=3"):
        WordPiecesObjective(
            word_model(), WordPiecesHead(8, 9, num_pieces=2, rngs=nnx.Rngs(0)), words=words(),
            num_pieces=3,
        )  # fmt: skip
