"""How every row of a batch relates to the candidates of some rows: the core of InfoNCE."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt

from textzoo.errors import ConfigError, closest
from textzoo.trainers.losses.rows import HIGHEST, NOTHING

DIRECTIONS = (
    "query_to_document", "document_to_query", "query_to_query", "document_to_document",
)  # fmt: skip
"""What is compared with what; the first two contain the pairs that belong together."""

_CHOICES = {
    "normalization": ("joint", "per_direction"),
    "similarity": ("cosine", "dot"),
    "candidates": ("all", "positives_and_own", "own"),
    "hardness": ("in_batch_negatives", "hard_negatives", "all_negatives"),
    "guide_margin_kind": ("absolute", "relative"),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContrastConfig:
    """Which variant of InfoNCE (:func:`textzoo.trainers.losses.info_nce.info_nce`).

    Attributes:
        directions: see ``DIRECTIONS``; ``"query_to_document"`` is always among them.
        normalization: ``"joint"``: one softmax over everything the directions compare;
            ``"per_direction"``: a softmax of each, and the mean of their losses.
        similarity: ``"cosine"``, or ``"dot"`` for vectors as they are.
        candidates: documents a query is compared with: ``"all"`` of the batch,
            ``"positives_and_own"`` (no hard negatives of other queries, as in Gecko), or its
            ``"own"`` (no in-batch negatives, as in Llama-Embed-Nemotron).
        hardness: negatives whose logit grows by ``hardness_strength`` times their similarity,
            through which no gradient flows: ``"in_batch_negatives"`` (of other queries; Lan et
            al. 2025, strength 9), ``"hard_negatives"`` (the query's own; EmbeddingGemma 2025,
            strength 5), ``"all_negatives"``, or ``None``.
        hardness_strength: see ``hardness``.
        guide_margin: with vectors of a guide, how much less similar to the query than its
            positive a candidate must be, by the guide, to be a negative (GISTEmbed 2024: 0).
        guide_margin_kind: ``"absolute"``, or ``"relative"`` to the similarity of the positive.
    """

    directions: tuple[str, ...] = ("query_to_document",)
    normalization: str = "joint"
    similarity: str = "cosine"
    candidates: str = "all"
    hardness: str | None = None
    hardness_strength: float = 0.0
    guide_margin: float = 0.0
    guide_margin_kind: str = "absolute"

    def __post_init__(self) -> None:
        object.__setattr__(self, "directions", tuple(self.directions))
        for direction in self.directions:
            if direction not in DIRECTIONS:
                raise ConfigError(
                    f"directions has {direction!r}; {closest(str(direction), DIRECTIONS)}"
                )
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known and not (name == "hardness" and value is None):
                raise ConfigError(f"{name}={value!r}; {closest(str(value), known)}")
        if "query_to_document" not in self.directions:
            raise ConfigError(
                f"directions={self.directions} lacks 'query_to_document', which holds the pairs; "
                "add it"
            )
        same_tower = {"query_to_query", "document_to_document"} & set(self.directions)
        if self.normalization == "per_direction" and same_tower:
            raise ConfigError(
                f"normalization='per_direction' with {sorted(same_tower)}: a softmax among texts "
                "of one side contains no positive; use normalization='joint'"
            )
        if self.candidates == "own" and set(self.directions) != {"query_to_document"}:
            raise ConfigError(
                f"candidates='own' compares a query with its own documents only, directions="
                f"{self.directions} asks for more; use directions=('query_to_document',)"
            )
        if (self.hardness is None) != (self.hardness_strength == 0) or self.hardness_strength < 0:
            raise ConfigError(
                f"hardness={self.hardness!r} with hardness_strength={self.hardness_strength}; "
                "give both, the strength above 0, e.g. hardness='hard_negatives', "
                "hardness_strength=5.0, or neither"
            )

    def has(self, direction: str) -> bool:
        """Whether a direction is among those asked for."""
        return direction in self.directions


class Examples(NamedTuple):
    """Some rows of a batch; ``T = 1 + G`` texts each, the query first, then its positive.

    Attributes:
        number: of the row in the batch.
        is_real: False for rows that only fill the batch or a block up.
        queries: ready to be multiplied (float32, of length one for cosines).
        documents: the positive, then the hard negatives.
        keys: equal for equal texts.
        guide: vectors of a guide, of length one.
    """

    number: Int[Array, "C"]
    is_real: Bool[Array, "C"]
    queries: Float[Array, "C E"]
    documents: Float[Array, "C G E"]
    keys: UInt[Array, "C T"] | None = None
    guide: Float[Array, "C T W"] | None = None


class Comparison(NamedTuple):
    """What is left of the similarities of B rows to the candidates of C rows.

    Attributes:
        row_negatives: log of the sum of exponentials over what competes with a row's positive
            in its own direction (and, by config, within the towers).
        column_negatives: the same for the positive document of each of the C rows, over queries.
        hardest: largest similarity of a query to a negative document; ``NOTHING`` without one.
    """

    row_negatives: Float[Array, "B"]
    column_negatives: Float[Array, "C"] | None
    hardest: Float[Array, "B"]


def compare(
    rows: Examples, columns: Examples, temperature: float | Float[Array, ""],
    config: ContrastConfig,
) -> Comparison:  # fmt: skip
    """Compares every row with the candidates of every column; see :class:`Comparison`.

    Holds several arrays ``[B, C, G]``; nothing of that size leaves.
    """
    own = rows.number[:, None] == columns.number[None, :]
    out = _left_out(rows, columns, own, config)
    similarities = _products(rows.queries, columns.documents)
    of_query = similarities / temperature + _penalty(similarities, own, config)
    sums = [_log_sum(of_query, out.documents)]
    if config.has("query_to_query"):
        alike = _products(rows.queries, columns.queries[:, None]) / temperature
        sums.append(_log_sum(alike, out.queries[..., None]))
    if config.has("document_to_document"):
        alike = _products(rows.documents[:, 0], columns.documents) / temperature
        sums.append(_log_sum(alike, out.same_tower))
    backward = None
    if config.has("document_to_query"):
        # The products of all queries with a block of documents are whole columns: the other
        # direction needs no products of its own.
        of_document = similarities[:, :, 0] / temperature
        backward = jax.nn.logsumexp(jnp.where(out.backward, NOTHING, of_document), axis=0)
    return Comparison(
        row_negatives=jax.nn.logsumexp(jnp.stack(sums), axis=0),
        column_negatives=backward,
        hardest=jnp.where(out.documents, NOTHING, similarities).max(axis=(1, 2)),
    )


class _LeftOut(NamedTuple):
    """True for candidates that do not compete with the positive of a row."""

    documents: Bool[Array, "B C G"]
    queries: Bool[Array, "B C"]
    same_tower: Bool[Array, "B C G"]
    backward: Bool[Array, "B C"]


def _left_out(rows: Examples, columns: Examples, own: Array, config: ContrastConfig) -> _LeftOut:
    is_positive = jnp.arange(columns.documents.shape[1]) == 0
    # A row's own positive, and candidates of rows that are not there.
    documents = ~columns.is_real[None, :, None] | (own[..., None] & is_positive)
    if config.candidates == "own":
        documents |= ~own[..., None]
    elif config.candidates == "positives_and_own":
        documents |= ~own[..., None] & ~is_positive
    queries = ~columns.is_real[None, :] | own
    same_tower = documents | own[..., None]
    backward = ~rows.is_real[:, None] & ~own
    if config.normalization == "per_direction":
        backward |= own
    if rows.keys is not None and columns.keys is not None:
        repeated = _repeated(rows.keys, columns.keys)
        documents |= repeated[..., 1:]
        queries |= repeated[..., 0]
        same_tower |= repeated[..., 1:]
        # The rule reads the same from the document's side.
        backward |= repeated[..., 1] & ~own
    if rows.guide is not None and columns.guide is not None:
        floor = _threshold(rows.guide, config)[:, None, None]
        from_query = _products(rows.guide[:, 0], columns.guide)
        documents |= from_query[..., 1:] > floor
        queries |= from_query[..., 0] > floor[..., 0]
        if config.has("document_to_document"):
            same_tower |= _products(rows.guide[:, 1], columns.guide[:, 1:]) > floor
        backward |= (from_query[..., 1] > _threshold(columns.guide, config)[None]) & ~own
    return _LeftOut(documents, queries, same_tower, backward)


def _repeated(rows: UInt[Array, "B T"], columns: UInt[Array, "C T"]) -> Bool[Array, "B C T"]:
    """Texts of a column that are no negatives of a row.

    Those equal to the row's query or to its positive; and query and positive of a column that
    shares its query or its positive with the row, for then they belong together as well.
    """
    query, positive = rows[:, 0, None, None], rows[:, 1, None, None]
    equal = (columns[None] == query) | (columns[None] == positive)
    related = (columns[None, :, :2] == rows[:, None, :2]).any(axis=-1, keepdims=True)
    return equal | (related & (jnp.arange(columns.shape[1]) < 2))


def _threshold(guide: Float[Array, "B T W"], config: ContrastConfig) -> Float[Array, "B"]:
    positive = (guide[:, 0] * guide[:, 1]).sum(axis=-1)
    scale = jnp.abs(positive) if config.guide_margin_kind == "relative" else 1.0
    return positive - scale * config.guide_margin


def _penalty(
    similarities: Float[Array, "B C G"], own: Bool[Array, "B C"], config: ContrastConfig
) -> Float[Array, "B C G"] | float:
    if config.hardness is None:
        return 0.0
    applies = {
        "in_batch_negatives": ~own[..., None],
        "hard_negatives": own[..., None],
        "all_negatives": jnp.ones((), bool),
    }[config.hardness]
    # The positive is left out of the sum, so what is added to it does not matter.
    weighed = config.hardness_strength * jax.lax.stop_gradient(similarities)
    return jnp.where(applies, weighed, 0.0)


def _log_sum(logits: Float[Array, "B C G"], left_out: Bool[Array, "B C #G"]) -> Float[Array, "B"]:
    return jax.nn.logsumexp(jnp.where(left_out, NOTHING, logits), axis=(1, 2))


def _products(rows: Float[Array, "B E"], columns: Float[Array, "C G E"]) -> Float[Array, "B C G"]:
    return jnp.einsum(
        "be,cge->bcg", rows, columns, precision=HIGHEST, preferred_element_type=jnp.float32
    )
