"""The one training step, and its counterpart for evaluation."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.errors import ConfigError
from textzoo.trainers.averaging import update_average
from textzoo.trainers.batch import PackedTexts, TrainBatch
from textzoo.trainers.blueprint import Arrays, Blueprint
from textzoo.trainers.ratio import LossTerms, Ratio, Term
from textzoo.trainers.state import TrainState

Metrics = dict[str, Float[Array, ""]]
TrainStep = Callable[[TrainState, TrainBatch], tuple[TrainState, Metrics]]
EvaluationStep = Callable[[Arrays, TrainBatch, Int[Array, ""]], dict[str, Ratio]]


def make_train_step(
    blueprint: Blueprint, optimizer: optax.GradientTransformation, *, seed: int,
    accumulation: int = 1, average_decay: float | None = None,
) -> TrainStep:  # fmt: skip
    """Returns ``step(state, batch) -> (state, metrics)``, pure, to be compiled by the caller.

    All randomness of a step comes from ``(seed, step)``, so a step can be done again exactly.

    Args:
        blueprint: of the objective.
        optimizer: as the state was made with.
        seed: of dropout, masks and samples.
        accumulation: the batch is worked off in so many parts, one after the other, which
            together give the gradient of the whole: the terms of the loss are divided by the
            denominators of the whole batch. A contrastive loss compares within a part only; for
            more, chunk the encoder instead (``ContrastiveObjective(chunk_size=...)``).
        average_decay: of the moving average of the parameters.
    """

    def losses(
        params: Arrays, others: Arrays, part: TrainBatch, step: Array, key: Array,
        totals: Mapping[str, Array] | None,
    ) -> tuple[Array, tuple[LossTerms, Arrays]]:  # fmt: skip
        objective = blueprint.assemble({**others, **params}, deterministic=False)
        terms = objective(part, step=step, rngs=_rngs(key))
        total = terms.total() if totals is None else _share(terms, totals)
        return total, (terms, blueprint.remembered(objective))

    gradient_of = jax.value_and_grad(losses, has_aux=True)

    def whole_batch(
        state: TrainState, batch: TrainBatch, key: Array
    ) -> tuple[Arrays, LossTerms, Arrays]:
        others = {**state.frozen, **state.memory}
        (_, (terms, memory)), gradient = gradient_of(
            state.params, others, batch, state.step, jax.random.fold_in(key, 0), None
        )
        return gradient, terms, memory

    def in_parts(
        state: TrainState, batch: TrainBatch, key: Array
    ) -> tuple[Arrays, LossTerms, Arrays]:
        if isinstance(batch.texts[0], PackedTexts):
            raise ConfigError(
                f"accumulation={accumulation} cuts a batch by its rows, and the texts are packed; "
                "use accumulation=1, or data without PackedColumns"
            )
        parts = jax.tree.map(lambda rows: _strided(rows, accumulation), batch)
        keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(jnp.arange(accumulation))

        # The compiler removes the encoder from this pass: nothing here depends on it.
        def denominators(memory: Arrays, part: tuple[TrainBatch, Array]) -> tuple[Arrays, Any]:
            others = {**state.frozen, **memory}
            _, (terms, memory) = losses(state.params, others, part[0], state.step, part[1], None)
            return memory, {name: term.ratio.denominator for name, term in terms.terms.items()}

        _, found = jax.lax.scan(denominators, state.memory, (parts, keys))
        totals = {name: values.sum() for name, values in found.items()}

        def add(carry: Any, part: tuple[TrainBatch, Array]) -> tuple[Any, LossTerms]:
            gradient, memory = carry
            (_, (terms, memory)), more = gradient_of(
                state.params, {**state.frozen, **memory}, part[0], state.step, part[1], totals
            )
            return (jax.tree.map(jnp.add, gradient, more), memory), _weighed(terms)

        zeros = jax.tree.map(jnp.zeros_like, state.params)
        (gradient, memory), terms = jax.lax.scan(add, (zeros, state.memory), (parts, keys))
        return gradient, jax.tree.map(lambda values: values.sum(0), terms), memory

    def step(state: TrainState, batch: TrainBatch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        gradients = whole_batch if accumulation == 1 else in_parts
        gradient, terms, memory = gradients(state, batch, key)
        if accumulation > 1:  # weights were added up with everything else
            terms = LossTerms(
                {
                    name: Term(term.ratio, term.weight / accumulation)
                    for name, term in terms.terms.items()
                },
                terms.metrics,
            )
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        average = state.average
        if average is not None and average_decay is not None:
            average = update_average(average, params, decay=average_decay, step=state.step)
        metrics = {
            "loss": terms.total(),
            **{name: ratio.value() for name, ratio in _ratios(terms).items()},
            "gradient_norm": optax.tree.norm(gradient),
        }
        return TrainState(
            step=state.step + 1, params=params, frozen=state.frozen, memory=memory,
            optimizer=optimizer_state, average=average,
        ), metrics  # fmt: skip

    return step


def make_evaluation_step(blueprint: Blueprint, *, seed: int = 0) -> EvaluationStep:
    """Returns ``evaluate(arrays, batch, index) -> ratios`` of the terms, weighed, and metrics.

    Masks and samples depend on ``seed`` and the batch's ``index`` alone, so that every evaluation
    of a run sees the same ones. ``loss`` is not among the ratios: terms with different
    denominators add up only after division.
    """

    def evaluate(arrays: Arrays, batch: TrainBatch, index: Array) -> dict[str, Ratio]:
        objective = blueprint.assemble(arrays, deterministic=True)
        key = jax.random.fold_in(jax.random.key(seed), index)
        terms = objective(batch, step=jnp.zeros((), jnp.int32), rngs=_rngs(key))
        weighed = {
            f"loss/{name}": Ratio(term.ratio.numerator * term.weight, term.ratio.denominator)
            for name, term in terms.terms.items()
        }
        return {**weighed, **dict(terms.metrics)}

    return evaluate


def _rngs(key: Array) -> nnx.Rngs:
    return nnx.Rngs(dropout=jax.random.fold_in(key, 0), objective=jax.random.fold_in(key, 1))


def _ratios(terms: LossTerms) -> dict[str, Ratio]:
    found = {f"loss/{name}": term.ratio for name, term in terms.terms.items()}
    if len(found) == 1:
        found = {}  # it is the loss
    return {**found, **dict(terms.metrics)}


def _share(terms: LossTerms, totals: Mapping[str, Array]) -> Array:
    """What a part adds to the loss of the whole batch."""
    shares = (
        term.weight * Ratio(term.ratio.numerator, totals[name]).value()
        for name, term in terms.terms.items()
    )
    return sum(shares, jnp.zeros(()))


def _weighed(terms: LossTerms) -> LossTerms:
    """Weights as arrays, so that parts can be added up."""
    return LossTerms(
        {
            name: Term(t.ratio, jnp.asarray(t.weight, jnp.float32))
            for name, t in terms.terms.items()
        },
        dict(terms.metrics),
    )


def _strided(rows: Array, parts: int) -> Array:
    """``[B, ...] -> [parts, B / parts, ...]``; every row stays on its device.

    Cutting the leading axis into parts would put the split over devices on the axis of the parts,
    and every device would compute every part.
    """
    if rows.shape[0] % parts:
        raise ValueError(
            f"accumulation={parts} does not divide the batch of {rows.shape[0]} rows; use a divisor"
        )
    return jnp.swapaxes(rows.reshape(rows.shape[0] // parts, parts, *rows.shape[1:]), 0, 1)
