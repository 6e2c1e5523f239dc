r"""Which positions of a row are to be predicted.

All selectors are one operator. A row is divided into *units* (tokens, words, spans, n-grams of
words); every unit draws ``log w + Gumbel noise``; units are taken in descending order until the
row's quota of tokens is met. Taking the top of ``log w + Gumbel`` is sampling without replacement
with probabilities proportional to ``w``. A row always has the same number M of slots, and slots
beyond its quota weigh nothing, so a mask rate that changes during training compiles once.

=============  ==============================================  ===================================
unit           of                                              when the last one exceeds the quota
=============  ==============================================  ===================================
token          BERT (Devlin et al. 2019), RoBERTa              cannot
word           BERT's whole-word masking                       is left out; shorter ones follow
span           SpanBERT (Joshi et al. 2020), LTG-BERT          is cut
n-gram         ALBERT (Lan et al. 2020), n <= 3, P(n) ~ 1/n    is left out; words fill the rest
=============  ==============================================  ===================================

Every operation stays within a row, so that rows may be on different devices.

Notes:
    - Spans and n-grams: the references draw a length and a start again and again, and reject or
      recount what overlaps. Here random lengths divide the whole row, and some of the parts are
      taken: lengths follow the wanted distribution (but for the part that ends a text or meets a
      special token), and parts do not overlap. Positions are selected equally often, but for the
      first ones of a text, which no cut takes away.
    - LTG-BERT draws lengths from ``Geometric(1/3) mod 10`` and its budget from a binomial; here
      lengths are ``P(l) ~ p (1 - p)^(l - 1), l <= longest`` as in SpanBERT, the budget is exact.
    - A row of long words only, all above its quota, has no target.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from textzoo.modules.types import register_pytree

# Whatever is left of a quota when the first unit does not fit is smaller than that unit, and every
# further pass fills at least one token of it: units of so many tokens are placed as one by one.
_PASSES = 8


@register_pytree
@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """Positions that are predicted.

    Attributes:
        slots: positions, no two of a row equal, ``[B, M]``.
        weights: one for the slots in use, which come first, and zero for the others, ``[B, M]``.
        selected: True at the positions of the slots in use, ``[B, L]``.
        unit_starts: position of the first token of the unit a candidate is in, ``[B, L]``.
    """

    slots: Int[Array, "B M"]
    weights: Float[Array, "B M"]
    selected: Bool[Array, "B L"]
    unit_starts: Int[Array, "B L"]


def candidate_tokens(
    ids: Int[Array, "B L"], mask: Bool[Array, "B L"], special_ids: Sequence[int]
) -> Bool[Array, "B L"]:
    """Tokens that may be predicted: real ones that are not special."""
    if not special_ids:
        return mask
    return mask & ~jnp.isin(ids, jnp.asarray(tuple(special_ids), ids.dtype))


def quotas(
    candidates: Bool[Array, "B L"],
    rate: Float[Array, ""] | float,
    *,
    counted: Bool[Array, "B L"] | None = None,
) -> Int[Array, "B"]:
    """How many tokens of each row to select: ``max(1, round(rate * n))``, at most all candidates.

    Args:
        candidates: tokens that may be selected.
        rate: share of the tokens.
        counted: the tokens that make up n; the candidates when absent. BERT's code counts special
            tokens too.
    """
    available = candidates.sum(axis=1)
    number = available if counted is None else counted.sum(axis=1)
    wanted = jnp.round(jnp.asarray(rate, jnp.float32) * number).astype(jnp.int32)
    return jnp.minimum(jnp.maximum(wanted, 1), available)


def select_tokens(
    key: Array,
    candidates: Bool[Array, "B L"],
    quota: Int[Array, "B"],
    num_slots: int,
    *,
    log_weights: Float[Array, "B L"] | None = None,
) -> Selection:
    """Selects single tokens.

    Args:
        key: of the draws.
        candidates: tokens that may be selected.
        quota: number of tokens to select, of each row.
        num_slots: M.
        log_weights: tokens are drawn with probabilities proportional to ``exp`` of these; minus
            infinity for never.
    """
    candidates = _possible(candidates, log_weights)
    return _take(key, candidates, candidates, quota, num_slots, log_weights, cut=True)


def select_words(
    key: Array,
    candidates: Bool[Array, "B L"],
    quota: Int[Array, "B"],
    num_slots: int,
    *,
    word_ids: Int[Array, "B L"],
    segment_ids: Int[Array, "B L"] | None = None,
    log_weights: Float[Array, "B L"] | None = None,
) -> Selection:
    """Selects whole words: all tokens of one, or none.

    Args:
        key: of the draws.
        candidates: tokens that may be selected.
        quota: number of tokens to select, of each row.
        num_slots: M.
        word_ids: equal for neighbors in one word.
        segment_ids: of packed rows; words end where segments do.
        log_weights: the weight of a word is the geometric mean of those of its tokens.
    """
    candidates = _possible(candidates & (word_ids >= 0), log_weights)
    starts = _starts(candidates, segment_ids, word_ids)
    return _take(key, starts, candidates, quota, num_slots, log_weights, cut=False)


def select_spans(
    key: Array,
    candidates: Bool[Array, "B L"],
    quota: Int[Array, "B"],
    num_slots: int,
    *,
    stop: float = 0.2,
    longest: int = 10,
    word_ids: Int[Array, "B L"] | None = None,
    segment_ids: Int[Array, "B L"] | None = None,
    log_weights: Float[Array, "B L"] | None = None,
) -> Selection:
    """Selects spans of neighbors with ``P(l) ~ stop (1 - stop)^(l - 1)``; the last one is cut.

    Args:
        key: of the draws.
        candidates: tokens that may be selected.
        quota: number of tokens to select, of each row.
        num_slots: M.
        stop: 0.2 gives spans of 3.8 on average (SpanBERT), 1/3 of 2.8 (LTG-BERT).
        longest: largest l.
        word_ids: spans are of l words; without, of l tokens.
        segment_ids: of packed rows; spans end where segments do.
        log_weights: the weight of a span is the geometric mean of those of its tokens.
    """
    lengths = stop * (1 - stop) ** np.arange(longest)
    return _select_groups(
        key, candidates, quota, num_slots, lengths, word_ids, segment_ids, log_weights, cut=True
    )


def select_n_grams(
    key: Array,
    candidates: Bool[Array, "B L"],
    quota: Int[Array, "B"],
    num_slots: int,
    *,
    longest: int = 3,
    word_ids: Int[Array, "B L"] | None = None,
    segment_ids: Int[Array, "B L"] | None = None,
    log_weights: Float[Array, "B L"] | None = None,
) -> Selection:
    """Selects n-grams with ``P(n) ~ 1 / n``, whole ones.

    Args:
        key: of the draws.
        candidates: tokens that may be selected.
        quota: number of tokens to select, of each row.
        num_slots: M.
        longest: largest n (ALBERT: 3).
        word_ids: n-grams are of n words; without, of n tokens.
        segment_ids: of packed rows; n-grams end where segments do.
        log_weights: the weight of an n-gram is the geometric mean of those of its tokens.
    """
    lengths = 1 / np.arange(1, longest + 1)
    return _select_groups(
        key, candidates, quota, num_slots, lengths, word_ids, segment_ids, log_weights, cut=False
    )


def gather_slots(values: Array, slots: Int[Array, "B M"]) -> Array:
    """The values ``[B, L, ...]`` at the slots, ``[B, M, ...]``."""
    index = slots.reshape(*slots.shape, *(1,) * (values.ndim - 2))
    return jnp.take_along_axis(values, index, axis=1)


def scatter_slots(
    ids: Int[Array, "B L"], selection: Selection, values: Int[Array, "B M"]
) -> Int[Array, "B L"]:
    """The ids, with those at the slots in use replaced."""
    hits = _hits(selection.slots, selection.weights, ids.shape[1])
    placed = jnp.where(hits, values[:, :, None], 0).sum(axis=1)
    return jnp.where(selection.selected, placed.astype(ids.dtype), ids)


def _possible(
    candidates: Bool[Array, "B L"], log_weights: Float[Array, "B L"] | None
) -> Bool[Array, "B L"]:
    return candidates if log_weights is None else candidates & (log_weights > -jnp.inf)


def _before(values: Array) -> Array:
    """The value of the token to the left; the first token's own is repeated."""
    return jnp.concatenate([values[:, :1], values[:, :-1]], axis=1)


def _run_starts(candidates: Array, segment_ids: Array | None) -> Bool[Array, "B L"]:
    """Candidates whose left neighbor is none, or belongs to another text."""
    first = jnp.arange(candidates.shape[1]) == 0
    starts = first | ~_before(candidates)
    if segment_ids is not None:
        starts = starts | (segment_ids != _before(segment_ids))
    return candidates & starts


def _starts(
    candidates: Array, segment_ids: Array | None, word_ids: Array | None
) -> Bool[Array, "B L"]:
    """The first tokens of words; without words, all tokens."""
    if word_ids is None:
        return candidates
    new_word = candidates & (word_ids != _before(word_ids))
    return _run_starts(candidates, segment_ids) | new_word


def _select_groups(
    key: Array, candidates: Array, quota: Array, num_slots: int, lengths: np.ndarray,
    word_ids: Array | None, segment_ids: Array | None, log_weights: Array | None, *, cut: bool,
) -> Selection:  # fmt: skip
    """Selects groups of neighbors whose number of members is drawn from ``lengths``."""
    if word_ids is not None:
        candidates = candidates & (word_ids >= 0)
    candidates = _possible(candidates, log_weights)
    length_key, order_key = jax.random.split(key)
    members = _starts(candidates, segment_ids, word_ids)
    rank = jnp.cumsum(members, axis=1) - 1
    drawn = 1 + jax.random.categorical(length_key, jnp.log(jnp.asarray(lengths)), shape=rank.shape)
    ends = jnp.cumsum(drawn, axis=1)
    # The group of a rank is the number of groups that end before it. Compared all with all, which
    # XLA fuses with the sum: a search or a scatter would gather over devices.
    group = (ends[:, None, :] <= rank[:, :, None]).sum(axis=2)
    starts = members & (group != _before(group)) | _run_starts(candidates, segment_ids)
    return _take(
        order_key, starts, candidates, quota, num_slots, log_weights, cut=cut, members=members
    )


def _take(
    key: Array, starts: Array, candidates: Array, quota: Array, num_slots: int,
    log_weights: Array | None, *, cut: bool, members: Array | None = None,
) -> Selection:  # fmt: skip
    """The operator itself; ``starts`` and ``members`` mark first tokens, of units and in them."""
    length = candidates.shape[1]
    if not 1 <= num_slots <= length:
        raise ValueError(f"num_slots={num_slots}; rows are {length} tokens long, use 1 to {length}")
    positions = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), candidates.shape)
    unit = _nearest_before(starts, positions)
    score = jax.random.gumbel(key, candidates.shape)
    if log_weights is not None:
        score = score + _unit_means(log_weights, starts, candidates, unit, positions)
    score = jnp.where(candidates, jnp.take_along_axis(score, unit, axis=1), -jnp.inf)
    # By unit second: float32 noise repeats itself within long rows, and units must not mix.
    _, units, order = jax.lax.sort((-score, unit, positions), dimension=1, num_keys=2)
    available = candidates.sum(axis=1)
    quota = jnp.minimum(jnp.minimum(quota, num_slots), available)
    if not cut:
        taken = _whole_units(units, positions < available[:, None], quota)
        if members is not None:
            parts = jnp.take_along_axis(_nearest_before(members, positions), order, axis=1)
            rest = (positions < available[:, None]) & ~taken
            taken = taken | _whole_units(parts, rest, quota - taken.sum(axis=1))
        quota = taken.sum(axis=1)
        _, order = jax.lax.sort((~taken, order), dimension=1, num_keys=1, is_stable=True)
    slots = order[:, :num_slots]
    weights = (jnp.arange(num_slots) < quota[:, None]).astype(jnp.float32)
    selected = _hits(slots, weights, length).any(axis=1)
    return Selection(slots=slots, weights=weights, selected=selected, unit_starts=unit)


def _hits(slots: Array, weights: Array, length: int) -> Bool[Array, "B M L"]:
    """Which slot in use is at which position."""
    return (slots[:, :, None] == jnp.arange(length)) & (weights > 0)[:, :, None]


def _nearest_before(marks: Array, positions: Array) -> Int[Array, "B L"]:
    """Position of the nearest mark at or before each token."""
    return jax.lax.cummax(jnp.where(marks, positions, 0), axis=1)


def _nearest_after(marks: Array, positions: Array) -> Int[Array, "B L"]:
    """Position of the nearest mark at or after each token."""
    last = positions.shape[1] - 1
    return jax.lax.cummin(jnp.where(marks, positions, last), axis=1, reverse=True)


def _unit_means(
    log_weights: Array, starts: Array, candidates: Array, unit: Array, positions: Array
) -> Float[Array, "B L"]:
    """Mean over each candidate's unit."""
    ends_here = (starts | ~candidates)[:, 1:]
    last = _nearest_after(jnp.pad(ends_here, ((0, 0), (0, 1)), constant_values=True), positions)
    values = jnp.where(candidates, log_weights, 0)
    sums = jnp.cumsum(values, axis=1)
    before = jnp.take_along_axis(sums - values, unit, axis=1)
    return (jnp.take_along_axis(sums, last, axis=1) - before) / (last - unit + 1)


def _whole_units(
    units: Int[Array, "B L"], possible: Bool[Array, "B L"], quota: Int[Array, "B"]
) -> Bool[Array, "B L"]:
    """Takes units in their order, leaving out each that does not fit what is left of the quota.

    Args:
        units: of the tokens, those of a unit next to each other.
        possible: tokens of units that may be taken.
        quota: how many tokens to take at most.
    """
    positions = jnp.broadcast_to(jnp.arange(units.shape[1], dtype=jnp.int32), units.shape)
    changes = (units[:, 1:] != units[:, :-1]) | (possible[:, 1:] != possible[:, :-1])
    starts = jnp.pad(changes, ((0, 0), (1, 0)), constant_values=True)
    ends = jnp.pad(changes, ((0, 0), (0, 1)), constant_values=True)
    last = _nearest_after(ends, positions)
    size = last - _nearest_before(starts, positions) + 1

    def settle(_: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
        open_, _taken = state
        total = jnp.take_along_axis(jnp.cumsum(open_, axis=1), last, axis=1)
        taken = open_ & (total <= quota[:, None])
        room = quota - taken.sum(axis=1)
        return taken | (open_ & (size <= room[:, None])), taken

    return jax.lax.fori_loop(0, _PASSES, settle, (possible, jnp.zeros_like(possible)))[1]
