"""Replaced-token detection: samples, labels, what is shared and where gradients go."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo import ModelConfig, Part, build
from textzoo.errors import ConfigError
from textzoo.modules import TextBatch
from textzoo.modules.heads import ReplacedTokenHead
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.blueprint import Blueprint
from textzoo.trainers.losses.token_cross_entropy import binary_cross_entropy
from textzoo.trainers.objectives.masked_language import make_masked_language_head
from textzoo.trainers.objectives.replaced_token import (
    ELECTRA_MASKING,
    ReplacedTokenObjective,
    detection_metrics,
    generator_config,
    score_and_sample,
)
from textzoo.trainers.objectives.token_masking import MaskingConfig, Vocabulary, mask_texts

VOCAB, B, L = 20, 6, 16
VOCABULARY = Vocabulary(mask_id=4, special_ids=(0, 1, 2, 3), vocab_size=VOCAB)
EMBEDDING = Part("SubwordEmbedding", vocab_size=VOCAB, width=8)
CONFIG = ModelConfig(
    embedding=EMBEDDING,
    encoder=Part(
        "TransformerEncoder", width=8, num_layers=1, num_heads=2, hidden_dim=16, max_length=16,
        num_types=2,
    ),
    pooling=Part("MeanPooling"),
)  # fmt: skip
TABLE = ModelConfig(embedding=EMBEDDING)
"""No layers, which is enough where they do not matter and compiles in a fifth of the time."""
STEP = jnp.asarray(0)


def make_batch() -> TrainBatch:
    rng = np.random.default_rng(0)
    ids = rng.integers(5, VOCAB, (B, L)).astype(np.int32)
    mask = np.ones((B, L), bool)
    mask[1, 9:] = False
    mask[2] = False
    ids[:, 0] = 2
    ids[~mask] = 0
    return TrainBatch(texts=(TextBatch(ids=ids, mask=mask),), row_mask=np.arange(B) != 5)


def make_objective(*, weight=50.0, shared="none", favorite=None, config=CONFIG, **options):
    model = build(config, rngs=nnx.Rngs(0))
    if config is CONFIG:
        config = generator_config(CONFIG, 0.5)
    generator = build(config, rngs=nnx.Rngs(1))
    generator_head = make_masked_language_head(generator, rngs=nnx.Rngs(2))
    if favorite is not None:
        bias = generator_head.output_bias
        bias.set_value(bias[...].at[favorite].set(1e4))
    return ReplacedTokenObjective(
        model, generator, head=ReplacedTokenHead(8, rngs=nnx.Rngs(3)),
        generator_head=generator_head, vocabulary=VOCABULARY, weight=weight, shared=shared,
        **options,
    )  # fmt: skip


@functools.cache
def _compiled(graphdef):
    def loss(parameters, batch, key):
        objective = nnx.merge(graphdef, parameters)
        rngs = nnx.Rngs(dropout=key, objective=key)
        terms = objective(batch, step=STEP, rngs=rngs)
        return terms.total(), terms

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def run(objective, batch=None, *, training=True):
    view = nnx.view(objective, deterministic=not training)
    graphdef, parameters = nnx.split(view)
    batch = make_batch() if batch is None else batch
    (_, terms), gradients = _compiled(graphdef)(parameters, batch, jax.random.key(0))
    return terms, gradients


def masked_as_in_the_objective():
    mask_key, _ = jax.random.split(nnx.Rngs(objective=jax.random.key(0)).objective())
    return mask_texts(mask_key, make_batch(), ELECTRA_MASKING, VOCABULARY, step=STEP)


def leaves(gradients, part):
    return jax.tree.leaves(gradients[part])


def test_labels_and_losses_are_those_of_the_replaced_texts():
    masked, batch = masked_as_in_the_objective(), make_batch()
    selected, ids = np.asarray(masked.selection.selected), batch.texts[0].ids
    favorite = int(ids[selected][0])
    objective = make_objective(favorite=favorite)
    terms, _ = run(objective)
    replaced = selected & (ids != favorite)
    assert replaced.sum() < selected.sum(), "some guesses must be right"
    real = np.asarray(masked.real)
    text = batch.texts[0].replace(ids=np.where(selected, favorite, ids))
    logits = np.asarray(objective.head(objective.model(text).hidden.states), np.float64)
    losses = np.log1p(np.exp(np.where(replaced, -logits, logits)))
    ratio = terms.terms["detection"].ratio
    np.testing.assert_allclose(ratio.value(), losses[real].mean(), rtol=1e-5)
    assert ratio.denominator == real.sum()
    share = terms.metrics["replaced_share"]
    assert (share.numerator, share.denominator) == (replaced.sum(), real.sum())
    accuracy = ((logits > 0) == replaced)[real].mean()
    np.testing.assert_allclose(terms.metrics["detection_accuracy"].value(), accuracy, rtol=1e-6)
    hits = (selected & (ids == favorite)).sum() / selected.sum()
    np.testing.assert_allclose(terms.metrics["generator_accuracy"].value(), hits, rtol=1e-6)


def test_terms_have_the_weights_of_electra():
    terms, _ = run(make_objective(config=TABLE))
    assert {name: term.weight for name, term in terms.terms.items()} == {
        "generator": 1.0, "detection": 50.0}  # fmt: skip
    assert ELECTRA_MASKING.mask_share == 0.85
    assert ELECTRA_MASKING.random_share == 0


def test_nothing_flows_from_the_detection_into_the_generator():
    _, gradients = run(make_objective(config=TABLE))
    _, without = run(make_objective(config=TABLE, weight=1e-12))
    for part in ("generator", "generator_head"):
        for ours, theirs in zip(leaves(gradients, part), leaves(without, part), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert any(np.abs(leaf).max() > 0 for leaf in leaves(gradients, part))
    assert all(np.abs(leaf).max() < 1e-9 for leaf in leaves(without, "model"))
    assert any(np.abs(leaf).max() > 1e-3 for leaf in leaves(gradients, "model"))


def test_what_is_shared_is_one_parameter_that_both_losses_train():
    objective = make_objective(shared="all")
    model, generator = objective.model, objective.generator
    assert generator.embedding is model.embedding
    for name in ("position_table", "type_table", "input_norm"):
        assert getattr(generator.encoder, name) is getattr(model.encoder, name)
    names = Blueprint(objective).parameters
    assert sum(name.endswith("embedding.table") for name in names) == 1
    separate = Blueprint(make_objective(shared="none")).parameters
    assert len(separate) == len(names) + 5
    tokens = Blueprint(make_objective(shared="tokens")).parameters
    assert len(separate) == len(tokens) + 1

    def table_gradient(weight):
        _, gradients = run(make_objective(config=TABLE, shared="all", weight=weight))
        flat = nnx.to_flat_state(gradients)
        (found,) = [v[...] for path, v in flat if path[-2:] == ("embedding", "table")]
        return np.asarray(found)

    small, middle, large = (table_gradient(weight) for weight in (1e-12, 1.0, 2.0))
    assert np.abs(small).max() > 0
    assert np.abs(middle - small).max() > 0
    np.testing.assert_allclose(large - middle, middle - small, atol=1e-6)


def test_the_shared_table_is_the_one_that_is_exported():
    objective = make_objective(shared="all")
    blueprint = Blueprint(objective)
    arrays = {name: value + 1 for name, value in blueprint.arrays(blueprint.parameters).items()}
    before = objective.model.embedding.table[...]
    blueprint.restore(objective, arrays)
    np.testing.assert_allclose(objective.export().embedding.table[...], before + 1)
    assert objective.export() is objective.model


def test_evaluation_masks_15_percent_whatever_is_trained():
    objective = make_objective(config=TABLE, masking=MaskingConfig(rate=0.6))
    # Three rows of 15 candidates and one of 8: two and one of each.
    assert run(objective, training=False)[0].terms["generator"].ratio.denominator == 7
    assert run(objective)[0].terms["generator"].ratio.denominator == 32


def test_a_batch_of_padding_has_zero_loss_and_finite_gradients():
    terms, gradients = run(make_objective(), make_batch().replace(row_mask=np.zeros(B, bool)))
    assert terms.total() == 0
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(gradients))


def sample(logits, *, seed=0, block=None, temperature=1.0, weights=None):
    targets = jnp.zeros(logits.shape[:2], jnp.int32)
    weights = jnp.ones(logits.shape[:2]) if weights is None else weights
    return score_and_sample(
        lambda states: states, logits, targets, weights,
        key=jax.random.key(seed), temperature=temperature, block=block,
    )  # fmt: skip


def test_samples_follow_the_softmax():
    logits = jnp.log(jnp.asarray([0.5, 0.3, 0.2])) * jnp.ones((2000, 3, 1))
    for temperature, shares in ((1.0, [0.5, 0.3, 0.2]), (0.5, np.array([25, 9, 4]) / 38)):
        found = np.asarray(sample(logits, temperature=temperature).samples)
        assert (found[:, 0] != found[:, 1]).any() and (found[0] != found[1]).any()
        counts = np.bincount(found.ravel(), minlength=3) / 6000
        np.testing.assert_allclose(counts, shares, atol=4 * np.sqrt(0.25 / 6000))


def test_blocks_change_neither_samples_nor_losses():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(4, 5, 9)), jnp.float32)
    weights = jnp.asarray(rng.integers(0, 2, (4, 5)), jnp.float32)
    plain = sample(logits, weights=weights)
    for block in (1, 2, 5):
        blocked = sample(logits, block=block, weights=weights)
        np.testing.assert_array_equal(blocked.samples, plain.samples)
        np.testing.assert_allclose(blocked.loss, plain.loss, rtol=1e-6)
        assert blocked.accuracy == plain.accuracy
    assert (np.asarray(sample(logits, seed=1).samples) != np.asarray(plain.samples)).any()


def test_samples_pass_no_gradient():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 5)), jnp.float32)
    gradient = jax.grad(lambda x: sample(x).samples.astype(jnp.float32).sum())(logits)
    np.testing.assert_array_equal(gradient, 0)


def test_the_binary_loss_by_hand():
    logits = jnp.asarray([[0.0, 2.0, -1.0, 99.0]])
    labels = jnp.asarray([[True, True, False, False]])
    mask = jnp.asarray([[True, True, True, False]])
    # log 2, log(1 + e^-2), log(1 + e^-1)
    ratio = binary_cross_entropy(logits, labels, mask)
    np.testing.assert_allclose(ratio.numerator, 0.693147 + 0.126928 + 0.313262, rtol=1e-5)
    assert ratio.denominator == 3


def test_detection_metrics_by_hand():
    logits = jnp.asarray([[1.0, -1.0, 1.0, 1.0, 1.0]])
    replaced = jnp.asarray([[True, True, False, True, True]])
    real = jnp.asarray([[True, True, True, True, False]])
    found = detection_metrics(logits, replaced, real)
    wanted = {"replaced_share": (3, 4), "detection_accuracy": (2, 4), "detection_recall": (2, 3)}
    assert {name: tuple(map(float, ratio)) for name, ratio in found.items()} == wanted


def test_a_generator_is_a_narrow_copy_with_the_embeddings_of_the_model():
    found = generator_config(CONFIG, 0.5)
    options = found.encoder.options
    assert (options["width"], options["hidden_dim"], options["num_heads"]) == (4, 8, 1)
    assert options["embed_dim"] == 8
    assert options["num_layers"] == 1
    assert found.embedding == CONFIG.embedding
    assert found.pooling is None
    with pytest.raises(ConfigError, match="num_heads=2 times fraction=0.25 is no whole number"):
        generator_config(CONFIG, 0.25)
    static = CONFIG.replace(encoder=Part("IdentityEncoder"))
    with pytest.raises(ConfigError, match="this model has IdentityEncoder"):
        generator_config(static)


def test_inputs_of_different_shapes_cannot_be_shared():
    generator = CONFIG.with_options(encoder={"max_length": 8})
    model, other = (build(config, rngs=nnx.Rngs(0)) for config in (CONFIG, generator))
    with pytest.raises(ConfigError, match="shared='all': position_table of the model"):
        ReplacedTokenObjective(
            model, other, head=ReplacedTokenHead(8, rngs=nnx.Rngs(0)),
            generator_head=make_masked_language_head(other, rngs=nnx.Rngs(0)),
            vocabulary=VOCABULARY,
        )  # fmt: skip
    assert other.embedding is not model.embedding


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shared": "token"}, "shared='token' is unknown; did you mean 'tokens'?"),
        ({"temperature": 0.0}, "temperature=0.0; use a number above 0"),
        ({"weight": 0.0}, "weight=0.0; use a number above 0"),
    ],
)
def test_bad_options_are_explained(options, message):
    with pytest.raises(ConfigError) as error:
        make_objective(**options)
    assert message in str(error.value)
