"""Properties of the transformer encoder, for the options of every kind of family."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_families import make_random

from textzoo.modules import Hidden, MeanPooling, Normalize, TransformerEncoder, attention

WIDTH, LENGTH = 8, 10
BASE = dict(num_layers=2, num_heads=2, hidden_dim=12, max_length=16)
KINDS = {
    "bert": BASE | dict(num_types=2),
    "mpnet": BASE | dict(position_offset=2, relative_buckets=8, relative_max_distance=12),
    "albert": BASE | dict(num_layers=4, num_groups=1, group_size=2, embed_dim=WIDTH),
    "modernbert": BASE
    | dict(
        num_layers=3,
        positions="rotary",
        norm="pre",
        use_final_norm=True,
        skip_first_attention_norm=True,
        gated=True,
        use_bias=False,
        use_norm_bias=False,
        local_window=4,
        global_every=3,
        local_rotary_theta=100.0,
    ),
}

any_kind = pytest.mark.parametrize("kind", KINDS)


@functools.cache
def make_encoder(kind, **options):
    options = BASE | KINDS[kind] | options
    return make_random(lambda: TransformerEncoder(WIDTH, **options, rngs=nnx.Rngs(0)))


@functools.cache
def compiled(encoder, **options):
    graphdef, state = nnx.split(encoder)
    run = jax.jit(lambda state, hidden: nnx.merge(graphdef, state)(hidden, **options))
    return functools.partial(run, state)


def apply(encoder, hidden, **options):
    return compiled(encoder, **options)(hidden)


def make_hidden(rows=3, length=LENGTH, seed=0, **fields):
    states = np.random.default_rng(seed).normal(size=(rows, length, WIDTH))
    mask = np.ones((rows, length), bool)
    if rows == 3:
        mask[1, 6:] = False
        mask[2, 2:4] = False
    return Hidden(
        states=jnp.asarray(states, jnp.float32),
        mask=jnp.asarray(mask),
        **{name: jnp.asarray(value) for name, value in fields.items()},
    )


def rows_of(hidden, rows):
    return jax.tree.map(lambda x: x[rows], hidden)


def close(ours, wanted, mask=None, limit=1e-5):
    ours, wanted = np.asarray(ours), np.asarray(wanted)
    assert np.abs(wanted).mean() > 0.1
    difference = np.abs(ours - wanted) if mask is None else np.abs(ours - wanted)[np.asarray(mask)]
    assert difference.max() < limit


@any_kind
def test_a_text_depends_on_neither_its_batch_nor_its_padding(kind):
    encoder, hidden = make_encoder(kind), make_hidden()
    states = apply(encoder, hidden).states
    elsewhere = jnp.where(hidden.mask[..., None], hidden.states, -3.0)
    close(apply(encoder, hidden.replace(states=elsewhere)).states, states, hidden.mask)
    alone = Hidden(
        states=jnp.pad(hidden.states[2:], ((0, 0), (0, 3), (0, 0)), constant_values=7.0),
        mask=jnp.pad(hidden.mask[2:], ((0, 0), (0, 3))),
    )
    close(apply(encoder, alone).states[:, :LENGTH], states[2:], hidden.mask[2:])


@any_kind
def test_packed_rows_equal_separate_rows(kind):
    encoder, hidden = make_encoder(kind), make_hidden()
    # Row 1 is six tokens long; four of row 0 go behind them.
    hidden = hidden.replace(mask=hidden.mask.at[0, 4:].set(False))
    states = apply(encoder, hidden).states
    packed = Hidden(
        states=jnp.concatenate([hidden.states[1:2, :6], hidden.states[:1, :4]], 1),
        mask=jnp.ones((1, 10), bool),
        positions=jnp.asarray([[*range(6), *range(4)]]),
        segment_ids=jnp.asarray([[1] * 6 + [2] * 4]),
    )
    together = apply(encoder, packed).states[0]
    close(together[:6], states[1, :6])
    close(together[6:], states[0, :4])


@pytest.mark.parametrize("kind", ["mpnet", "modernbert"])
def test_a_row_of_padding_is_finite_and_pools_to_zeros(kind):
    hidden = make_hidden()
    hidden = hidden.replace(mask=hidden.mask.at[1].set(False))
    encoder = make_encoder(kind)
    out = apply(encoder, hidden)
    assert np.isfinite(out.states).all()
    assert not np.asarray(Normalize()(MeanPooling()(out, None)))[1].any()

    graphdef, state = nnx.split(encoder)

    def loss(state, states):
        out = nnx.merge(graphdef, state)(hidden.replace(states=states))
        return (Normalize()(MeanPooling()(out, None)) ** 3).sum()

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(state, hidden.states)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    by_token = np.abs(gradients[1]).sum(-1)
    assert (by_token[~np.asarray(hidden.mask)] == 0).all()
    assert (by_token[np.asarray(hidden.mask)] > 0).all()


@pytest.mark.parametrize("kind", ["mpnet", "modernbert"])
def test_blocks_equal_plain_attention(kind, monkeypatch):
    encoder, hidden = make_encoder(kind), make_hidden()
    states = apply(encoder, hidden).states
    in_blocks = attention._attend_in_blocks
    monkeypatch.setattr(attention, "_CPU_BLOCK_SCORES", 40)  # two rows of one text
    monkeypatch.setattr(attention, "_attend_in_blocks", lambda *args: in_blocks(*args))
    graphdef, state = nnx.split(encoder)
    run = jax.jit(lambda state, hidden: nnx.merge(graphdef, state)(hidden))
    assert "stablehlo.while" in run.lower(state, hidden).as_text()
    close(run(state, hidden).states, states, hidden.mask)


@any_kind
def test_layers_and_diagonal_are_those_of_a_plain_run(kind):
    encoder, hidden = make_encoder(kind), make_hidden()
    plain = apply(encoder, hidden)
    assert plain.layers is None
    assert plain.attention_diagonal is None
    full = apply(encoder, hidden, return_layers=True, return_attention_diagonal=True)
    close(full.states, plain.states, hidden.mask)
    depth = KINDS[kind]["num_layers"]
    assert len(full.layers) == depth + 1
    last = full.layers[-1]
    close(last if encoder.final_norm is None else encoder.final_norm(last), full.states)
    diagonal = np.asarray(full.attention_diagonal)
    assert diagonal.shape == (3, depth, 2, LENGTH)
    seen = np.broadcast_to(np.asarray(hidden.mask)[:, None, None], diagonal.shape)
    assert (diagonal[seen] > 0).all()
    assert (diagonal[~seen] == 0).all()


def test_the_first_layer_is_what_goes_into_the_stack():
    encoder, hidden = make_encoder("bert"), make_hidden()
    first = apply(encoder, hidden, return_layers=True).layers[0]
    table = np.asarray(encoder.position_table[...])[:LENGTH]
    summed = np.asarray(hidden.states) + table + np.asarray(encoder.type_table[...])[0]
    close(first, encoder.input_norm(jnp.asarray(summed)))


def test_local_layers_see_their_window_only():
    encoder, hidden = make_encoder("modernbert", num_layers=2, global_every=2), make_hidden()
    out = apply(encoder, hidden, return_layers=True)
    # Window 4 reaches two tokens to either side; layer 1 is local.
    positions = jnp.arange(LENGTH)[None]
    near = jnp.abs(positions[:, :, None] - positions[:, None, :])[:, None] <= 2
    graphdef, state = nnx.split(encoder.layers[1])

    @jax.jit
    def local_layer(states):
        allowed = near & hidden.mask[:, None, None, :]
        return nnx.merge(graphdef, state)(states, allowed, positions=positions)[0]

    close(out.layers[2], local_layer(out.layers[1]))
    # The other layer is global: a change of the first token reaches the last one there.
    changed = hidden.replace(states=hidden.states.at[:, 0, 0].add(3.0))
    difference = apply(encoder, changed, return_layers=True).layers[1] - out.layers[1]
    assert (np.abs(difference[0]).max(-1) > 1e-4).all()


def test_positions_default_to_the_place_in_the_row():
    encoder, hidden = make_encoder("bert"), make_hidden()
    states = apply(encoder, hidden).states
    given = hidden.replace(positions=jnp.broadcast_to(jnp.arange(LENGTH), (3, LENGTH)))
    close(apply(encoder, given).states, states, hidden.mask)
    moved = hidden.replace(positions=given.positions[:, ::-1])
    assert np.abs(apply(encoder, moved).states - states).max() > 0.01


def test_relative_bias_tells_order_apart():
    encoder = make_encoder("mpnet", positions="none")
    hidden = make_hidden(1)
    backwards = hidden.replace(states=hidden.states[:, ::-1])
    there, back = apply(encoder, hidden).states, apply(encoder, backwards).states[:, ::-1]
    assert np.abs(there - back).max() > 0.01


def test_token_types_default_to_zero():
    encoder, hidden = make_encoder("bert"), make_hidden()
    zeros = hidden.replace(type_ids=jnp.zeros((3, LENGTH), jnp.int32))
    close(apply(encoder, zeros).states, apply(encoder, hidden).states, hidden.mask)
    ones = hidden.replace(type_ids=jnp.ones((3, LENGTH), jnp.int32))
    assert np.abs(apply(encoder, ones).states - apply(encoder, hidden).states).max() > 0.01


def test_shared_layers_are_repeated_group_after_group():
    # 8 layers in 2 groups of 2, so each group runs twice: 0 1 0 1 2 3 2 3.
    encoder = make_encoder("albert", num_layers=8, num_groups=2)
    assert len(encoder.layers) == 4
    assert [encoder._own_layer(index) for index in range(8)] == [0, 1, 0, 1, 2, 3, 2, 3]
    # ALBERT: one layer for all; and without sharing, each its own.
    albert = make_encoder("bert", num_layers=3, num_groups=1)
    assert [albert._own_layer(index) for index in range(3)] == [0, 0, 0]
    plain = make_encoder("bert", num_layers=3)
    assert [plain._own_layer(index) for index in range(3)] == [0, 1, 2]


def test_narrow_states_are_widened():
    options = BASE | dict(num_layers=1, embed_dim=WIDTH)
    encoder = make_random(lambda: TransformerEncoder(12, **options, rngs=nnx.Rngs(0)))
    assert encoder.position_table.shape == (16, WIDTH)
    assert apply(encoder, make_hidden()).states.shape == (3, LENGTH, 12)


def test_a_batch_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="17 tokens long, the encoder takes at most 16"):
        make_encoder("bert")(make_hidden(1, 17))


def test_dropout_depends_on_the_key_and_needs_one():
    encoder = make_encoder("bert", num_layers=1, dropout=0.3, attention_dropout=0.3)
    hidden = make_hidden()
    training = nnx.view(encoder, deterministic=False)
    graphdef, state = nnx.split(training)

    @jax.jit
    def run(seed):
        return nnx.merge(graphdef, state)(
            hidden, rngs=nnx.Rngs(dropout=jax.random.key(seed))
        ).states

    assert (run(0) == run(0)).all()
    assert np.abs(run(0) - run(1)).max() > 0.01
    with pytest.raises(Exception, match="rngs"):
        training(hidden)
    assert np.abs(run(0) - apply(encoder, hidden).states).max() > 0.01


def test_compiled_equals_eager():
    encoder, hidden = make_encoder("modernbert", num_layers=2), make_hidden()
    close(apply(encoder, hidden).states, encoder(hidden).states, hidden.mask)


@pytest.mark.parametrize("kind", ["mpnet", "modernbert"])
def test_bfloat16_is_close_to_float32(kind):
    hidden = make_hidden()
    exact = np.asarray(apply(make_encoder(kind), hidden).states)
    rough = hidden.replace(states=hidden.states.astype(jnp.bfloat16))
    states = apply(make_encoder(kind, dtype="bfloat16"), rough).states
    assert states.dtype == jnp.bfloat16
    mask = np.asarray(hidden.mask)
    error = np.asarray(states, np.float32)[mask] - exact[mask]
    assert np.sqrt((error**2).mean()) < 0.03 * exact[mask].std()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": "sinusoidal"}, "positions='sinusoidal' is unknown; use one of learned"),
        ({"norm": "both"}, "norm='both'"),
        ({"num_groups": 3}, "num_layers=2 is not a multiple of num_groups=3"),
        ({"num_groups": 1, "local_window": 4}, "shared layers cannot be local"),
        ({"relative_buckets": 7}, "relative_buckets=7"),
        ({"skip_first_attention_norm": True}, "needs norm='pre'"),
        ({"num_heads": 3}, "not divisible by num_heads=3"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TransformerEncoder(WIDTH, **BASE | options, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("policy", ["dots", "full"])
def test_computing_layers_again_changes_neither_values_nor_gradients(policy):
    encoder = TransformerEncoder(
        8, num_layers=2, num_heads=2, hidden_dim=16, max_length=8, dropout=0.3,
        attention_dropout=0.2, rngs=nnx.Rngs(0),
    )  # fmt: skip
    states = jax.random.normal(jax.random.key(1), (3, 5, 8))
    hidden = Hidden(states=states, mask=jnp.ones((3, 5), bool))

    def loss_and_gradient(**view):
        module = nnx.view(encoder, deterministic=False, **view)

        def loss(module):
            return jnp.square(module(hidden, rngs=nnx.Rngs(dropout=7)).states).sum()

        return nnx.value_and_grad(loss)(module)

    kept, again = loss_and_gradient(), loss_and_gradient(remat=policy)
    chex.assert_trees_all_close(again[0], kept[0], rtol=1e-6)
    chex.assert_trees_all_close(
        jax.tree.leaves(again[1]), jax.tree.leaves(kept[1]), rtol=1e-5, atol=1e-6
    )


def test_an_unknown_remat_policy_is_refused():
    encoder = TransformerEncoder(
        8, num_layers=1, num_heads=2, hidden_dim=16, max_length=8, rngs=nnx.Rngs(0)
    )
    with pytest.raises(ValueError, match="'everything' is unknown; use one of none, dots, full"):
        nnx.view(encoder, remat="everything")
