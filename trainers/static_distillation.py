r"""Distills an encoder into a table with one vector per token.

The student of a text with tokens ``t_1 ... t_n`` is the direction of the sum of their rows, so the
length of a row is how much its token counts::

    s = sum_i E[t_i] / || sum_i E[t_i] ||

1. *First table* (Model2Vec, Tulkens and van Dongen 2024): each token goes through the teacher
   alone; the vectors ``x_t`` are centered and projected, and weighted by how often the token
   occurs, ``c_t`` times in the training texts::

       E[t] = a / (a + p_t) * V[r : r + k]^T (x_t - mean)
       p_t = (c_t + 1/2) / sum_u (c_u + 1/2)

   ``V`` are the principal components, of which the first ``r`` are left out ("all but the top",
   Mu and Viswanath 2018).
2. *Training* ("Static Word Embeddings for Sentence Semantic Representation", Wada et al. 2025,
   step 3a): within a batch, every text looks at the others through the teacher's and through the
   student's similarities, and both views shall agree::

       L = mean_i  sum_{j != i} P_ij (log P_ij - log Q_ij)
       P_i = softmax_j(t_i . t_j / tau)      Q_i = softmax_j(s_i . s_j / tau)

   Only similarities enter, so the student is free to turn its space, and needs no map to the
   teacher's.

Notes:
    - Model2Vec takes ``p_t`` from the rank of a token in the vocabulary (Zipf); here tokens are
      counted in the training texts. SWE starts from averages of a token's vectors in context and
      computes components from sentences; the first table here needs no text.
    - The loss subtracts the entropy of ``P``, which changes no gradient and makes zero the optimum.
    - SWE uses batches of 128, tau 0.05 and a constant step; here 1024 texts, tau 0.1 (on 60,000
      texts, 6 epochs: STS-B dev 84.6 against 84.3) and a cosine schedule.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from textzoo.modules.postprocessing.covariance import components
from textzoo.modules.tokenizers import Tokenized

_HIGHEST = jax.lax.Precision.HIGHEST
_FLAT_STEP = 8192


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DistillationConfig:
    """What distillation does beyond its data.

    Attributes:
        width: k, features of a row.
        removed_components: r, how many of the largest components the first table leaves out.
        smoothing: a of the token weights.
        temperature: tau.
        batch_size: texts compared with one another.
        num_epochs: passes over the texts; the step follows a cosine down to a fiftieth over them.
        learning_rate: largest step of Adam; rows of the first table have a root mean square of
            ``row_scale``.
        row_scale: see ``learning_rate``; the vectors of texts do not depend on it.
        warmup: share of the steps over which the step size grows from zero.
        patience: stop after so many epochs without a better loss on the held-out texts.
        seed: of the order of texts.
    """

    width: int = 256
    removed_components: int = 3
    smoothing: float = 1e-3
    temperature: float = 0.1
    batch_size: int = 1024
    num_epochs: int = 12
    learning_rate: float = 4e-3
    row_scale: float = 0.1
    warmup: float = 0.05
    patience: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "num_epochs", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}; use 1 or more")
        for name in ("smoothing", "temperature", "learning_rate", "row_scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}; use a number above 0")
        if self.batch_size < 2:
            raise ValueError(f"batch_size={self.batch_size}; texts are compared, use 2 or more")
        if self.removed_components < 0:
            raise ValueError(f"removed_components={self.removed_components}; use 0 or more")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup={self.warmup}; use a share from 0 to below 1")


def principal_components(
    vectors: Float[np.ndarray, "N D"],
) -> tuple[Float[np.ndarray, "D"], Float[np.ndarray, "D D"]]:
    """The mean, and the directions of largest variance in descending order, one per column.

    The sign of a direction is that of :func:`textzoo.modules.postprocessing.covariance.components`.
    """
    vectors = np.asarray(vectors, np.float64)
    mean = vectors.mean(axis=0)
    centered = vectors - mean
    return mean, components(centered.T @ centered)[1]


def token_weights(counts: Int[np.ndarray, "V"], smoothing: float) -> Float[np.ndarray, "V"]:
    """``a / (a + p_t)`` with half an occurrence added to every token; near 1 for rare tokens."""
    frequency = (counts + 0.5) / (counts + 0.5).sum()
    return smoothing / (smoothing + frequency)


def initial_table(
    token_vectors: Float[np.ndarray, "V D"], counts: Int[np.ndarray, "V"],
    config: DistillationConfig,
) -> Float[np.ndarray, "V E"]:  # fmt: skip
    """The first table: projected vectors of single tokens, weighted by frequency; float32.

    Args:
        token_vectors: the teacher's vector of each token alone.
        counts: how often each token occurs in the training texts.
        config: ``width``, ``removed_components``, ``smoothing`` and ``row_scale`` are used.
    """
    first, last = config.removed_components, config.removed_components + config.width
    if last > token_vectors.shape[1]:
        raise ValueError(
            f"width={config.width} after removed_components={first} needs {last} features, the "
            f"teacher has {token_vectors.shape[1]}; use width={token_vectors.shape[1] - first} "
            "or less"
        )
    mean, directions = principal_components(token_vectors)
    table = (token_vectors - mean) @ directions[:, first:last]
    table *= token_weights(counts, config.smoothing)[:, None]
    scale = config.row_scale / max(np.sqrt(np.square(table).mean()), 1e-12)
    return (table * scale).astype(np.float32)


def relational_loss(
    student: Float[Array, "B E"], teacher: Float[Array, "B D"], temperature: float
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Divergence of the student's view of a batch from the teacher's; zero when they agree.

    Use it when student and teacher differ in width, or when only their similarities shall agree;
    a cosine loss against the teacher's vectors needs a map between the spaces.

    Args:
        student: vectors of texts, of length one (or zero).
        teacher: vectors of the same texts.
        temperature: tau; smaller looks at the nearest texts only. The paper uses 0.05.

    Returns:
        Sum over texts and number of texts, float32.
    """
    itself = jnp.eye(len(student), dtype=bool)

    def log_view(vectors: Array) -> Array:
        similarities = jnp.matmul(vectors, vectors.T, precision=_HIGHEST) / temperature
        return jax.nn.log_softmax(jnp.where(itself, -jnp.inf, similarities), axis=-1)

    target = jax.lax.stop_gradient(log_view(teacher.astype(jnp.float32)))
    view = log_view(student.astype(jnp.float32))
    # On the diagonal both are -inf; zero probability times anything shall be zero.
    difference = jnp.where(itself, 0.0, target) - jnp.where(itself, 0.0, view)
    return (jnp.exp(target) * difference).sum(), jnp.asarray(len(student), jnp.float32)


def embed_flat(
    table: Float[Array, "V E"], ids: Int[Array, "T"], segments: Int[Array, "T"], num_texts: int
) -> Float[Array, "B E"]:
    """Direction of the sum of rows of each text, from tokens of all texts one after the other.

    Args:
        table: one row per token.
        ids: tokens.
        segments: which text a token belongs to, ascending; ``num_texts`` for padding.
        num_texts: B.
    """
    sums = jax.ops.segment_sum(
        table[ids], segments, num_segments=num_texts + 1, indices_are_sorted=True
    )[:-1]
    squared = jnp.square(sums).sum(axis=-1, keepdims=True)
    return sums * jax.lax.rsqrt(jnp.maximum(squared, 1e-18))


def flatten(
    tokenized: Tokenized, rows: Int[np.ndarray, "B"], step: int = _FLAT_STEP
) -> tuple[Int[np.ndarray, "T"], Int[np.ndarray, "T"]]:
    """Tokens of some texts one after the other, and the text of each; padded to few sizes."""
    lengths = tokenized.lengths[rows]
    total = int(lengths.sum())
    size = max(1, -(-total // step)) * step
    ids = np.zeros(size, np.int32)
    segments = np.full(size, len(rows), np.int32)
    ends = np.cumsum(lengths)
    places = np.arange(total) + np.repeat(tokenized.starts[rows] - (ends - lengths), lengths)
    ids[:total] = tokenized.ids[places]
    segments[:total] = np.repeat(np.arange(len(rows), dtype=np.int32), lengths)
    return ids, segments


@dataclasses.dataclass(frozen=True, kw_only=True)
class Texts:
    """Tokenized texts and the teacher's vectors of them, ``[N, D]``, of length one."""

    tokenized: Tokenized
    teacher: Float[np.ndarray, "N D"]

    def __post_init__(self) -> None:
        if len(self.tokenized) != len(self.teacher):
            raise ValueError(
                f"{len(self.tokenized)} tokenized texts, {len(self.teacher)} teacher vectors; "
                "give one vector per text"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Epoch:
    """How an epoch went: mean training loss and the loss on the held-out texts after it."""

    number: int
    loss: float
    held_out: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distilled:
    """The table of the best epoch ``[V, E]``, float32, and how every epoch went."""

    table: Float[np.ndarray, "V E"]
    history: tuple[Epoch, ...]


def distill(
    table: Float[np.ndarray, "V E"], train: Texts, held_out: Texts, config: DistillationConfig, *,
    on_step: Callable[[int, int], None] = lambda step, total: None,
    on_epoch: Callable[[Epoch, Any], None] = lambda epoch, table: None,
) -> Distilled:  # fmt: skip
    """Trains a table until its loss on held-out texts stops to fall.

    Args:
        table: the first table; rows of tokens that no text has stay as they are.
        train: texts without tokens are fine, their vectors are zero.
        held_out: other texts, to tell when to stop.
        config: see :class:`DistillationConfig`.
        on_step: called with the number of steps done and the number of all, for a progress bar.
        on_epoch: called after each epoch with its figures and the table.

    Returns:
        The table of the epoch with the smallest loss on the held-out texts.
    """
    size = config.batch_size
    for name, texts in (("train", train), ("held_out", held_out)):
        if len(texts.teacher) < size:
            raise ValueError(
                f"{name} has {len(texts.teacher)} texts, fewer than batch_size={size}; give "
                "more texts, or a smaller batch_size"
            )
    per_epoch = len(train.teacher) // size
    total = per_epoch * config.num_epochs
    optimizer = optax.adam(
        optax.warmup_cosine_decay_schedule(
            init_value=0.0, peak_value=config.learning_rate, end_value=config.learning_rate / 50,
            warmup_steps=max(1, int(config.warmup * total)), decay_steps=max(2, total),
        )
    )  # fmt: skip

    def loss_of(table: Array, ids: Array, segments: Array, teacher: Array) -> Array:
        student = embed_flat(table, ids, segments, size)
        numerator, denominator = relational_loss(student, teacher, config.temperature)
        return numerator / denominator

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def update(table: Array, state: Any, *batch: Array) -> tuple[Array, Any, Array]:
        loss, gradient = jax.value_and_grad(loss_of)(table, *batch)
        updates, state = optimizer.update(gradient, state, table)
        return optax.apply_updates(table, updates), state, loss

    evaluate = jax.jit(loss_of)
    current = jnp.array(table, jnp.float32)
    state = optimizer.init(current)
    best, best_table = np.inf, np.asarray(table, np.float32)
    history: list[Epoch] = []
    waited = 0
    for number in range(config.num_epochs):
        losses = []
        order = np.random.default_rng((config.seed, number)).permutation(len(train.teacher))
        for index, batch in enumerate(_batches(train, order, size)):
            current, state, loss = update(current, state, *batch)
            losses.append(loss)
            on_step(number * per_epoch + index + 1, total)
        inspected = [
            evaluate(current, *batch)
            for batch in _batches(held_out, np.arange(len(held_out.teacher)), size)
        ]
        epoch = Epoch(
            number=number + 1, loss=float(np.mean(losses)), held_out=float(np.mean(inspected))
        )
        history.append(epoch)
        on_epoch(epoch, current)
        if epoch.held_out < best:
            best, best_table, waited = epoch.held_out, np.array(current), 0
        else:
            waited += 1
            if waited >= config.patience:
                break
    return Distilled(table=best_table, history=tuple(history))


def carry_over(
    first: Float[np.ndarray, "V E"], trained: Float[np.ndarray, "V E"],
    counts: Int[np.ndarray, "V"], *, rare: int = 20,
) -> Float[np.ndarray, "V E"]:  # fmt: skip
    """Turns the rows that no training text has into the space of the trained ones.

    Training turns and stretches the space, which leaves rows it never touched behind. The rotation
    and scale that carry the first rows of rare tokens to their trained rows are applied to them::

        R = argmin || F R - T ||_F  over rotations (orthogonal Procrustes)
        c = || T ||_F / || F ||_F

    Args:
        first: the first table.
        trained: the table after training.
        counts: how often each token occurs in the training texts.
        rare: tokens with 1 to so many occurrences are the examples.

    Returns:
        The trained table with the rows of unseen tokens replaced.
    """
    examples = (counts > 0) & (counts <= rare)
    if not examples.any():
        return trained
    source, target = first[examples], trained[examples]
    left, _, right = np.linalg.svd(source.T @ target)
    scale = float(np.linalg.norm(target)) / max(float(np.linalg.norm(source)), 1e-12)
    return np.where((counts > 0)[:, None], trained, scale * first @ (left @ right)).astype(
        np.float32
    )


def _batches(
    texts: Texts, order: Int[np.ndarray, "N"], size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Whole batches only: a smaller one would compare a text with fewer others."""
    for start in range(0, len(order) - size + 1, size):
        rows = order[start : start + size]
        yield *flatten(texts.tokenized, rows), texts.teacher[rows].astype(np.float32)
