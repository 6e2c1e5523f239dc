"""What a step draws, and what an evaluation measures."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_training import LENGTH, pairs, tiny_model, training_config, word_tokenizer

from textzoo.errors import DataError
from textzoo.trainers.data import TextData
from textzoo.trainers.evaluation import HeldOut
from textzoo.trainers.objectives.base import Objective
from textzoo.trainers.ratio import LossTerms, Ratio, Term
from textzoo.trainers.trainer import Trainer

ONE = jnp.ones(())


def text_data(batch_size: int = 4) -> TextData:
    return TextData(
        pairs(), word_tokenizer(), columns=("anchor",), batch_size=batch_size, lengths=(LENGTH,)
    )


class Draws(Objective):
    """Reports the numbers it draws."""

    def __call__(self, batch, *, step, rngs):
        loss = 0 * self.model.embedding.table[...].sum()
        drawn = {
            "objective": Ratio(jax.random.uniform(rngs.objective()), ONE),
            "dropout": Ratio(jax.random.uniform(rngs.dropout()), ONE),
        }
        return LossTerms({"none": Term(Ratio(loss, ONE))}, drawn)


def drawn(steps: int, *, seed: int = 0, accumulation: int = 1) -> list[float]:
    config = training_config(9, seed=seed, accumulation=accumulation)
    trainer = Trainer(Draws(tiny_model()), config, devices=jax.devices()[:1])
    stream = text_data().stream()
    found = []
    for _ in range(steps):
        metrics = trainer.update(next(stream).batch)
        found += [float(metrics["objective"]), float(metrics["dropout"])]
    stream.close()
    return found


def test_every_step_and_stream_draws_other_numbers_and_the_same_ones_again():
    first = drawn(4)
    assert len(set(first)) == 8
    assert drawn(4) == first
    assert not set(first) & set(drawn(4, seed=1))


def test_parts_of_a_batch_draw_other_numbers():
    # The mean of the parts' draws; it would equal the first part's if all drew the same.
    assert drawn(1, accumulation=4)[0] != pytest.approx(drawn(1)[0], abs=1e-6)


class Lengths(Objective):
    """The mean number of tokens of a row, and a number that dropout would change."""

    def __call__(self, batch, *, step, rngs):
        (texts,) = batch.texts
        real = jnp.ones(len(texts.ids), bool) if batch.row_mask is None else batch.row_mask
        count = real.sum().astype(jnp.float32)
        tokens = jnp.where(real, texts.mask.sum(axis=1), 0).sum().astype(jnp.float32)
        vectors = self.model(texts, rngs=rngs).vectors
        first = jnp.where(real, vectors[:, 0], 0).sum()
        return LossTerms(
            {"tokens": Term(Ratio(tokens, count), 2.0)}, {"feature": Ratio(first, count)}
        )


def test_held_out_rows_count_once_and_without_dropout():
    model = tiny_model(layers=1, dropout=0.5)
    data = text_data()
    assert len(pairs()) % 4  # the last batch is filled up
    held_out = HeldOut(batches=functools.partial(data.evaluation_batches, batch_size=4))
    trainer = Trainer(
        Lengths(model), training_config(3), held_out={"rows": held_out}, devices=jax.devices()[:1]
    )
    scores = trainer.evaluate()
    tokens = [len(row["anchor"].replace(",", " ,").split()) for row in pairs()]
    assert scores["rows/loss"] == pytest.approx(2 * np.mean(tokens), rel=1e-6)

    everything = next(iter(data.evaluation_batches(batch_size=len(pairs())))).batch
    vectors = np.asarray(model(everything.texts[0]).vectors)
    assert scores["rows/feature"] == pytest.approx(vectors[:, 0].mean(), abs=1e-6)
    assert trainer.evaluate() == scores


def test_no_rows_to_evaluate_on_is_an_error():
    trainer = Trainer(
        Lengths(tiny_model()), training_config(3), held_out={"rows": HeldOut(batches=list)},
        devices=jax.devices()[:1],
    )  # fmt: skip
    with pytest.raises(DataError, match="there are no rows to evaluate on"):
        trainer.evaluate()
