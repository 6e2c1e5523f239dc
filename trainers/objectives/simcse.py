"""SimCSE: a text and itself under another dropout mask, or NLI with contradictions."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, UInt

from textzoo.config import Part
from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules.heads import Dense
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.objectives.chunking import encode_chunked
from textzoo.trainers.objectives.contrastive import ContrastiveObjective
from textzoo.trainers.objectives.heads import with_head
from textzoo.trainers.objectives.vectors import Vectors, vector_width


class SimCSEObjective(ContrastiveObjective):
    """Contrastive training as in SimCSE (Gao, Yao and Chen 2021).

    Unsupervised (section 3), with one column of texts: each text is encoded twice, and dropout
    alone makes the two vectors differ; they are each other's positives::

        L_i = - log exp(cos(z_i, z'_i) / t) / sum_j exp(cos(z_i, z'_j) / t)

    Supervised (section 4), with more columns (premise, entailment, contradiction): the contrastive
    loss of :class:`ContrastiveObjective`. In both, vectors pass ``tanh(z W + b)`` first.

    Args:
        model: its vectors should be the pooled states, ``ClsPooling`` in the paper, without a
            ``Normalize`` head.
        supervised: expect several columns of texts.
        use_head: whether there is the layer ``tanh(z W + b)``.
        keep_head: export the layer with the model, as its last head. ``None``: as in the paper,
            where the supervised model keeps it and the unsupervised one drops it.
        width: E, when it cannot be found from the model.
        rngs: source of the layer's initial values.
        **options: of :class:`ContrastiveObjective`; the paper's temperature, 0.05, is its default.

    Notes:
        - In evaluation there is no dropout, so the two views of a text are equal: the unsupervised
          loss then says how far texts are apart, and nothing about their positives. Evaluate on
          scored pairs.
        - The optional extra MLM loss of the paper is not here.
    """

    def __init__(
        self, model: TextModel, *, supervised: bool = False, use_head: bool = True,
        keep_head: bool | None = None, width: int | None = None, rngs: nnx.Rngs, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(model, **options)
        self.supervised = supervised
        size = vector_width(model, width) if use_head else 0
        self.head = Dense(size, size, activation="tanh", rngs=rngs) if use_head else None
        self.keeps_head = use_head and (supervised if keep_head is None else keep_head)

    def vectors(self, batch: TrainBatch, rngs: nnx.Rngs) -> Vectors:
        """Two views of the one column, or the vectors of the columns; after the layer."""
        if self.supervised == (len(batch.texts) == 1):
            raise ConfigError(
                f"the batch has {len(batch.texts)} text columns and supervised="
                f"{self.supervised}; unsupervised SimCSE takes one column, supervised takes two "
                "or more"
            )
        found = super().vectors(batch, rngs) if self.supervised else self._views(batch, rngs)
        return found if self.head is None else tuple(self.head(vectors) for vectors in found)

    def export(self) -> TextModel:
        """The model, with the layer as its last head where that is kept."""
        if self.head is None or not self.keeps_head:
            return self.model
        size = self.head.linear.kernel[...].shape[0]
        part = Part("Dense", in_features=size, out_features=size, activation="tanh")
        return with_head(self.model, self.head, part)

    def _keys(self, batch: TrainBatch) -> UInt[Array, "B T"] | None:
        keys = super()._keys(batch)
        # A text and its positive are one and the same.
        return keys if keys is None or self.supervised else jnp.repeat(keys, 2, axis=1)

    def _views(self, batch: TrainBatch, rngs: nnx.Rngs) -> Vectors:
        # Both views of a text stand side by side, and so on one device.
        doubled = jax.tree.map(lambda rows: jnp.repeat(rows, 2, axis=0), batch.texts[0])
        vectors = encode_chunked(self.model, doubled, self.chunk_size, rngs)
        pairs = vectors.reshape(-1, 2, vectors.shape[1])
        return pairs[:, 0], pairs[:, 1]
