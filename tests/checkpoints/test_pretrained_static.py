"""The model that comes with textzoo."""

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from safetensors.numpy import load_file

import textzoo
import textzoo.checkpoints.pretrained
from textzoo.checkpoints import weights
from textzoo.checkpoints.card import make_card

NAME = "static_english_small"
DIRECTORY = Path(textzoo.checkpoints.pretrained.__path__[0]) / NAME
GOLDEN = Path(__file__).parents[1] / "golden" / f"{NAME}.npz"


@pytest.fixture(scope="module")
def encoder():
    return textzoo.load(NAME)


def test_the_whole_directory_takes_at_most_16_megabytes():
    assert sum(path.stat().st_size for path in DIRECTORY.rglob("*")) <= 16_000_000


def test_vectors_are_those_that_were_released(encoder):
    with np.load(GOLDEN) as golden:
        vectors = encoder.encode(golden["texts"].tolist())
        np.testing.assert_allclose(vectors, golden["vectors"], atol=1e-4)


def test_a_vector_is_the_direction_of_the_sum_of_rows(encoder):
    tokenizer = tokenizers.Tokenizer.from_file(str(DIRECTORY / "tokenizer.json"))
    table = load_file(DIRECTORY / "model.safetensors")["embedding.table"].astype(np.float64)
    text = "A child, 7, reads \u2603 unbelievably old newspapers."
    ids = [i for i in tokenizer.encode(text, add_special_tokens=False).ids if i != 0]
    total = table[ids].sum(axis=0)
    np.testing.assert_allclose(encoder.encode(text), total / np.linalg.norm(total), atol=1e-6)


@pytest.mark.parametrize("text", ["", "  \n", "\u2603\U0001f9ff"])
def test_a_text_without_known_tokens_is_zero(encoder, text):
    assert not encoder.encode(text).any()


def test_paraphrases_are_nearer_than_other_sentences(encoder):
    first, second, third = encoder.encode(
        ["A man is playing a guitar.", "Someone plays an instrument.", "The stock market fell."]
    )
    assert first @ second > first @ third + 0.3


def test_every_row_is_finite_and_only_that_of_unknown_tokens_is_zero():
    table = load_file(DIRECTORY / "model.safetensors")["embedding.table"]
    assert table.dtype == np.float16
    assert np.isfinite(table).all()
    assert np.flatnonzero(~table.any(axis=1)).tolist() == [0]


def test_its_config_is_the_registered_one():
    data = json.loads((DIRECTORY / "config.json").read_text(encoding="utf-8"))
    model = textzoo.create_model(NAME, rngs=_rngs())
    assert textzoo.ModelConfig.from_dict(data["model"]) == model.config


def test_its_card_is_generated(encoder):
    card = make_card(
        name=NAME,
        config=encoder.model.config,
        settings=encoder.settings,
        parameters=textzoo.get_spec(NAME).parameters,
        sha256=weights.sha256(DIRECTORY / weights.FILE_NAME),
        spec=textzoo.get_spec(NAME),
    )
    assert (DIRECTORY / "README.md").read_text(encoding="utf-8") == card


def _rngs():
    from flax import nnx

    return nnx.Rngs(0)
