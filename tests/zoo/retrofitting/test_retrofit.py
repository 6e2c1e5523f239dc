import json
import os
import signal

import jax
import numpy as np
import pytest
from flax import nnx
from tiny_encoder import library_tokenizer
from tiny_training import LENGTH, VOCAB_SIZE, tiny_model, word_tokenizer

import textzoo
from textzoo import Part, TextEncoder
from textzoo.errors import ConfigError, ResumeError, TextInputError
from textzoo.modules import SubwordTokenizer
from textzoo.modules.tokenizers import Tokenized
from textzoo.noise import CharacterNoise
from textzoo.retrofitting import RetrofitConfig, Stage, retrofit
from textzoo.retrofitting.table import OldTable, PieceTokenizer, pieces_of, rows_of

WIDTH = 8
TEXTS = [f"the {a} {b}" for a in ("quick", "lazy", "brown") for b in ("fox", "dog", "cats", "pets")]
HASHED = Part("HashedEmbedding", num_rows=400, num_hashes=2)
TABLE = Stage(steps=150, batch_size=64, learning_rate=3e-2)
SHORT = Stage(steps=12, batch_size=12, learning_rate=1e-2)


def config(**options) -> RetrofitConfig:
    return RetrofitConfig(
        **{"table": None, "frozen": None, "joint": None, "lengths": (8,), **options}
    )


@pytest.fixture(scope="module")
def teacher() -> TextEncoder:
    return TextEncoder(tiny_model(seed=3), word_tokenizer(), name="teacher")


@pytest.fixture(scope="module")
def layered() -> TextEncoder:
    return TextEncoder(tiny_model(layers=1, seed=3), word_tokenizer())


def parameters(module: nnx.Module) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(module, nnx.Param))]


def equal(first: nnx.Module, second: nnx.Module) -> bool:
    pairs = zip(parameters(first), parameters(second), strict=True)
    return all(np.array_equal(*pair) for pair in pairs)


@pytest.fixture(scope="module")
def fitted(teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    told = []
    result = retrofit(
        teacher, HASHED, folder, config=config(table=TABLE), name="hashed", command="do it",
        evaluators=[lambda model: {"rows": float(model.embedding.num_rows)}],
        on_stage=lambda stage, scores: told.append((stage, scores)),
    )  # fmt: skip
    return folder, result, told


def test_an_embedding_learns_the_old_table(teacher, fitted):
    _, result, told = fitted
    # Fresh rows explain nothing; 400 rows, two to an id, can give the 64 old ones.
    assert result.scores["before"]["table/unexplained"] > 0.9
    assert result.scores["table"]["table/unexplained"] < 0.02
    assert told == [("before", result.scores["before"]), ("table", result.scores["table"])]
    assert result.scores["table"]["rows"] == 400
    cosines = (result.encoder.encode(TEXTS) * teacher.encode(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.95


def test_the_model_is_saved(fitted):
    folder, result, _ = fitted
    loaded = textzoo.load(result.model)
    assert result.model == folder / "model"
    assert loaded.encode(TEXTS) == pytest.approx(result.encoder.encode(TEXTS))
    options = loaded.model.config.embedding.options
    # What the call left out was filled in.
    assert (options["width"], options["vocab_size"]) == (WIDTH, VOCAB_SIZE)
    card = (result.model / "README.md").read_text()
    for words in ("do it", "HashedEmbedding", "unexplained"):
        assert words in card


@pytest.mark.parametrize(
    ("part", "limit"),
    [
        (Part("SubwordEmbedding"), 1e-9),
        (Part("SubwordEmbedding", factor_dim=6, factor_bias=True), 0.3),
        (Part("ProductQuantizedEmbedding", num_parts=4, num_codes=16), 0.3),
    ],
)
def test_small_tables_are_solved_without_training(teacher, tmp_path, part, limit):
    result = retrofit(teacher, part, tmp_path, config=config(), command="solve it")
    assert list(result.scores) == ["before", "solve"]
    assert result.scores["before"]["table/unexplained"] > 0.9
    assert result.scores["solve"]["table/unexplained"] < limit
    loaded = textzoo.load(result.model)
    assert loaded.encode(TEXTS) == pytest.approx(result.encoder.encode(TEXTS))
    assert loaded.model.config.embedding.type == part.type
    with pytest.raises(ResumeError, match="was begun with other arguments"):
        retrofit(teacher, part, tmp_path, config=config(solve=False, table=TABLE))


def test_training_goes_on_from_the_solution(teacher, tmp_path):
    part = Part("TensorTrainEmbedding", rank=6)
    short = Stage(steps=60, batch_size=64, learning_rate=3e-3)
    result = retrofit(teacher, part, tmp_path / "a", config=config(table=short))
    before, solved, trained = (scores["table/unexplained"] for scores in result.scores.values())
    assert list(result.scores) == ["before", "solve", "table"]
    assert trained < solved < 0.7 < before
    unsolved = retrofit(teacher, part, tmp_path / "b", config=config(table=short, solve=False))
    assert list(unsolved.scores) == ["before", "table"]
    assert unsolved.scores["table"]["table/unexplained"] > trained


def test_ids_without_a_piece_get_the_mean_row():
    seen = {}

    class Solver:
        vocab_size = 5

        def fit_rows(self, rows, *, seed):
            seen.update(rows=rows, seed=seed)

    pieces = Tokenized(
        ids=np.array([3, 1], np.int32), starts=np.arange(3), truncated=np.zeros(2, bool)
    )
    OldTable(pieces=pieces, rows=np.array([[1.0, 2.0], [3.0, 6.0]])).solve(Solver(), seed=4)
    assert seen["seed"] == 4
    assert seen["rows"].tolist() == [[2, 4], [3, 6], [2, 4], [1, 2], [2, 4]]


def test_what_is_finished_is_not_done_again(teacher, fitted, monkeypatch):
    folder, result, _ = fitted
    monkeypatch.setattr("textzoo.trainers.trainer.Trainer.update", None)
    again = retrofit(
        teacher, HASHED, folder, config=config(table=TABLE, save_every=7), name="hashed"
    )
    assert equal(again.encoder.model, result.encoder.model)


def test_other_arguments_need_another_directory(teacher, fitted):
    for part, options in ((HASHED.replace(num_hashes=1), {}), (HASHED, {"seed": 1})):
        with pytest.raises(ResumeError, match="was begun with other arguments"):
            retrofit(teacher, part, fitted[0], config=config(table=TABLE, **options))


def test_a_stopped_run_goes_on(teacher, tmp_path):
    numbers = config(frozen=SHORT, joint=SHORT, save_every=1000)
    whole = retrofit(teacher, HASHED, tmp_path / "whole", texts=TEXTS, config=numbers)

    def interrupt(model):
        if (tmp_path / "parts" / "joint").exists():
            os.kill(os.getpid(), signal.SIGTERM)
        return {}

    first = retrofit(
        teacher, HASHED, tmp_path / "parts", texts=TEXTS,
        config=config(frozen=SHORT, joint=SHORT, save_every=1000, evaluate_every=5),
        evaluators=[interrupt],
    )  # fmt: skip
    assert first.encoder is None
    second = retrofit(teacher, HASHED, tmp_path / "parts", texts=TEXTS, config=numbers)
    assert equal(second.encoder.model, whole.encoder.model)


def test_the_encoder_is_frozen_first_and_learns_then(layered, tmp_path):
    before, seen = parameters(layered.model), []

    def watch(model):
        seen.append(parameters(model.encoder))
        return {}

    numbers = config(frozen=SHORT, joint=SHORT)
    result = retrofit(layered, HASHED, tmp_path, texts=TEXTS, config=numbers, evaluators=[watch])
    assert list(result.scores) == ["before", "frozen", "joint"]
    fresh, frozen, joint = seen
    assert all(np.array_equal(*pair) for pair in zip(fresh, frozen, strict=True))
    moved = [not np.array_equal(*pair) for pair in zip(frozen, joint, strict=True)]
    assert sum(moved) > len(moved) / 2
    # The teacher stays as it is.
    same = zip(before, parameters(layered.model), strict=True)
    assert all(np.array_equal(*pair) for pair in same)
    lines = (tmp_path / "frozen" / "metrics.jsonl").read_text().splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
    assert losses[-1] < losses[0]


def test_the_student_reads_mistakes_and_the_teacher_does_not(teacher, tmp_path, monkeypatch):
    noise = CharacterNoise(rate=1.0, edits=("drop",))
    numbers = config(joint=Stage(steps=2, batch_size=36, learning_rate=1e-3), copies=3)
    seen = []
    tokenize = type(teacher.tokenizer).__call__

    def watched(self, texts, **options):
        seen.extend(texts)
        return tokenize(self, texts, **options)

    vectors = teacher.encode(TEXTS)
    monkeypatch.setattr(type(teacher.tokenizer), "__call__", watched)
    retrofit(teacher, HASHED, tmp_path, texts=TEXTS, config=numbers, noise=noise)
    assert np.load(tmp_path / "teacher.npy") == pytest.approx(vectors, abs=1e-6)
    # Of two batches of 36 rows, two thirds have nothing left but their spaces.
    assert seen.count("  ") >= 48


class Spelled:
    """A tokenizer whose tokens have units, the number of letters of a word."""

    def __init__(self, inner):
        self._inner = inner
        self.vocab_size, self.max_length = inner.vocab_size, inner.max_length

    def __call__(self, texts, *, return_offsets=False):
        tokenized = self._inner(list(texts))
        units = tokenized.ids.astype(np.int32) + 100
        return tokenized.with_units(units, np.arange(len(units) + 1), (1,))


def test_pieces_are_all_ids_or_those_with_known_units():
    plain = pieces_of(word_tokenizer(), [])
    assert plain.ids.tolist() == list(range(word_tokenizer().vocab_size))
    spelled = Spelled(word_tokenizer())
    found = pieces_of(spelled, TEXTS)
    assert sorted(found.ids) == sorted(set(word_tokenizer()(TEXTS).ids))
    assert found.units.tolist() == (found.ids + 100).tolist()
    spelled.unit_table = (np.arange(6, dtype=np.int32), np.array([0, 1, 6]))
    assert pieces_of(spelled, TEXTS).units_of(1).tolist() == [1, 2, 3, 4, 5]
    inner = library_tokenizer("wordpiece")
    pieces = pieces_of(SubwordTokenizer(inner, max_length=9, units="bytes"), TEXTS)
    assert len(pieces) == inner.get_vocab_size()
    number = next(number for piece, number in inner.get_vocab().items() if piece == "##s")
    assert bytes(pieces.units_of(number).astype(np.uint8)) == b"s"
    with pytest.raises(ConfigError, match="there are none; give texts"):
        pieces_of(Spelled(word_tokenizer()), [])


def test_pieces_go_through_the_data_of_texts_by_their_numbers(teacher):
    pieces = Tokenized(
        ids=np.array([5, 9, 7], np.int32), starts=np.arange(4), truncated=np.zeros(3, bool)
    )
    assert PieceTokenizer(pieces)(["2", "0"]).ids.tolist() == [7, 5]
    table = np.asarray(teacher.model.embedding.table[...])
    assert np.array_equal(rows_of(teacher.model.embedding, pieces), table[[5, 9, 7]])


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        (HASHED, {"config": config()}, "every stage is None"),
        (HASHED, {"config": config(joint=SHORT)}, "stage 'joint' is learned from texts"),
        (HASHED.replace(width=6), {}, "gives vectors of width 6, and the encoder takes 8"),
        (HASHED.replace(vocab_size=9), {}, "the tokenizer does not fit the table"),
        (Part("HashedEmbeding"), {}, "did you mean 'HashedEmbedding'"),
        (
            HASHED,
            {"tokenizer": Part("ByteTokenizer", max_length=16)},
            "gives other ids than the teacher's",
        ),
    ],
)
def test_what_does_not_fit_is_refused(teacher, tmp_path, part, options, message):
    with pytest.raises(ConfigError, match=message):
        retrofit(teacher, part, tmp_path, **{"config": config(table=TABLE), **options})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("texts", [[b"a"], [None], None, b"text"])
def test_what_is_not_text_is_refused(teacher, tmp_path, texts):
    with pytest.raises(TextInputError, match="expected"):
        retrofit(teacher, HASHED, tmp_path, texts=texts, config=config(joint=SHORT))
    assert not list(tmp_path.iterdir())


def test_another_tokenizer_goes_with_distillation(teacher, tmp_path):
    numbers = config(joint=SHORT)
    part = Part("ByteTokenizer", max_length=LENGTH)
    result = retrofit(teacher, HASHED, tmp_path, texts=TEXTS, tokenizer=part, config=numbers)
    assert textzoo.load(result.model).tokenizer.vocab_size == result.encoder.tokenizer.vocab_size
    assert result.encoder.model.config.tokenizer == part
