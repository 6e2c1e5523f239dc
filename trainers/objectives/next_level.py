"""Masked language modeling a level higher: guess the vectors of hidden chunks."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from textzoo.errors import ConfigError, closest
from textzoo.model import TextModel
from textzoo.modules import HierarchicalEncoder
from textzoo.modules.functional import gelu
from textzoo.modules.parameters import linear, logical_axes, truncated_normal
from textzoo.modules.types import Hidden
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.losses.masked_vectors import DISTANCES, masked_vectors
from textzoo.trainers.losses.rows import mean_where, pair_cosines
from textzoo.trainers.objectives.base import Objective
from textzoo.trainers.objectives.selectors import gather_slots, quotas, select_tokens
from textzoo.trainers.ratio import LossTerms, Ratio, Term


class NextLevelObjective(Objective):
    """Some chunks of a document are hidden, and the top of a hierarchical encoder guesses them.

    ``L = mean_documents mean_hidden d(W_2 gelu(W_1 h_k), s_k)``, with h_k the state that the top
    encoder has of a hidden chunk and s_k the chunk's vector. Vectors of chunks are targets as they
    are, without gradient. Only texts of the first column are used.

    Reference: Czinczoll et al. 2024, "NextLevelBERT", arXiv 2402.17682, and its code.

    Args:
        model: with a ``HierarchicalEncoder``, whose top is usually a ``NextLevelEncoder``; with
            ``freeze_segments=True`` its segment encoder stays as it is.
        width: D, of the vectors of chunks.
        hidden_dim: of the guessing head; the reference has 384 whatever the width.
        mask_rate: share of the chunks of a document that are hidden, at least one.
        distance: one of :data:`~textzoo.trainers.losses.masked_vectors.DISTANCES`.
        rngs: source of initial values.

    Notes:
        The reference hides every chunk with the probability of ``mask_rate``; here the share is
        rounded, as in :class:`MaskedLanguageObjective`. Its variant that puts chunks of other
        documents in the place of some is not here. Weight decay spares biases and norms there,
        as it does here by the rule of the optimizer.
    """

    def __init__(
        self, model: TextModel, *, width: int, hidden_dim: int = 384, mask_rate: float = 0.15,
        distance: str = "smooth_l1", rngs: nnx.Rngs,
    ) -> None:  # fmt: skip
        super().__init__(model)
        if not isinstance(model.encoder, HierarchicalEncoder):
            raise ConfigError(
                f"the model's encoder is a {type(model.encoder).__name__}, and this objective "
                "hides vectors of segments; build it with a HierarchicalEncoder"
            )
        if not 0 < mask_rate < 1:
            raise ConfigError(f"mask_rate={mask_rate}; use a share between 0 and 1, e.g. 0.15")
        if distance not in DISTANCES:
            raise ConfigError(f"distance={distance!r}; {closest(distance, DISTANCES)}")
        self.mask_rate = mask_rate
        self.distance = distance
        self.mask_vector = nnx.Param(
            truncated_normal(1.0)(rngs.params(), (width,), jnp.float32), **logical_axes("embed")
        )
        self.up, self.down = (
            linear(
                rows, columns, axes=axes, use_bias=True, dtype=None, param_dtype="float32",
                rngs=rngs,
            )
            for rows, columns, axes in (
                (width, hidden_dim, ("embed", "mlp")), (hidden_dim, width, ("mlp", "embed")),
            )
        )  # fmt: skip

    def __call__(self, batch: TrainBatch, *, step: Int[Array, ""], rngs: nnx.Rngs) -> LossTerms:
        """The distance, the cosine of guesses and chunks, and the share of chunks hidden."""
        model: Any = self.model
        encoder: HierarchicalEncoder = model.encoder
        chunks = encoder.segments(model.embedding(batch.texts[0]), rngs=rngs)
        quota = quotas(chunks.mask, self.mask_rate)
        number = chunks.mask.shape[1]
        num_slots = min(number, max(1, int(self.mask_rate * number + 0.5)))
        selection = select_tokens(rngs.objective(), chunks.mask, quota, num_slots)
        guesses = self.guess(chunks, selection.selected, rngs=rngs)
        predictions = gather_slots(guesses, selection.slots)
        targets = gather_slots(chunks.states, selection.slots)
        loss = masked_vectors(
            predictions, targets, selection.weights, distance=self.distance,
            row_mask=batch.row_mask,
        )  # fmt: skip
        width = targets.shape[-1]
        cosines = pair_cosines(predictions.reshape(-1, width), targets.reshape(-1, width))
        counted = selection.weights > 0
        if batch.row_mask is not None:
            counted = counted & batch.row_mask.astype(bool)[:, None]
        return LossTerms(
            {"next_level": Term(loss)},
            {
                "cosine": mean_where(cosines.reshape(counted.shape), counted),
                "mask_share": Ratio(
                    counted.sum().astype(jnp.float32), chunks.mask.sum().astype(jnp.float32)
                ),
            },
        )

    def guess(
        self, chunks: Hidden, hidden: Array, *, rngs: nnx.Rngs | None = None
    ) -> Float[Array, "B L D"]:
        """What the top makes of a document some of whose chunks are hidden, for every chunk.

        Args:
            chunks: vectors of chunks.
            hidden: True where a chunk is hidden, ``[B, L]``.
            rngs: for dropout.
        """
        model: Any = self.model
        mask_vector = self.mask_vector[...].astype(chunks.states.dtype)
        states = jnp.where(hidden[..., None], mask_vector, chunks.states)
        out = model.encoder.top_encoder(chunks.replace(states=states), rngs=rngs)
        return self.down(gelu(self.up(out.states)))
