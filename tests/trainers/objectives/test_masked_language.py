"""The objective: what is predicted, what it costs, what reaches the parameters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from textzoo import ModelConfig, Part, build
from textzoo.errors import ConfigError
from textzoo.modules import SubwordTokenizer, TextBatch
from textzoo.modules.heads import MaskedLanguageHead
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.blueprint import Blueprint
from textzoo.trainers.objectives.masked_language import (
    MaskedLanguageObjective,
    make_masked_language_head,
)
from textzoo.trainers.objectives.token_masking import (
    EVALUATION,
    MaskingConfig,
    Vocabulary,
    mask_texts,
)
from textzoo.trainers.optimizers import OptimizerConfig
from textzoo.trainers.schedules import ScheduleConfig
from textzoo.trainers.trainer import Trainer
from textzoo.trainers.training_config import TrainingConfig

VOCAB, B, L = 60, 6, 20
VOCABULARY = Vocabulary(mask_id=4, special_ids=(0, 1, 2, 3), vocab_size=VOCAB)
STEP = jnp.asarray(3)


def make_batch(seed=0) -> TrainBatch:
    """[CLS] words [SEP], one row half as long, one of padding, one that only fills up."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, VOCAB, (B, L)).astype(np.int32)
    mask = np.ones((B, L), bool)
    mask[1, 12:] = False
    mask[2] = False
    ids[:, 0] = 2
    ids[np.arange(B), np.maximum(mask.sum(1) - 1, 0)] = 3
    ids[~mask] = 0
    words = np.where(mask & (ids > 4), np.cumsum(rng.random((B, L)) < 0.5, axis=1), -1)
    return TrainBatch(
        texts=(TextBatch(ids=ids, mask=mask),),
        word_ids=words.astype(np.int32),
        row_mask=np.arange(B) != 5,
    )


def make_model(*, layers=0, **options):
    """A table, which is enough where layers do not matter, or a transformer."""
    encoder = Part("IdentityEncoder")
    if layers:
        encoder = Part(
            "TransformerEncoder", width=8, num_layers=layers, num_heads=2, hidden_dim=16,
            max_length=64, **options,
        )  # fmt: skip
    embedding = Part("SubwordEmbedding", vocab_size=VOCAB, width=8)
    return build(ModelConfig(embedding=embedding, encoder=encoder), rngs=nnx.Rngs(0))


def make_objective(*, model=None, seed=0, **options) -> MaskedLanguageObjective:
    model = model or make_model()
    head = make_masked_language_head(model, rngs=nnx.Rngs(seed))
    return MaskedLanguageObjective(model, head, vocabulary=VOCABULARY, **options)


@functools.cache
def _compiled(graphdef):
    def loss(parameters, rest, batch, step, key):
        objective = nnx.merge(graphdef, parameters, rest)
        rngs = nnx.Rngs(dropout=jax.random.fold_in(key, 0), objective=jax.random.fold_in(key, 1))
        terms = objective(batch, step=step, rngs=rngs)
        return terms.total(), terms

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def run(objective, batch=None, *, seed=0, training=True, step=STEP):
    """Terms and gradients."""
    view = nnx.view(objective, deterministic=not training)
    graphdef, parameters, rest = nnx.split(view, nnx.Param, ...)
    (_, terms), gradients = _compiled(graphdef)(
        parameters, rest, make_batch() if batch is None else batch, step, jax.random.key(seed)
    )
    return terms, gradients


@functools.partial(jax.jit, static_argnames="config")
def mask(key, batch, config, step=STEP, log_weights=None):
    return mask_texts(key, batch, config, VOCABULARY, step=step, log_weights=log_weights)


def test_the_loss_is_the_cross_entropy_at_the_masked_positions():
    objective, batch = make_objective(model=make_model(layers=1)), make_batch()
    terms, _ = run(objective, batch)
    masked = mask(
        nnx.Rngs(objective=jax.random.fold_in(jax.random.key(0), 1)).objective(), batch,
        MaskingConfig(),
    )  # fmt: skip
    output = objective.model(masked.texts)
    logits = np.asarray(objective.head(output.hidden.states, objective.model.embedding))
    losses, hits = [], []
    for row, position in zip(*np.nonzero(np.asarray(masked.selection.selected)), strict=True):
        scores, target = logits[row, position], batch.texts[0].ids[row, position]
        losses.append(np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[target])
        hits.append(scores.argmax() == target)
    ratio = terms.terms["masked_language"].ratio
    assert ratio.denominator == len(losses)
    np.testing.assert_allclose(ratio.value(), np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(terms.metrics["accuracy"].value(), np.mean(hits), rtol=1e-6)
    # Rows 0, 3, 4 with 20 tokens and row 1 with 12; of 18 and 10 candidates 3 and 2 are selected.
    share = terms.metrics["mask_share"]
    assert (share.numerator, share.denominator) == (11, 72)


def test_loss_of_a_fresh_model_is_near_the_logarithm_of_the_vocabulary():
    terms, _ = run(make_objective())
    assert abs(terms.total() - np.log(VOCAB)) < 0.3


def test_every_step_draws_new_masks_and_the_same_seed_the_same():
    objective = make_objective()
    first, again, other = (run(objective, seed=seed)[0].total() for seed in (0, 0, 1))
    assert first == again != other


def test_blocks_change_nothing():
    model = make_model()
    plain, plain_gradients = run(make_objective(model=model))
    for block in (1, 2, 3, 7):
        terms, gradients = run(make_objective(model=model, loss_block=block))
        np.testing.assert_allclose(terms.total(), plain.total(), rtol=1e-6)
        assert terms.metrics["accuracy"].value() == plain.metrics["accuracy"].value()
        for ours, theirs in zip(
            jax.tree.leaves(gradients), jax.tree.leaves(plain_gradients), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_padding_and_filler_rows_change_nothing():
    objective, batch = make_objective(model=make_model(layers=1)), make_batch()
    terms, gradients = run(objective, batch)
    text = batch.texts[0]
    ids = text.ids.copy()
    ids[5] = 17
    ids[1, 12:] = 23
    other, other_gradients = run(objective, batch.replace(texts=(text.replace(ids=ids),)))
    assert terms.total() == other.total()
    for ours, theirs in zip(
        jax.tree.leaves(gradients), jax.tree.leaves(other_gradients), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("block", [None, 2])
def test_a_batch_of_padding_has_zero_loss_and_finite_gradients(block):
    batch = make_batch()
    empty = batch.replace(row_mask=np.zeros(B, bool))
    terms, gradients = run(make_objective(loss_block=block), empty)
    assert terms.total() == 0
    assert terms.terms["masked_language"].ratio.denominator == 0
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(gradients))


def test_every_parameter_has_a_gradient():
    _, gradients = run(make_objective(model=make_model(layers=1)))
    names = {
        jax.tree_util.keystr(path): float(jnp.abs(leaf).max())
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)
    }
    # Queries are compared with all keys: a shift of the keys changes no softmax.
    assert all(value > 0 for value in names.values()), names


def test_evaluation_masks_15_percent_of_single_tokens_whatever_is_trained():
    other = MaskingConfig(rate=0.5, unit="span", mask_share=1.0, random_share=0.0)
    model = make_model()
    first, _ = run(make_objective(model=model, masking=other), training=False)
    second, _ = run(make_objective(model=model), training=False)
    assert first.total() == second.total()
    assert first.terms["masked_language"].ratio.denominator == 11
    assert (EVALUATION.rate, EVALUATION.unit) == (0.15, "token")
    assert (EVALUATION.mask_share, EVALUATION.random_share) == (0.8, 0.1)
    training, _ = run(make_objective(model=model, masking=other))
    assert training.terms["masked_language"].ratio.denominator > 20


def test_dropout_is_on_in_training_alone():
    dropping = make_objective(model=make_model(layers=1, dropout=0.5))
    still = make_objective(model=make_model(layers=1))
    assert run(dropping)[0].total() != run(still)[0].total()
    evaluated = [run(objective, training=False)[0].total() for objective in (dropping, still)]
    assert evaluated[0] == evaluated[1]


def test_a_falling_rate_changes_weights_alone():
    masking = MaskingConfig(rate=0.4, final_rate=0.15, change_steps=10)
    objective = make_objective(masking=masking)
    counts = []
    for step in (0, 5, 10, 20):
        terms, _ = run(objective, step=jnp.asarray(step))
        counts.append(int(terms.terms["masked_language"].ratio.denominator))
    # Three rows of 18 candidates and one of 10: 7 and 4; 5 (4.95) and 3 (2.75); 3 (2.7) and 2.
    assert counts == [25, 18, 11, 11]
    assert mask(jax.random.key(0), make_batch(), masking).selection.slots.shape == (B, 8)


def test_whole_words_are_masked_together():
    batch = make_batch()
    masked = mask(jax.random.key(0), batch, MaskingConfig(unit="word", rate=0.4))
    selected = np.asarray(masked.selection.selected)
    for row, words in zip(selected, batch.word_ids, strict=True):
        assert not set(words[row]) & set(words[~row])


@pytest.mark.parametrize("unit", ["token", "word", "span", "n_gram"])
def test_special_tokens_are_never_predicted(unit):
    batch = make_batch()
    for seed in range(3):
        masked = mask(jax.random.key(seed), batch, MaskingConfig(unit=unit, rate=0.6))
        weights = np.asarray(masked.selection.weights)
        assert (np.asarray(masked.targets)[weights > 0] > 4).all()
        changed = np.asarray(masked.texts.ids) != batch.texts[0].ids
        assert not (changed & ~np.asarray(masked.selection.selected)).any()


def test_frequent_tokens_can_be_selected_less_often():
    weights = jnp.where(jnp.arange(VOCAB) < 30, -jnp.inf, 0.0)
    objective = make_objective(log_weights=weights, masking=MaskingConfig(rate=0.1))
    masked = mask(jax.random.key(0), make_batch(), MaskingConfig(rate=0.1), log_weights=weights)
    used = np.asarray(masked.selection.weights) > 0
    assert used.any() and (np.asarray(masked.targets)[used] >= 30).all()
    # Training uses them, evaluation does not, and no gradient reaches them.
    plain = make_objective(model=objective.model, masking=MaskingConfig(rate=0.1))
    plain.head = objective.head
    assert run(objective)[0].total() != run(plain)[0].total()
    assert run(objective, training=False)[0].total() == run(plain, training=False)[0].total()
    assert not isinstance(objective.token_log_weights, nnx.Param)


def test_packed_rows_have_the_states_of_separate_rows():
    objective = make_objective(model=make_model(layers=1))
    rng = np.random.default_rng(0)
    first, second = rng.integers(5, VOCAB, (2, 10)).astype(np.int32)
    packed = TextBatch(
        ids=np.concatenate([first, second])[None], mask=np.ones((1, 20), bool),
        segment_ids=np.repeat([0, 1], 10)[None].astype(np.int32),
        positions=np.tile(np.arange(10), 2)[None].astype(np.int32),
    )  # fmt: skip
    masked = mask(jax.random.key(2), TrainBatch(texts=(packed,)), MaskingConfig(rate=0.3))
    chosen = np.asarray(masked.selection.selected)[0].reshape(2, 10)
    assert chosen.any(axis=1).all()
    ids = np.asarray(masked.texts.ids).reshape(2, 10)
    separate = TextBatch(ids=ids, mask=np.ones((2, 10), bool))
    ours = objective.model(masked.texts).hidden.states[0].reshape(2, 10, -1)
    theirs = objective.model(separate).hidden.states
    np.testing.assert_allclose(ours[chosen], theirs[chosen], rtol=1e-5, atol=1e-6)


def test_a_model_of_factorized_width_gets_a_head_of_that_width():
    config = ModelConfig(
        embedding=Part("SubwordEmbedding", vocab_size=VOCAB, width=4),
        encoder=Part(
            "TransformerEncoder", width=8, embed_dim=4, num_layers=1, num_heads=2,
            hidden_dim=16, max_length=64,
        ),
    )  # fmt: skip
    objective = make_objective(model=build(config, rngs=nnx.Rngs(0)))
    assert objective.head.dense.kernel.shape == (8, 4)
    assert np.isfinite(run(objective)[0].total())


def test_a_head_with_a_table_of_its_own():
    model = make_model()
    head = make_masked_language_head(model, tied=False, rngs=nnx.Rngs(0))
    objective = MaskedLanguageObjective(model, head, vocabulary=VOCABULARY)
    _, gradients = run(objective)
    assert jnp.abs(gradients["head"]["output"]["kernel"][...]).sum() > 0


def test_weights_of_tokens_are_kept_with_the_training_state():
    assert Blueprint(make_objective(log_weights=jnp.zeros(VOCAB))).memory == ("token_log_weights",)
    assert Blueprint(make_objective()).memory == ()


def test_a_model_learns_to_repeat_its_neighbors():
    rows = np.repeat(np.arange(5, 37, dtype=np.int32)[:, None], 12, axis=1)
    batch = TrainBatch(texts=(TextBatch(ids=rows, mask=np.ones(rows.shape, bool)),))
    schedule = ScheduleConfig(kind="constant", peak=1e-2, warmup_steps=5)
    trainer = Trainer(
        make_objective(model=make_model(layers=1)),
        TrainingConfig(steps=150, optimizer=OptimizerConfig(schedule=schedule)),
    )
    losses = [float(trainer.update(batch)["loss"]) for _ in range(150)]
    assert losses[0] > 3.5
    assert np.mean(losses[-10:]) < 0.7


def test_the_model_is_exported_without_its_head():
    objective = make_objective()
    assert objective.export() is objective.model


def test_masks_of_words_need_words():
    batch = make_batch().replace(word_ids=None)
    with pytest.raises(ValueError, match="unit='word' of whole words .* the batch has no word_ids"):
        mask_texts(
            jax.random.key(0), batch, MaskingConfig(unit="word"), VOCABULARY, step=STEP
        )  # fmt: skip
    mask_texts(
        jax.random.key(0), batch, MaskingConfig(unit="span", of_words=False), VOCABULARY, step=STEP
    )


def test_tokens_known_by_their_letters_are_refused():
    batch = make_batch()
    text = batch.texts[0].replace(
        units=np.zeros((B, L, 2), np.int32), unit_mask=np.ones((B, L, 2), bool)
    )
    with pytest.raises(ValueError, match="would give away what is masked"):
        mask_texts(
            jax.random.key(0), batch.replace(texts=(text,)), MaskingConfig(), VOCABULARY, step=STEP
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "words"}, "unit='words' is unknown; did you mean 'word'?"),
        ({"count": "all"}, "count='all' is unknown"),
        ({"rate": 0.0}, "rate=0.0; use a share above 0, up to 1"),
        ({"final_rate": 0.1}, "set change_steps"),
        ({"mask_share": 0.95}, "more than all selected tokens"),
        ({"random_share": -0.1}, "random_share=-0.1; use a share from 0 to 1"),
        ({"span_stop": 1.0}, "span_stop=1.0; use a probability between 0 and 1"),
        ({"longest": 0}, "longest=0; use 1 or more"),
    ],
)
def test_bad_options_are_explained(options, message):
    with pytest.raises(ConfigError) as error:
        MaskingConfig(**options)
    assert message in str(error.value)


def test_slots_are_enough_for_the_largest_rate():
    assert MaskingConfig(rate=0.15).num_slots(128) == 20  # 19.2
    assert MaskingConfig(rate=0.07).num_slots(100) == 7  # 0.07 * 100 is 7.000000000000001
    assert MaskingConfig(rate=0.1, final_rate=0.3, change_steps=5).num_slots(10) == 3
    assert MaskingConfig(rate=0.01).num_slots(4) == 1


def make_tokenizer(special):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: index for index, word in enumerate([*special, "a", "b"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=special[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def test_a_vocabulary_is_read_from_a_tokenizer():
    special = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = make_tokenizer(special)
    tokenizer.add_special_tokens(["[EXTRA]"])
    found = Vocabulary.of(SubwordTokenizer(tokenizer, max_length=8, add_special_tokens=False))
    assert found == Vocabulary(mask_id=4, special_ids=(0, 1, 2, 3, 4, 7), vocab_size=8)


def test_a_tokenizer_without_a_mask_is_refused():
    tokenizer = SubwordTokenizer(
        make_tokenizer(["[UNK]", "[PAD]"]), max_length=8, add_special_tokens=False
    )
    with pytest.raises(ConfigError, match=r"neither \[MASK\] nor <mask>"):
        Vocabulary.of(tokenizer)


def test_a_vocabulary_must_hold_its_special_ids():
    with pytest.raises(ConfigError, match="vocab_size=4 does not hold the special ids"):
        Vocabulary(mask_id=4, special_ids=(), vocab_size=4)
    with pytest.raises(ConfigError, match="all of the 2 ids are special"):
        Vocabulary(mask_id=1, special_ids=(0,), vocab_size=2)


def test_a_tied_head_needs_an_embedding_that_scores():
    head = MaskedLanguageHead(4, 10, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"has no attend\(\)"):
        head(jnp.ones((1, 2, 4)), embedding=object())
