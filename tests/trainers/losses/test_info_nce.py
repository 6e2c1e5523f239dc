import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from textzoo.errors import ConfigError
from textzoo.trainers.losses.contrast import DIRECTIONS, ContrastConfig
from textzoo.trainers.losses.info_nce import contrast, info_nce

BOTH = ("query_to_document", "document_to_query")
GTE = ContrastConfig(directions=DIRECTIONS)
SYMMETRIC = ContrastConfig(directions=BOTH, normalization="per_direction")


def value(queries, documents, *, temperature=0.05, config=None, **arrays):
    """The loss, compiled: operation by operation it takes ten times as long to start."""
    function = jax.jit(
        lambda q, d, a: info_nce(q, d, temperature=temperature, config=config, **a).value()
    )
    return function(queries, documents, arrays)


def assert_near(one, other, limit=1e-6):
    """Relative to the whole array: small entries of a gradient are sums of large ones."""
    assert np.linalg.norm(one - other) <= limit * np.linalg.norm(other)


def make(rows, group, width=6, seed=0):
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(rows, width)).astype(np.float32)
    documents = rng.normal(size=(rows, group, width)).astype(np.float32)
    documents[:, 0] += queries
    return jnp.array(queries), jnp.array(documents)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def by_loops(queries, documents, temperature, config, *, left_out=lambda *cell: False, keep=None):
    """The equations, one exponential after the other, in float64.

    ``left_out(i, kind, j, g)`` says which candidates of row i are no negatives.
    """
    q, d = np.asarray(queries, np.float64), np.asarray(documents, np.float64)
    if config.similarity == "cosine":
        q, d = unit(q), unit(d)
    rows, group = d.shape[:2]
    real = range(rows) if keep is None else np.flatnonzero(keep)
    losses = []
    for i in real:
        own = {kind: [] for kind in DIRECTIONS}
        for j, g in itertools.product(real, range(group)):
            mine, positive = i == j, i == j and g == 0
            allowed = {
                "all": True, "positives_and_own": mine or g == 0, "own": mine,
            }[config.candidates]  # fmt: skip
            if positive or (allowed and not left_out(i, "document", j, g)):
                s = q[i] @ d[j, g]
                penalized = {
                    None: False, "in_batch_negatives": not mine, "all_negatives": not positive,
                    "hard_negatives": mine and not positive,
                }[config.hardness]  # fmt: skip
                s = s / temperature + penalized * config.hardness_strength * s
                own["query_to_document"].append(s)
            if not mine and allowed and not left_out(i, "same", j, g):
                own["document_to_document"].append(d[i, 0] @ d[j, g] / temperature)
            if g == 0 and (mine or not left_out(i, "backward", j, 0)):
                own["document_to_query"].append(d[i, 0] @ q[j] / temperature)
            if g == 0 and not mine and not left_out(i, "query", j, 0):
                own["query_to_query"].append(q[i] @ q[j] / temperature)
        sums = [np.exp(own[kind]).sum() for kind in config.directions]
        log = np.log(sum(sums)) if config.normalization == "joint" else np.mean(np.log(sums))
        losses.append(log - q[i] @ d[i, 0] / temperature)
    return np.mean(losses)


VARIANTS = {
    "forward": ContrastConfig(),
    "symmetric": SYMMETRIC,
    "gte": GTE,
    "same_queries": ContrastConfig(directions=("query_to_document", "query_to_query")),
    "same_documents": ContrastConfig(directions=("query_to_document", "document_to_document")),
    "joint_both": ContrastConfig(directions=BOTH),
    "dot": ContrastConfig(similarity="dot", directions=DIRECTIONS),
    "gecko": ContrastConfig(
        candidates="positives_and_own", directions=("query_to_document", "query_to_query")
    ),
    "own": ContrastConfig(candidates="own"),
    "lan": ContrastConfig(hardness="in_batch_negatives", hardness_strength=9.0),
    "gemma": ContrastConfig(hardness="hard_negatives", hardness_strength=5.0),
    "all_hard": ContrastConfig(
        hardness="all_negatives", hardness_strength=2.0, directions=DIRECTIONS
    ),
}


@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_its_equation(name, group):
    queries, documents = make(5, group)
    temperature = 1.0 if name == "dot" else 0.1
    loss = value(queries, documents, temperature=temperature, config=VARIANTS[name])
    expected = by_loops(queries, documents, temperature, VARIANTS[name])
    np.testing.assert_allclose(loss, expected, rtol=2e-6, atol=1e-7)


def test_two_orthogonal_pairs_by_hand():
    # Cosines at temperature 1/2: positives 2, others 0, so each row is log(e^2 + 1) - 2.
    eye = jnp.eye(2)
    loss = info_nce(eye * 3, eye[:, None] * 7, temperature=0.5)
    assert loss.denominator == 2
    np.testing.assert_allclose(loss.numerator, 2 * (np.log(np.e**2 + 1) - 2), rtol=1e-6)
    # Both directions see the same numbers, so their mean is that again.
    both = value(eye, eye[:, None], temperature=0.5, config=SYMMETRIC)
    np.testing.assert_allclose(both, np.log(np.e**2 + 1) - 2, rtol=1e-6)
    # Jointly in four directions: 2 e^2 (the positive twice) and, for each of the four, one 1.
    joint = value(eye, eye[:, None], temperature=0.5, config=GTE)
    np.testing.assert_allclose(joint, np.log(2 * np.e**2 + 4) - 2, rtol=1e-6)


def test_a_hard_negative_equal_to_the_positive_costs_log_two_by_hand():
    loss = value(jnp.eye(1, 2), jnp.ones((1, 2, 2)), temperature=0.3)
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-6)


def test_one_pair_alone_has_loss_and_gradient_zero():
    queries, documents = make(1, 1)
    loss, gradient = jax.jit(jax.value_and_grad(lambda q: info_nce(q, documents).value()))(queries)
    assert loss == 0 and not gradient.any()


def test_tiny_losses_keep_their_precision():
    # The positive at 100, the negative at 80: log(1 + e^-20), which 1 + e^-20 - 1 would lose.
    queries = jnp.array([[1.0, 0.0]])
    documents = jnp.array([[[1.0, 0.0], [0.8, 0.6]]])
    loss = value(queries, documents, temperature=0.01)
    np.testing.assert_allclose(loss, np.log1p(np.exp(-20.0)), rtol=1e-4)


def test_the_symmetric_loss_does_not_care_which_side_is_which():
    queries, documents = make(6, 1)
    there = value(queries, documents, config=SYMMETRIC)
    back = value(documents[:, 0], queries[:, None], config=SYMMETRIC)
    np.testing.assert_allclose(there, back, rtol=1e-6)
    assert abs(there - value(queries, documents)) > 1e-3


@pytest.mark.parametrize("name", ["forward", "gte", "symmetric"])
def test_gradients_follow_the_rows_when_they_are_shuffled(name):
    queries, documents = make(5, 2)
    order = np.array([3, 0, 4, 1, 2])

    def gradients(q, d):
        loss = lambda q, d: info_nce(q, d, config=VARIANTS[name]).value()  # noqa: E731
        return jax.jit(jax.grad(loss, (0, 1)))(q, d)

    plain = gradients(queries, documents)
    shuffled = gradients(queries[order], documents[order])
    for one, other in zip(plain, shuffled, strict=True):
        assert_near(one[order], other)


@pytest.mark.parametrize("name", ["forward", "gte", "symmetric", "all_hard"])
def test_filler_rows_change_nothing_and_get_no_gradient(name):
    queries, documents = make(4, 2)
    mask = jnp.array([True, False, True, True, False, True])
    # A filler query is the worst candidate there could be.
    filled_queries = jnp.zeros((6, 6)).at[mask].set(queries).at[1].set(documents[0, 0])
    filled_documents = jnp.zeros((6, 2, 6)).at[mask].set(documents)
    keys = jnp.arange(18, dtype=jnp.uint32).reshape(6, 3)

    def loss(q, d, k, m):
        return info_nce(q, d, config=VARIANTS[name], keys=k, row_mask=m).value()

    gradients = jax.jit(jax.value_and_grad(loss, (0, 1)))
    plain = gradients(queries, documents, keys[mask], None)
    filled = gradients(filled_queries, filled_documents, keys, mask)
    np.testing.assert_allclose(filled[0], plain[0], rtol=1e-6)
    for one, other in zip(filled[1], plain[1], strict=True):
        assert_near(one[mask], other)
        assert not one[~mask].any()


def test_a_batch_of_filler_has_no_loss_and_no_gradient():
    queries, documents = make(3, 2)

    def loss(q):
        return info_nce(q, documents, config=GTE, row_mask=jnp.zeros(3, bool)).value()

    total, gradient = jax.jit(jax.value_and_grad(loss))(queries)
    assert total == 0 and not gradient.any()


def test_vectors_of_zeros_give_no_nan():
    zeros = jnp.zeros((3, 4))
    loss = lambda q: info_nce(q, zeros[:, None], config=GTE).value()  # noqa: E731
    gradient = jax.jit(jax.grad(loss))(zeros)
    assert np.isfinite(gradient).all()


def test_half_precision_vectors_are_compared_in_single_precision():
    queries, documents = make(8, 1)
    half = queries.astype(jnp.bfloat16), documents.astype(jnp.bfloat16)
    loss = value(*half, temperature=0.01)
    single = value(*(x.astype(jnp.float32) for x in half), temperature=0.01)
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, single, rtol=1e-6)


# Row: query, positive, hard negative. Text 20 is the positive of rows 0 and 3; text 1 the query of
# rows 1 and 4; the hard negative of row 2 is the positive of row 1, that of row 3 its own positive,
# that of row 5 the query of row 2; row 6 is unlike any other.
KEYS = np.array(
    [[0, 20, 30], [1, 21, 31], [2, 22, 21], [3, 20, 20], [1, 24, 34], [5, 25, 2], [6, 26, 36]],
    np.uint32,
)


def repeated(i, kind, j, g):
    """Which candidates the masks by key leave out, text by text."""
    text = KEYS[j, 0] if kind in ("query", "backward") else KEYS[j, 1 + g]
    if text in (KEYS[i, 0], KEYS[i, 1]):
        return True
    belongs_together = KEYS[i, 0] == KEYS[j, 0] or KEYS[i, 1] == KEYS[j, 1]
    return belongs_together and (kind in ("query", "backward") or g == 0)


@pytest.mark.parametrize("name", ["forward", "gte", "symmetric", "gecko"])
def test_equal_texts_are_not_negatives_of_one_another(name):
    queries, documents = make(len(KEYS), 2)
    config = VARIANTS[name]
    loss = value(queries, documents, temperature=0.1, config=config, keys=jnp.array(KEYS))
    expected = by_loops(queries, documents, 0.1, config, left_out=repeated)
    np.testing.assert_allclose(loss, expected, rtol=2e-6)
    unmasked = by_loops(queries, documents, 0.1, config)
    assert unmasked - expected > 0.01


@pytest.mark.parametrize(
    "keys",
    [
        [[0, 9, 5], [1, 9, 6]],  # the same positive
        [[0, 7, 5], [0, 8, 6]],  # the same query
        [[0, 7, 7], [1, 8, 0]],  # a hard negative that is the positive; one that is a query
    ],
)
def test_what_is_equal_is_left_out(keys):
    queries, documents = make(2, 2)
    masked = value(queries, documents, temperature=1.0, keys=jnp.array(keys, jnp.uint32))
    assert masked < value(queries, documents, temperature=1.0) - 0.05


def test_different_keys_change_nothing():
    queries, documents = make(4, 2)
    keys = jnp.arange(12, dtype=jnp.uint32).reshape(4, 3)
    with_keys = value(queries, documents, keys=keys, config=GTE)
    np.testing.assert_allclose(with_keys, value(queries, documents, config=GTE), rtol=1e-6)


@pytest.mark.parametrize("kind", ["absolute", "relative"])
@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("name", ["forward", "gte", "symmetric"])
def test_a_guide_leaves_out_what_it_finds_nearer_than_the_positive(name, margin, kind):
    queries, documents = make(6, 2)
    guide = np.random.default_rng(5).normal(size=(6, 3, 4)).astype(np.float32)
    config = VARIANTS[name].__class__(
        directions=VARIANTS[name].directions, normalization=VARIANTS[name].normalization,
        guide_margin=margin, guide_margin_kind=kind,
    )  # fmt: skip
    x = unit(guide.astype(np.float64))

    def too_near(i, kind_of_text, j, g):
        positive = x[i, 0] @ x[i, 1]
        floor = positive - margin * (abs(positive) if kind == "relative" else 1)
        first = x[i, 0] if kind_of_text in ("document", "query") else x[i, 1]
        second = x[j, 0] if kind_of_text in ("query", "backward") else x[j, 1 + g]
        return first @ second > floor

    loss = value(queries, documents, temperature=0.1, config=config, guide=jnp.array(guide))
    expected = by_loops(queries, documents, 0.1, config, left_out=too_near)
    np.testing.assert_allclose(loss, expected, rtol=2e-6)
    assert abs(expected - by_loops(queries, documents, 0.1, config)) > 1e-3


def test_hardness_changes_gradients_only_as_a_weight():
    # d/dq of log sum exp(s/t + a stop(s)) has weights p_j / t: those of the penalized softmax.
    queries, documents = make(3, 1)
    config = ContrastConfig(hardness="in_batch_negatives", hardness_strength=3.0, similarity="dot")

    def by_hand(q):
        s = jnp.einsum("be,ce->bc", q, documents[:, 0])
        penalty = 3.0 * jax.lax.stop_gradient(s) * (1 - jnp.eye(3))
        return (jax.nn.logsumexp(s + penalty, axis=1) - jnp.diagonal(s)).mean()

    gradient = jax.grad(lambda q: info_nce(q, documents, temperature=1.0, config=config).value())
    assert_near(jax.jit(gradient)(queries), jax.jit(jax.grad(by_hand))(queries))


def test_the_temperature_has_a_gradient():
    queries, documents = make(5, 2)

    @jax.jit
    def loss(temperature):
        return info_nce(queries, documents, temperature=temperature, config=GTE).value()

    t, step = 0.2, 1e-3
    slope = (loss(t + step) - loss(t - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(loss)(jnp.array(t)), slope, rtol=1e-2)


def test_metrics_of_three_rows_by_hand():
    # Row 0: positive 1, its own negative 0.6, of row 1 0 and 0.8: right. Row 1: positive 0.8, its
    # own negative 0, of row 0 0.6 and 1: wrong. Row 2 only fills up, with what would be right.
    queries = jnp.array([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    documents = jnp.array(
        [[[1.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [0.8, -0.6]], [[1.0, 0.0], [1.0, 0.0]]]
    )
    found = jax.jit(contrast)(queries, documents, row_mask=jnp.array([True, True, False]))
    np.testing.assert_allclose(found.positive_similarity.value(), (1 + 0.8) / 2, rtol=1e-6)
    np.testing.assert_allclose(found.hardest_negative_similarity.value(), 0.9, rtol=1e-6)
    assert found.accuracy.value() == 0.5 and found.accuracy.denominator == 2


def test_queries_without_negatives_do_not_count_in_the_metrics():
    queries, documents = make(2, 1)
    keys = jnp.array([[0, 5], [1, 5]], jnp.uint32)
    found = jax.jit(contrast)(queries, documents, keys=keys)
    assert found.accuracy.denominator == 0 and found.hardest_negative_similarity.denominator == 0
    assert found.positive_similarity.denominator == 2 and found.loss.value() == 0


def test_metrics_carry_no_gradient():
    queries, documents = make(3, 1)
    metrics = lambda q: sum(ratio.value() for ratio in contrast(q, documents)[1:])  # noqa: E731
    gradient = jax.jit(jax.grad(metrics))(queries)
    assert not gradient.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directions": ("query_to_documents",)}, "did you mean 'query_to_document'"),
        ({"directions": ("document_to_query",)}, "lacks 'query_to_document'"),
        ({"directions": DIRECTIONS, "normalization": "per_direction"}, "use normalization='joint'"),
        ({"candidates": "own", "directions": BOTH}, "its own documents only"),
        ({"hardness": "hard_negatives"}, "give both"),
        ({"hardness_strength": 2.0}, "give both"),
        ({"hardness": "hard", "hardness_strength": 2.0}, "hard_negatives"),
        ({"similarity": "cos"}, "cosine"),
        ({"guide_margin_kind": "relativ"}, "relative"),
    ],
)
def test_bad_options_are_refused_with_advice(options, message):
    with pytest.raises(ConfigError, match=message):
        ContrastConfig(**options)


def test_keys_for_another_number_of_texts_are_refused():
    queries, documents = make(3, 2)
    with pytest.raises(ConfigError, match="the 3 texts of a row"):
        info_nce(queries, documents, keys=jnp.zeros((3, 2), jnp.uint32))
