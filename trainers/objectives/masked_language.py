"""Masked language modeling: guess the tokens that were replaced."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.model import TextModel
from textzoo.modules.examples import example_batch
from textzoo.modules.heads import MaskedLanguageHead
from textzoo.modules.types import TextBatch
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.token_cross_entropy import blocked_token_cross_entropy
from textzoo.trainers.objectives.base import Objective, ObjectiveState
from textzoo.trainers.objectives.selectors import gather_slots
from textzoo.trainers.objectives.spelling import Spelling
from textzoo.trainers.objectives.token_masking import (
    EVALUATION,
    MaskingConfig,
    Vocabulary,
    mask_texts,
)
from textzoo.trainers.ratio import LossTerms, Ratio, Term


class MaskedLanguageObjective(Objective):
    """Masked language modeling (BERT, Devlin et al. 2019), with new masks in every step (RoBERTa).

    ``L = sum_i w_i CE(head(h_i), x_i) / sum_i w_i`` over the selected positions i, M to a row,
    whose states are gathered before the product with the vocabulary. Only texts of the first
    column are used.

    A view with ``deterministic=True`` selects and replaces as :data:`EVALUATION` says, whatever
    the objective is trained with: losses of other rates or units cannot be compared.

    Args:
        model: with or without a pooling; its states are used.
        head: from states to scores.
        vocabulary: of the tokenizer, see :meth:`Vocabulary.of`.
        masking: which tokens are selected, and what becomes of them.
        loss_block: positions of a row whose scores exist at a time, see
            :func:`~textzoo.trainers.losses.token_cross_entropy.blocked_token_cross_entropy`;
            ``None`` for all.
        log_weights: of every id, to select some tokens more often than others in training; it is
            kept with the training state, and :attr:`token_log_weights` may be replaced.
        spelling: for a model that reads the units of tokens. A tied head then scores the vectors
            of all pieces, which are computed in every step, where the embedding has no ``attend``.

    Notes:
        The share of a row is rounded, and at least one token. BERT's code also counts special
        tokens (``MaskingConfig(count="tokens")``), draws random tokens from the special ones too
        (``random_special=True``), and masks a text once for ten passes.
    """

    def __init__(
        self,
        model: TextModel,
        head: MaskedLanguageHead,
        *,
        vocabulary: Vocabulary,
        masking: MaskingConfig | None = None,
        loss_block: int | None = None,
        log_weights: Float[Array, "V"] | None = None,
        spelling: Spelling | None = None,
    ) -> None:
        super().__init__(model)
        self.head = head
        self.vocabulary = vocabulary
        self.masking = masking or MaskingConfig()
        self.loss_block = loss_block
        self.spelling = spelling
        self.token_log_weights = None if log_weights is None else ObjectiveState(log_weights)
        self.deterministic = True

    def set_view(self, deterministic: bool | None = None) -> None:
        """Whether this is a view for evaluation; for :func:`flax.nnx.view`."""
        if deterministic is not None:
            self.deterministic = deterministic

    def __call__(self, batch: TrainBatch, *, step: Int[Array, ""], rngs: nnx.Rngs) -> LossTerms:
        """The cross-entropy, the share of right guesses, and the share of tokens selected."""
        weights = self.token_log_weights
        masked = mask_texts(
            rngs.objective(), batch, EVALUATION if self.deterministic else self.masking,
            self.vocabulary, step=step,
            log_weights=None if weights is None or self.deterministic else weights[...],
            spelling=self.spelling, misspell=not self.deterministic,
        )  # fmt: skip
        selection = masked.selection
        states = gather_slots(encode_tokens(self.model, masked.texts, rngs), selection.slots)
        scored: Any = self.model.embedding
        if self.spelling is not None and self.head.output is None:
            scored = self.spelling.scorer(scored)
        loss, accuracy = blocked_token_cross_entropy(
            lambda inner: self.head.score(inner, scored),
            self.head.transform(states), masked.targets, selection.weights,
            block=self.loss_block,
        )  # fmt: skip
        selected = selection.weights.sum()
        return LossTerms(
            {"masked_language": Term(loss)},
            {
                "accuracy": accuracy,
                "mask_share": Ratio(selected, masked.real.sum().astype(jnp.float32)),
            },
        )


def encode_tokens(model: TextModel, texts: TextBatch, rngs: nnx.Rngs) -> Float[Array, "B L D"]:
    """States of the tokens; a pooling that the model may have is left out."""
    hidden: Any = model.encoder(model.embedding(texts), rngs=rngs)
    if hidden.states.shape[:2] != texts.ids.shape:
        raise ValueError(
            f"the model turns {texts.ids.shape[1]} tokens into {hidden.states.shape[1]} states; "
            "an objective over tokens needs one state per token"
        )
    return hidden.states


def make_masked_language_head(
    model: TextModel, *, rngs: nnx.Rngs, spelling: Spelling | None = None, **options: Any
) -> MaskedLanguageHead:
    """A head that fits a model: tied to its embedding where that can score its table.

    Args:
        model: gives the widths.
        rngs: source of initial values.
        spelling: of the objective. It knows the ids where the embedding reads units alone; and a
            head may be ``tied=True`` to all pieces that it spells.
        **options: of :class:`MaskedLanguageHead`.

    Raises:
        ValueError: the embedding reads no ids, but units of tokens.
    """
    embedding: Any = model.embedding
    options = {"tied": hasattr(embedding, "attend"), **options}
    vocab_size = getattr(embedding, "vocab_size", None)
    if spelling is not None and (
        vocab_size is None or (options["tied"] and not hasattr(embedding, "attend"))
    ):
        vocab_size = spelling.vocab_size
    if vocab_size is None:
        raise ValueError(
            f"{type(embedding).__name__} has no vocab_size, so it has no ids of its own that could "
            "be guessed; train it with objectives over vectors of texts, or use an embedding that "
            "reads ids"
        )
    width = state_width(model)
    if options["tied"]:
        options.setdefault("inner_dim", None if embedding.width == width else embedding.width)
    return MaskedLanguageHead(width, vocab_size, rngs=rngs, **options)


def state_width(model: TextModel) -> int:
    """D, the width of the states that a model returns."""
    texts = example_batch(model.embedding, length=1)
    hidden: Any = nnx.eval_shape(lambda model: model.encoder(model.embedding(texts)), model)
    return int(hidden.states.shape[-1])
