"""Replaced-token detection: tell the tokens of a small generator from the original ones."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from textzoo.config import ModelConfig
from textzoo.errors import ConfigError, closest
from textzoo.model import TextModel
from textzoo.modules.heads import MaskedLanguageHead, ReplacedTokenHead
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.token_cross_entropy import (
    Score,
    binary_cross_entropy,
    split_slots,
    token_cross_entropy,
)
from textzoo.trainers.objectives.base import Objective
from textzoo.trainers.objectives.masked_language import encode_tokens
from textzoo.trainers.objectives.selectors import gather_slots, scatter_slots
from textzoo.trainers.objectives.token_masking import MaskingConfig, Vocabulary, mask_texts
from textzoo.trainers.ratio import LossTerms, Ratio, Term

ELECTRA_MASKING = MaskingConfig(mask_share=0.85, random_share=0.0)
"""What ELECTRA's code does: masks or the tokens themselves, no random ones."""

SHARED = ("all", "tokens", "none")


class ReplacedTokenObjective(Objective):
    """Replaced-token detection (ELECTRA, Clark et al. 2020).

    A generator guesses masked tokens, its guesses (samples, not its best ones) take their places,
    and the model says of every token whether it is the original one::

        x~_i ~ softmax(generator(x masked)_i / T)            at the slots i
        y_i  = x~_i differs from x_i
        L    = CE(generator, x) + weight * BCE(model(x~), y)   BCE over all real tokens

    A generator that guesses right has not replaced anything. Nothing flows from the second term
    into the generator but through what they share. :meth:`export` gives the model.

    A view with ``deterministic=True`` masks 15% single tokens, whatever the rate in training.

    Args:
        model: is to detect.
        generator: a smaller one, see :func:`generator_config`; its pooling is not used.
        head: of the model.
        generator_head: of the generator.
        vocabulary: of the tokenizer.
        masking: of the generator's input; :data:`ELECTRA_MASKING` when absent.
        weight: of the detection (ELECTRA: 50).
        temperature: T of the samples.
        shared: what both have in common, as in ELECTRA ``"all"`` of the input (tokens, positions,
            types and their norm), ``"tokens"`` or ``"none"``. The model's are used; the
            generator must have the same width there.
        loss_block: positions of a row whose scores exist at a time; ``None`` for all.

    Notes:
        ELECTRA's code selects with replacement, so that fewer positions than its quota remain;
        here the quota is exact.
    """

    def __init__(
        self,
        model: TextModel,
        generator: TextModel,
        *,
        head: ReplacedTokenHead,
        generator_head: MaskedLanguageHead,
        vocabulary: Vocabulary,
        masking: MaskingConfig | None = None,
        weight: float = 50.0,
        temperature: float = 1.0,
        shared: str = "all",
        loss_block: int | None = None,
    ) -> None:
        super().__init__(model)
        if not temperature > 0:
            raise ConfigError(f"temperature={temperature}; use a number above 0")
        if not weight > 0:
            raise ConfigError(f"weight={weight}; use a number above 0, such as 50")
        self.generator = generator
        share_input(model, generator, shared)
        self.head = head
        self.generator_head = generator_head
        self.vocabulary = vocabulary
        self.masking = masking or ELECTRA_MASKING
        self.weight = weight
        self.temperature = temperature
        self.loss_block = loss_block
        self.deterministic = True

    def set_view(self, deterministic: bool | None = None) -> None:
        """Whether this is a view for evaluation; for :func:`flax.nnx.view`."""
        if deterministic is not None:
            self.deterministic = deterministic

    def __call__(self, batch: TrainBatch, *, step: Int[Array, ""], rngs: nnx.Rngs) -> LossTerms:
        """Both losses; metrics of the generator and of the detection."""
        mask_key, sample_key = jax.random.split(rngs.objective())
        masked = mask_texts(
            mask_key, batch, ELECTRA_MASKING if self.deterministic else self.masking,
            self.vocabulary, step=step,
        )  # fmt: skip
        selection = masked.selection
        states = gather_slots(encode_tokens(self.generator, masked.texts, rngs), selection.slots)
        guesses = score_and_sample(
            lambda inner: self.generator_head.score(inner, self.generator.embedding),
            self.generator_head.transform(states), masked.targets, selection.weights,
            key=sample_key, temperature=self.temperature, block=self.loss_block,
        )  # fmt: skip
        original = jnp.asarray(batch.texts[0].ids)
        texts = masked.texts.replace(ids=scatter_slots(original, selection, guesses.samples))
        replaced = selection.selected & (texts.ids != original)
        logits = self.head(encode_tokens(self.model, texts, rngs))
        return LossTerms(
            {
                "generator": Term(guesses.loss),
                "detection": Term(binary_cross_entropy(logits, replaced, masked.real), self.weight),
            },
            {
                "generator_accuracy": guesses.accuracy,
                **detection_metrics(logits, replaced, masked.real),
            },
        )


class Guesses(NamedTuple):
    """What a generator says of masked positions.

    Attributes:
        loss: its cross-entropy.
        accuracy: share of right guesses.
        samples: tokens drawn from its softmax, ``[B, M]``.
    """

    loss: Ratio
    accuracy: Ratio
    samples: Array


def score_and_sample(
    score: Score, states: Float[Array, "B M D"], targets: Int[Array, "B M"],
    weights: Float[Array, "B M"], *, key: Array, temperature: float = 1.0,
    block: int | None = None,
) -> Guesses:  # fmt: skip
    """Cross-entropy, and samples through which no gradient flows.

    Args:
        score: states to scores.
        states: at the masked positions.
        targets: the tokens that are right.
        weights: of the positions.
        key: of the samples, which are the same whatever the block.
        temperature: scores are divided by it for the samples.
        block: as in :func:`blocked_token_cross_entropy`.
    """
    if block is not None and block < 1:
        raise ValueError(f"block={block}; use 1 or more positions, or None for all at once")
    count = states.shape[1]

    def guess(
        states: Array, targets: Array, weights: Array, positions: Array
    ) -> tuple[Ratio, Ratio, Array]:
        logits = score(states)
        loss, accuracy = token_cross_entropy(logits, targets, weights)
        keys = jax.vmap(lambda position: jax.random.fold_in(key, position))(positions)
        row = logits[:, 0]
        noise = jax.vmap(lambda key: jax.random.gumbel(key, row.shape), out_axes=1)(keys)
        noisy = jax.lax.stop_gradient(logits) / temperature + noise
        return loss, accuracy, noisy.argmax(axis=-1).astype(jnp.int32)

    positions = jnp.arange(count)
    if block is None:
        return Guesses(*guess(states, targets, weights, positions))

    def step(
        sums: tuple[Ratio, Ratio], part: tuple[Array, ...]
    ) -> tuple[tuple[Ratio, Ratio], Array]:
        loss, accuracy, samples = guess(*part)
        return jax.tree.map(jnp.add, sums, (loss, accuracy)), samples

    zero = Ratio(jnp.zeros(()), jnp.zeros(()))
    parts = tuple(split_slots(values, block) for values in (states, targets, weights))
    of_blocks = split_slots(positions[None], block)[:, 0]
    sums, samples = jax.lax.scan(jax.checkpoint(step), (zero, zero), (*parts, of_blocks))
    joined = jnp.moveaxis(samples, 0, 1).reshape(len(targets), -1)
    return Guesses(*sums, joined[:, :count])


def detection_metrics(
    logits: Float[Array, "B L"], replaced: Bool[Array, "B L"], real: Bool[Array, "B L"]
) -> dict[str, Ratio]:
    """How many tokens are replaced; how many are judged right, of all and of the replaced."""
    right = ((logits > 0) == replaced) & real

    def share(part: Array, whole: Array) -> Ratio:
        return Ratio(part.sum().astype(jnp.float32), whole.sum().astype(jnp.float32))

    return {
        "replaced_share": share(replaced & real, real),
        "detection_accuracy": share(right, real),
        "detection_recall": share(right & replaced, replaced & real),
    }


def share_input(model: TextModel, generator: TextModel, shared: str) -> None:
    """Gives the generator the model's input: the same parameters, trained by both losses.

    Args:
        model: whose parameters are used.
        generator: changed in place.
        shared: ``"all"``, ``"tokens"`` or ``"none"``.

    Raises:
        ConfigError: their shapes differ.
    """
    if shared not in SHARED:
        raise ConfigError(f"shared={shared!r} is unknown; {closest(shared, SHARED)}")
    if shared == "none":
        return
    owners: list[tuple[Any, Any, str]] = [(model, generator, "embedding")]
    if shared == "all":
        names = ("position_table", "type_table", "input_norm")
        owners += [(model.encoder, generator.encoder, name) for name in names]
    for theirs, ours, name in owners:
        first, second = getattr(theirs, name, None), getattr(ours, name, None)
        if _shapes(first) != _shapes(second):
            raise ConfigError(
                f"shared={shared!r}: {name} of the model has shapes {_shapes(first)} and that of "
                f"the generator {_shapes(second)}; build the generator from "
                "generator_config(model.config), or use shared='none'"
            )
    for theirs, ours, name in owners:
        if getattr(theirs, name, None) is not None:
            setattr(ours, name, getattr(theirs, name))


def _shapes(part: Any) -> list[tuple[int, ...]]:
    """Of one parameter, or of all parameters of a module."""
    if part is None:
        return []
    if isinstance(part, nnx.Variable):
        return [part.shape]
    return [leaf.shape for leaf in jax.tree.leaves(nnx.state(part))]


def generator_config(config: ModelConfig, fraction: float = 0.25) -> ModelConfig:
    """A generator for a model: as deep, a part as wide, without pooling and heads.

    Args:
        config: of the model; its encoder is a ``TransformerEncoder``.
        fraction: of the width, the feed-forward width and the number of heads (ELECTRA: 1/4 for
            small and large, 1/3 for base).

    Raises:
        ConfigError: the sizes cannot be divided so.
    """
    if config.encoder.type != "TransformerEncoder":
        raise ConfigError(
            f"a generator is made of a TransformerEncoder, and this model has "
            f"{config.encoder.type}; write the generator's config yourself"
        )
    options = config.encoder.options
    sizes = {}
    for name in ("width", "hidden_dim", "num_heads"):
        size = round(options[name] * fraction)
        if size < 1 or abs(size - options[name] * fraction) > 1e-6 * options[name]:
            raise ConfigError(
                f"{name}={options[name]} times fraction={fraction:g} is no whole number; use a "
                "fraction that divides the width, the feed-forward width and the number of heads"
            )
        sizes[name] = size
    embed_dim = options.get("embed_dim") or options["width"]
    encoder = config.encoder.replace(**sizes, embed_dim=embed_dim)
    return config.replace(encoder=encoder, pooling=None, heads=())
