"""Properties of the wave encoder: single layers, stacks, and what a token may see."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import make_random

from textzoo.modules import Hidden, MeanPooling, Normalize, TextBatch, WaveEncoder
from textzoo.modules.positions import sinusoidal_positions
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.objectives.token_masking import MaskingConfig, Vocabulary, mask_texts

WIDTH, LENGTH = 8, 10
KINDS = {
    "modulation": dict(hidden_dim=12, positions="sinusoidal"),
    "stack": dict(
        num_layers=2, operation="interference", readout="linear", second_level="sentence",
        hidden_dim=12, norm="pre", use_residual=True, use_input_norm=True, use_final_norm=True,
        positions="learned", max_length=16, length_normalization="mean",
    ),
    "causal": dict(operation="interference", readout="modulus", is_causal=True),
    "cloze": dict(operation="interference", readout="imaginary"),
    "bare": dict(use_projections=False, norm="none", readout="real"),
}  # fmt: skip
any_kind = pytest.mark.parametrize("kind", KINDS)


@functools.cache
def make_encoder(kind, **options):
    return make_random(lambda: WaveEncoder(WIDTH, **KINDS[kind] | options, rngs=nnx.Rngs(0)))


@functools.cache
def compiled(encoder, **options):
    graphdef, state = nnx.split(encoder)
    run = jax.jit(lambda state, hidden: nnx.merge(graphdef, state)(hidden, **options))
    return functools.partial(run, state)


def apply(kind, hidden, **options):
    return compiled(make_encoder(kind), **options)(hidden)


def make_hidden(**fields):
    """Texts of 10, 6 and 0 tokens."""
    states = np.random.default_rng(0).normal(size=(3, LENGTH, WIDTH))
    mask = np.arange(LENGTH) < np.array([10, 6, 0])[:, None]
    return Hidden(
        states=jnp.asarray(states, jnp.float32), mask=jnp.asarray(mask),
        type_ids=jnp.asarray([[0] * 4 + [1] * 3 + [0] * 3, [1] * 2 + [0] * 8, [0] * 10]),
        **fields,
    )  # fmt: skip


def without_sentences(kind):
    """Without numbers of sentences, a stack compiles in half the time."""
    return make_hidden() if kind != "stack" else make_hidden().replace(type_ids=None)


def close(ours, wanted, limit=1e-5):
    ours, wanted = np.asarray(ours), np.asarray(wanted)
    assert np.abs(wanted).mean() > 0.1
    assert np.abs(ours - wanted).max() < limit


@any_kind
def test_a_text_depends_on_neither_its_batch_nor_its_padding(kind):
    hidden = make_hidden()
    states = apply(kind, hidden).states
    assert np.isfinite(states).all()
    other = jnp.where(hidden.mask[..., None], hidden.states, 9.0)[jnp.asarray([1, 0, 2])]
    swapped = hidden.replace(
        states=other, mask=hidden.mask[jnp.asarray([1, 0, 2])],
        type_ids=hidden.type_ids[jnp.asarray([1, 0, 2])],
    )  # fmt: skip
    found = apply(kind, swapped).states
    close(found[0, :6], states[1, :6])
    close(found[1], states[0])


@pytest.mark.parametrize("kind", ["modulation", "stack", "causal"])
def test_packed_rows_equal_separate_rows(kind):
    hidden = make_hidden()
    hidden = hidden.replace(mask=hidden.mask.at[0, 4:].set(False))
    states = apply(kind, hidden).states
    pack = lambda x: jnp.concatenate([x[1:2, :6], x[:1, :4]], axis=1)  # noqa: E731
    packed = Hidden(
        states=pack(hidden.states), mask=jnp.ones((1, 10), bool), type_ids=pack(hidden.type_ids),
        positions=jnp.asarray([[*range(6), *range(4)]]),
        segment_ids=jnp.asarray([[1] * 6 + [2] * 4]),
    )  # fmt: skip
    together = apply(kind, packed).states[0]
    close(together[:6], states[1, :6])
    close(together[6:], states[0, :4])


@functools.cache
def gradient_of(kind):
    graphdef, state = nnx.split(make_encoder(kind))

    def loss(state, hidden):
        vectors = Normalize()(MeanPooling()(nnx.merge(graphdef, state)(hidden), None))
        return (vectors * jnp.cos(jnp.arange(vectors.size)).reshape(vectors.shape)).sum()

    return functools.partial(jax.jit(jax.grad(loss, argnums=(0, 1), allow_int=True)), state)


@pytest.mark.parametrize("kind", ["modulation", "stack"])
@pytest.mark.parametrize("text", ["alone", "nothing", "equal", "zeros"])
def test_gradients_are_finite_for_texts_without_a_slope(kind, text):
    hidden = without_sentences(kind)
    changed = {
        "alone": dict(mask=jnp.arange(LENGTH)[None] < jnp.ones((3, 1))),
        "nothing": dict(mask=jnp.zeros_like(hidden.mask)),
        "equal": dict(states=jnp.broadcast_to(hidden.states[:1, :1], hidden.states.shape)),
        "zeros": dict(states=jnp.zeros_like(hidden.states)),
    }[text]
    of_parameters, of_input = gradient_of(kind)(hidden.replace(**changed))
    gradients = [*jax.tree.leaves(of_parameters), of_input.states]
    assert all(np.isfinite(g).all() for g in gradients)
    if text == "nothing":
        assert not any(np.any(g) for g in gradients)


@any_kind
def test_a_row_of_padding_pools_to_zeros(kind):
    assert not np.asarray(MeanPooling()(apply(kind, make_hidden()), None))[2].any()


@pytest.mark.parametrize("kind", ["modulation", "causal"])
def test_half_precision_stays_within_a_hundredth(kind):
    hidden = make_hidden()
    exact = MeanPooling()(apply(kind, hidden), None)[:2]
    half = compiled(make_encoder(kind, dtype="bfloat16"))(
        hidden.replace(states=hidden.states.astype(jnp.bfloat16))
    )
    assert half.states.dtype == jnp.bfloat16
    found = Normalize()(MeanPooling()(half, None))[:2]
    assert np.abs(found - Normalize()(exact)).max() < 1e-2


def test_a_causal_state_is_that_of_its_prefix():
    hidden = make_hidden()
    states = apply("causal", hidden).states
    run = compiled(make_encoder("causal", is_causal=False))
    for length in (1, 2, 5, 10):
        prefix = run(hidden.replace(mask=hidden.mask & (jnp.arange(LENGTH) < length)))
        close(states[0, length - 1], prefix.states[0, length - 1])


def slopes(kind):
    """How much the state of one token depends on another, ``[L, L]``."""
    hidden = make_hidden()
    rows = lambda states: apply(kind, hidden.replace(states=states)).states[0]  # noqa: E731
    by_input = jax.jit(jax.jacrev(rows))(hidden.states)[:, :, 0]
    return np.abs(np.asarray(by_input)).sum(axis=(1, 3))


def test_a_causal_encoder_sees_nothing_of_what_follows():
    found = slopes("causal")
    np.testing.assert_array_equal(np.triu(found, 1), 0)
    assert found[np.tril_indices(LENGTH)].min() > 1e-4
    assert slopes("modulation").min() > 1e-4  # the magnitude of the text gives it away


def test_the_imaginary_part_of_interference_sees_all_but_the_token_itself():
    found = slopes("cloze")
    np.testing.assert_array_equal(np.diag(found), 0)
    assert found[~np.eye(LENGTH, dtype=bool)].min() > 1e-4


def test_states_of_a_masked_text_hold_nothing_of_the_masked_tokens():
    rng, mask = np.random.default_rng(0), np.ones((2, LENGTH), bool)
    ids = rng.integers(5, 60, (2, LENGTH)).astype(np.int32)
    vocabulary = Vocabulary(mask_id=4, special_ids=(0, 1, 2, 3), vocab_size=60)

    @jax.jit
    def masked(ids):
        batch = TrainBatch(texts=(TextBatch(ids=ids, mask=jnp.asarray(mask)),))
        masking = MaskingConfig(rate=0.3, mask_share=1.0, random_share=0.0)
        return mask_texts(jax.random.key(1), batch, masking, vocabulary, step=jnp.asarray(0))

    slots = np.asarray(masked(ids).selection.slots)
    other = ids.copy()
    np.put_along_axis(other, slots, 64 - np.take_along_axis(ids, slots, 1), 1)
    table = jnp.asarray(rng.normal(size=(60, WIDTH)), jnp.float32)

    def states(texts):
        return apply("stack", texts.with_states(table[jnp.asarray(texts.ids)])).states

    first, second = (states(masked(i).texts) for i in (ids, other))
    np.testing.assert_array_equal(first, second)
    plain = [states(TextBatch(ids=i, mask=mask)) for i in (ids, other)]
    assert np.abs(plain[0] - plain[1]).max(axis=-1).min() > 1e-4  # all states, without masks


def test_readings_that_are_bags_of_words_are_known():
    hidden = make_hidden()
    real = make_encoder("cloze", readout="real")
    before, after = (
        compiled(real)(hidden.replace(states=hidden.states.at[0, 0].set(value))).states
        for value in (0.0, 5.0)
    )
    np.testing.assert_array_equal(before[0, 1:], after[0, 1:])
    product = compiled(make_encoder("causal", operation="modulation", is_causal=False))
    states = product(hidden).states[0]
    close(states, jnp.broadcast_to(states[:1], states.shape))


def test_a_layer_is_its_equation():
    hidden = make_hidden()
    bare = apply("bare", hidden).states[0]
    x = np.asarray(hidden.states[0], np.float64)
    # Z Z with Re = u^2 - s^2, where s^2 = G^2 - u^2.
    close(bare, x**2 - ((x**2).sum(0) - x**2), limit=1e-4)


def affine(part, x):
    return x @ np.asarray(part.kernel[...], np.float64) + np.asarray(part.bias[...])


def normed(norm, x):
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    return x * np.asarray(norm.scale[...]) + np.asarray(norm.bias[...])


def polar(u, runs):
    """Waves of one text from its runs of tokens, in complex numbers."""
    z = np.zeros(u.shape, complex)
    for run in runs:
        magnitude = np.sqrt((u[run] ** 2).sum(0))
        z[run] = magnitude * np.exp(1j * np.arccos(u[run] / magnitude))
    return z


def feed(block, x):
    x = affine(block.up, x)
    erf = np.vectorize(math.erf)
    return affine(block.down, x * (1 + erf(x / 2**0.5)) / 2)


def test_the_single_layer_is_the_paper_s_in_complex_numbers():
    encoder, hidden = make_encoder("modulation"), make_hidden()
    x = np.asarray(hidden.states[0], np.float64)
    x = x + np.asarray(sinusoidal_positions(jnp.arange(LENGTH)[None], WIDTH)[0])
    layer, text = encoder.layers[0], [slice(None)]
    product = polar(affine(layer.first, x), text) * polar(affine(layer.second, x), text)
    wanted = normed(layer.norm, feed(layer.feed_forward, product.real))
    close(apply("modulation", hidden).states[0], wanted)


def test_the_stack_is_the_paper_s_in_complex_numbers():
    encoder, hidden = make_encoder("stack", length_normalization="none"), make_hidden()
    x = np.asarray(hidden.states[0] + encoder.positions.table[:LENGTH], np.float64)
    x = normed(encoder.input_norm, x)
    sentences = [slice(0, 4), slice(4, 7), slice(7, 10)]
    for layer in encoder.layers:
        y = normed(layer.norm, x)
        z = polar(affine(layer.first, y), [slice(None)]) + polar(affine(layer.second, y), sentences)
        kernel = np.asarray(layer.join.kernel[...], np.float64)
        y = z.real @ kernel[0] + z.imag @ kernel[1] + np.asarray(layer.join.bias[...])
        x = x + feed(layer.feed_forward, y)
    found = compiled(encoder)(hidden).states[0]
    close(found, normed(encoder.final_norm, x))


def test_a_residual_layer_adds_to_its_input():
    hidden = make_hidden()
    residual = compiled(make_encoder("bare", use_residual=True))(hidden).states
    close(residual - hidden.states, apply("bare", hidden).states, limit=1e-4)


def test_sentences_are_measured_by_themselves():
    hidden = make_hidden()
    run = compiled(make_encoder("causal", is_causal=False, first_level="sentence",
                                second_level="sentence"))  # fmt: skip
    states = run(hidden).states[0]
    alone = run(hidden.replace(mask=hidden.mask & (hidden.type_ids == 1))).states[0]
    close(states[4:7], alone[4:7])
    text = compiled(make_encoder("causal", is_causal=False))
    assert np.abs(text(hidden).states[0] - states).max() > 0.1
    close(run(hidden.replace(type_ids=None)).states, text(hidden).states)


def test_layers_are_returned():
    hidden = make_hidden()
    out = apply("bare", hidden, return_layers=True)
    np.testing.assert_array_equal(out.layers[0], hidden.states)
    np.testing.assert_array_equal(out.layers[1], out.states)
    assert len(out.layers) == 2 and apply("bare", hidden).layers is None


def test_states_that_are_computed_again_are_the_same():
    lean = nnx.view(make_encoder("modulation"), remat="full")
    found = compiled(lean)(make_hidden()).states
    close(found, apply("modulation", make_hidden()).states, limit=1e-6)


def test_eager_equals_compiled():
    hidden = make_hidden()
    close(make_encoder("cloze")(hidden).states, apply("cloze", hidden).states)


def test_dropout_is_on_the_input_and_on_every_layer():
    encoder = WaveEncoder(WIDTH, use_projections=False, dropout=0.5, rngs=nnx.Rngs(0))
    train = nnx.view(encoder, deterministic=False)
    graphdef, state = nnx.split(train)

    @jax.jit
    def layers(key):
        run = nnx.merge(graphdef, state)
        return run(make_hidden(), return_layers=True, rngs=nnx.Rngs(dropout=key)).layers

    first, again, other = (layers(jax.random.key(seed)) for seed in (0, 0, 1))
    for a, b, c in zip(first, again, other, strict=True):
        assert 0.3 < np.mean(np.asarray(a) == 0) < 0.7
        np.testing.assert_array_equal(a, b)
        assert np.any(np.asarray(a) != np.asarray(c))


def test_sinusoids_are_those_of_the_paper():
    found = np.asarray(sinusoidal_positions(jnp.asarray([[0, 3]]), 4))
    # Frequencies 1 and 10,000^(-2/4) = 0.01.
    wanted = [[0, 1, 0, 1], [np.sin(3), np.cos(3), np.sin(0.03), np.cos(0.03)]]
    np.testing.assert_allclose(found[0], wanted, atol=1e-6)
    assert sinusoidal_positions(jnp.asarray([[1]]), 5).shape == (1, 1, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(operation="addition"), "operation='addition'.*interference, modulation"),
        (dict(readout="phase"), "readout='phase'.*real, linear"),
        (dict(first_level="word"), "first_level='word'.*token, sentence, text"),
        (dict(norm="rms"), "norm='rms'.*post, pre, none"),
        (dict(length_normalization="sqrt"), "length_normalization='sqrt'.*magnitude"),
        (dict(num_layers=0), "num_layers=0; use 1 or more"),
        (dict(positions="rotary"), "positions='rotary'.*sinusoidal, learned"),
        (dict(positions="learned"), "max_length=None; give the longest text"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        WaveEncoder(WIDTH, **options, rngs=nnx.Rngs(0))


def test_bad_inputs_are_refused():
    hidden = make_hidden()
    with pytest.raises(ValueError, match="has no attention; use a TransformerEncoder"):
        make_encoder("bare")(hidden, return_attention_diagonal=True)
    with pytest.raises(ValueError, match="8 wide, the encoder 4; give the embedding width=4"):
        WaveEncoder(4, rngs=nnx.Rngs(0))(hidden)
    short = WaveEncoder(WIDTH, positions="learned", max_length=9, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="10 tokens long, there are positions for 9"):
        short(hidden)
    with pytest.raises(ValueError, match="remat='some' is unknown"):
        nnx.view(make_encoder("bare"), remat="some")
