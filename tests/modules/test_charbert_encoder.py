"""CharBERT's character channel and the exchange of its two channels, compared with torch."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_encoder import tiny_tokenizer
from tiny_families import make_random, write_golden

import textzoo
from textzoo.modules import (
    CharacterChannelEmbedding,
    CharBertEmbedding,
    CharBertEncoder,
    Hidden,
    TextBatch,
)

with np.load(Path(__file__).parents[1] / "golden" / "charbert.npz") as data:
    GOLDEN = dict(data)
COUNTS = ((3, 1, 4, 2, 1, 5, 2), (1, 2, 6, 3))  # As in tests/golden/make_charbert.py.
D = 32
TEXTS = ["the quick brown fox", "", "a café", "lazy dog \U0001f600 e\u0301"]


@jax.jit
def run(module, value):
    return module(value).states


def texts_of_golden(count=8):
    """The two texts, their characters as units; what stands under padding is not zero."""
    units = np.full((2, 8, count), 3, np.int32)
    mask = np.zeros(units.shape, bool)
    for row, counts in enumerate(COUNTS):
        taken = 0
        for token, size in enumerate(counts):
            units[row, token, :size] = GOLDEN["ids"][row, taken : taken + size]
            mask[row, token, :size] = True
            taken += size
    ids = np.zeros((2, 8), np.int32)
    return TextBatch(ids=ids, mask=mask.any(axis=-1), units=units, unit_mask=mask)


@functools.cache
def torchs_channel():
    channel = make_random(
        lambda: CharacterChannelEmbedding(D, unit_vocab_size=20, unit_dim=6, rngs=nnx.Rngs(0))
    )
    read = lambda key: np.stack([  # noqa: E731
        GOLDEN[f"network/{key}_l0{side}"].reshape(3, D // 4, -1) for side in ("", "_reverse")
    ])  # fmt: skip
    inner = read("bias_hh")[..., 0]  # [directions, gates, H]
    bias = read("bias_ih")[..., 0] + inner * np.array([1, 1, 0])[:, None]
    network = channel.network
    channel.table.set_value(jnp.asarray(GOLDEN["table"]))
    network.candidate_bias.set_value(jnp.asarray(inner[:, 2]))
    network.input_map.kernel.set_value(jnp.asarray(read("weight_ih").transpose(3, 0, 1, 2)))
    network.input_map.bias.set_value(jnp.asarray(bias))
    network.recurrent_kernel.set_value(jnp.asarray(read("weight_hh").transpose(0, 3, 1, 2)))
    return channel


def make_encoder(**options):
    sizes = dict(num_layers=2, num_heads=4, hidden_dim=48, max_length=24, num_types=2)
    return CharBertEncoder(D, **{**sizes, **options}, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """transformers' BERT of the golden files, as a model of ours."""
    folder = tmp_path_factory.mktemp("bert")
    write_golden("bert", folder)
    return textzoo.load(folder).model


def test_the_character_channel_is_torchs_gru_at_the_ends_of_tokens():
    states = run(torchs_channel(), texts_of_golden())
    for row in range(2):
        expected = GOLDEN[f"channel/{row}"]
        np.testing.assert_allclose(states[row, : len(expected)], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(states[0, 7:], 0)


def test_padding_of_characters_and_tokens_is_not_seen():
    reference = run(torchs_channel(), texts_of_golden())
    wide = texts_of_golden(count=11)
    longer = jax.tree.map(lambda x: np.pad(x, ((0, 1), (0, 3), *((0, 0),) * (x.ndim - 2))), wide)
    found = run(torchs_channel(), longer)
    np.testing.assert_allclose(found[:2, :8], reference, rtol=0, atol=1e-5)


def test_texts_of_a_packed_row_do_not_see_one_another():
    batch = texts_of_golden()
    lengths = [len(counts) for counts in COUNTS]
    join = lambda x: np.concatenate([x[0, : lengths[0]], x[1, : lengths[1]]])[None]  # noqa: E731
    packed = jax.tree.map(join, batch)
    segments = np.repeat([1, 2], lengths).astype(np.int32)[None]
    found = run(torchs_channel(), packed.replace(segment_ids=segments))
    expected = join(np.asarray(run(torchs_channel(), batch)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_both_channels_are_those_of_torch(bert):
    encoder = nnx.eval_shape(lambda: make_encoder(outputs="both"))
    own = bert.encoder
    for name in ("position_table", "type_table", "input_norm", "layers"):
        setattr(encoder, name, getattr(own, name))
    maps = (encoder.token_map, encoder.character_map)
    norms = (encoder.token_norm, encoder.character_norm)
    for index in range(2):
        maps[index].kernel.set_value(jnp.asarray(GOLDEN[f"map/{index}"].T))
        norms[index].scale.set_value(jnp.asarray(GOLDEN[f"norm/{index}/scale"]))
        norms[index].bias.set_value(jnp.asarray(GOLDEN[f"norm/{index}/bias"]))
    encoder.exchange.kernel.set_value(jnp.asarray(GOLDEN["conv/weight"].transpose(2, 1, 0)))
    encoder.exchange.bias.set_value(jnp.asarray(GOLDEN["conv/bias"]))

    ids = GOLDEN["token_ids"].astype(np.int32)
    batch = TextBatch(ids=ids, mask=np.ones(ids.shape, bool))
    embedded = bert.embedding(batch)
    start = jnp.concatenate([embedded.states, GOLDEN["start"]], axis=-1)
    states = run(encoder, embedded.replace(states=start))
    np.testing.assert_allclose(states[..., :D], GOLDEN["tokens"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(states[..., D:], GOLDEN["characters"], rtol=0, atol=1e-4)


@functools.cache
def tiny():
    """Table and characters under the encoder, as presets have them, and a tokenizer."""
    tokenizer = tiny_tokenizer(units="characters", num_characters=100, max_units=6, max_length=12)

    def make():
        embedding = CharBertEmbedding(200, D, unit_vocab_size=107, unit_dim=6, rngs=nnx.Rngs(0))
        return embedding, make_encoder(num_layers=1)

    return make_random(make, scale=0.2), tokenizer


@jax.jit
def encode(model, batch):
    embedding, encoder = model
    return encoder(embedding(batch)).states


def test_states_of_a_text_do_not_depend_on_its_batch():
    model, tokenizer = tiny()
    tokenized = tokenizer(TEXTS)
    states = np.asarray(encode(model, tokenized.batch(np.arange(4), 10)))
    assert np.isfinite(states).all()
    other = np.asarray(encode(model, tokenized.batch(np.array([3, 2, 1, 0]), 12, 6)))
    for row, length in enumerate(tokenized.lengths):
        found = other[3 - row, :length]
        np.testing.assert_allclose(found, states[row, :length], rtol=0, atol=1e-4)


def test_gradients_are_finite_and_reach_every_parameter():
    model, tokenizer = tiny()
    batch = tokenizer(TEXTS).batch(np.arange(4), 10)

    @jax.jit
    def slopes(model):
        return jax.grad(lambda m: (encode(m, batch) ** 3).sum())(model)

    for path, value in jax.tree_util.tree_leaves_with_path(slopes(model)):
        assert np.isfinite(value).all() and np.any(np.asarray(value)), path


@pytest.mark.parametrize(
    ("outputs", "combine"),
    [
        ("mean", lambda t, c: (t + c) / 2),
        ("tokens", lambda t, c: t),
        ("characters", lambda t, c: c),
        ("both", lambda t, c: np.concatenate([t, c], axis=-1)),
    ],
)
def test_outputs_are_of_one_channel_or_of_both(outputs, combine):
    encoder = nnx.eval_shape(lambda: make_encoder(outputs=outputs))
    t, c = np.ones((1, 2, 3)), np.full((1, 2, 3), 3.0)
    np.testing.assert_array_equal(encoder._output(t, c), combine(t, c))


def test_what_does_not_fit_is_explained():
    encoder = nnx.eval_shape(make_encoder)
    hidden = Hidden(states=jnp.zeros((1, 2, D)), mask=jnp.ones((1, 2), bool))
    with pytest.raises(ValueError, match="states are 32 wide, the encoder reads two channels"):
        encoder(hidden)
    with pytest.raises(ValueError, match="two attentions"):
        encoder(hidden, return_attention_diagonal=True)
    long = Hidden(states=jnp.zeros((1, 25, 2 * D)), mask=jnp.ones((1, 25), bool))
    with pytest.raises(ValueError, match="25 tokens long"):
        encoder(long)
    with pytest.raises(ValueError, match="outputs='first' is unknown"):
        make_encoder(outputs="first")
    with pytest.raises(ValueError, match="e.g. width=8"):
        CharacterChannelEmbedding(6, rngs=nnx.Rngs(0))
    ids = np.zeros((1, 1), np.int32)
    with pytest.raises(ValueError, match="no units, and CharacterChannelEmbedding reads them"):
        torchs_channel()(TextBatch(ids=ids, mask=ids == 0))
