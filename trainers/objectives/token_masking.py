"""From a batch of texts to texts with masks: options, special tokens, one function."""

import dataclasses
import json
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from textzoo.checkpoints.tokenizer_roles import library_tokenizer, special_tokens
from textzoo.errors import ConfigError, closest
from textzoo.modules import SubwordTokenizer, TextBatch, WholeWordTokenizer
from textzoo.modules.tokenizers.symbols import SymbolTokenizer
from textzoo.trainers.batch import TrainBatch
from textzoo.trainers.objectives import selectors
from textzoo.trainers.objectives.corruptors import corrupt, ordinary_ids
from textzoo.trainers.objectives.selectors import Selection
from textzoo.trainers.objectives.spelling import Spelling

UNITS = ("token", "word", "span", "n_gram")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What masking needs to know of a tokenizer.

    Attributes:
        mask_id: id of the mask.
        special_ids: ids that are never predicted, the mask among them.
        vocab_size: number of ids.
        has_special_units: whether special tokens alone have units, which give nothing away.
    """

    mask_id: int
    special_ids: tuple[int, ...]
    vocab_size: int
    has_special_units: bool = False

    def __post_init__(self) -> None:
        special = tuple(sorted({*self.special_ids, self.mask_id}))
        object.__setattr__(self, "special_ids", special)
        if special[0] < 0 or special[-1] >= self.vocab_size:
            raise ConfigError(
                f"vocab_size={self.vocab_size} does not hold the special ids {special}; ids count "
                "from 0 to vocab_size - 1"
            )
        if len(special) == self.vocab_size:
            raise ConfigError(f"all of the {self.vocab_size} ids are special; none can be masked")

    @classmethod
    def of(cls, tokenizer: SubwordTokenizer | SymbolTokenizer) -> "Vocabulary":
        """Reads them from a tokenizer.

        Raises:
            ConfigError: the tokenizer has no mask.
        """
        if isinstance(tokenizer, SymbolTokenizer):
            return cls(
                mask_id=tokenizer.mask_id, special_ids=tokenizer.special_ids,
                vocab_size=tokenizer.vocab_size,
            )  # fmt: skip
        library = library_tokenizer(tokenizer)
        roles = special_tokens(library)
        if "mask_token" not in roles:
            raise ConfigError(
                "the tokenizer has neither [MASK] nor <mask>, so nothing can be masked; add one "
                "before training: tokenizer.add_special_tokens(['[MASK]'])"
            )
        marked = [
            token["id"] for token in json.loads(library.to_str())["added_tokens"]
            if token["special"]
        ]  # fmt: skip
        ids = library.get_vocab()
        named = [ids[token] for token in roles.values()]
        return cls(
            mask_id=ids[roles["mask_token"]],
            special_ids=tuple(sorted({*marked, *named})),
            vocab_size=tokenizer.vocab_size,
            has_special_units=isinstance(tokenizer, WholeWordTokenizer),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MaskingConfig:
    """How tokens are selected and what becomes of them; the defaults are BERT's.

    Attributes:
        rate: share of the tokens that are predicted.
        final_rate: the share at the end of a linear change; ``None``: it stays.
        change_steps: steps that the change takes.
        count: the tokens the share is of: ``"candidates"``, those that may be predicted, or
            ``"tokens"``, all real ones, as BERT's code counts.
        unit: ``"token"``, ``"word"``, ``"span"`` or ``"n_gram"``.
        of_words: whether spans and n-grams are of whole words rather than of tokens.
        longest: most members of a span (10 when absent) or an n-gram (3).
        span_stop: see :func:`~textzoo.trainers.objectives.selectors.select_spans`.
        mask_share: of the selected tokens, how many become masks.
        random_share: of the selected tokens, how many become random ones; the rest stays.
        once_per_unit: one such decision for a whole unit.
        random_special: whether a random token may be a special one, as in BERT's code.
    """

    rate: float = 0.15
    final_rate: float | None = None
    change_steps: int = 0
    count: str = "candidates"
    unit: str = "token"
    of_words: bool = True
    longest: int | None = None
    span_stop: float = 0.2
    mask_share: float = 0.8
    random_share: float = 0.1
    once_per_unit: bool = False
    random_special: bool = False

    def __post_init__(self) -> None:
        for name, known in (("count", ("candidates", "tokens")), ("unit", UNITS)):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"{name}={value!r} is unknown; {closest(value, known)}")
        for name in ("rate", "final_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ConfigError(f"{name}={value}; use a share above 0, up to 1")
        if self.final_rate is not None and self.change_steps < 1:
            raise ConfigError(
                f"final_rate={self.final_rate} needs the steps to get there; set change_steps"
            )
        for name in ("mask_share", "random_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)}; use a share from 0 to 1")
        if self.mask_share + self.random_share > 1 + 1e-9:
            raise ConfigError(
                f"mask_share={self.mask_share} and random_share={self.random_share} are more than "
                "all selected tokens; use shares that sum to 1 or less"
            )
        if not 0 < self.span_stop < 1:
            raise ConfigError(f"span_stop={self.span_stop}; use a probability between 0 and 1")
        if self.longest is not None and self.longest < 1:
            raise ConfigError(f"longest={self.longest}; use 1 or more")

    def num_slots(self, length: int) -> int:
        """M for rows of L tokens: enough for the largest rate."""
        largest = max(self.rate, self.final_rate or 0)
        return max(1, math.ceil(largest * length - 1e-9))

    def rate_at(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """The share that is predicted in a step."""
        if self.final_rate is None:
            return jnp.asarray(self.rate, jnp.float32)
        progress = jnp.clip(step / self.change_steps, 0, 1)
        return (self.rate + (self.final_rate - self.rate) * progress).astype(jnp.float32)

    @property
    def needs_words(self) -> bool:
        """Whether batches must say which word a token belongs to."""
        return self.unit == "word" or (self.unit in ("span", "n_gram") and self.of_words)


EVALUATION = MaskingConfig()
"""What every masked model is measured with, whatever it is trained with: 15%, single tokens."""


class MaskedTexts(NamedTuple):
    """Texts with masks, and what stood there.

    Attributes:
        texts: the texts to encode.
        selection: the positions that are predicted.
        targets: the tokens that stood at the slots, ``[B, M]``.
        real: the tokens of real rows, ``[B, L]``.
    """

    texts: TextBatch
    selection: Selection
    targets: Int[Array, "B M"]
    real: Array


def mask_texts(
    key: Array,
    batch: TrainBatch,
    config: MaskingConfig,
    vocabulary: Vocabulary,
    *,
    step: Int[Array, ""],
    log_weights: Float[Array, "V"] | Float[Array, "B L"] | None = None,
    spelling: Spelling | None = None,
    misspell: bool = False,
) -> MaskedTexts:
    """Selects tokens of the first column and replaces them.

    Args:
        key: of all draws.
        batch: texts, and ``word_ids`` where the config needs words.
        config: how.
        vocabulary: of the tokenizer that made the ids.
        step: for a rate that changes.
        log_weights: log-probability weights for being selected, of every id or of every token.
        spelling: gives all tokens their units anew, those of what stands there now.
        misspell: whether it may misspell them.

    Raises:
        ValueError: the batch lacks words, or its tokens are known by their letters too, and there
            is no spelling.
    """
    texts = batch.texts[0]
    _check(batch, config, spelling is not None or vocabulary.has_special_units)
    ids, real = jnp.asarray(texts.ids), jnp.asarray(texts.mask)
    if batch.row_mask is not None:
        real = real & jnp.asarray(batch.row_mask)[:, None]
    candidates = selectors.candidate_tokens(ids, real, vocabulary.special_ids)
    if config.needs_words:
        candidates = candidates & (jnp.asarray(batch.word_ids) >= 0)
    if log_weights is not None and log_weights.ndim == 1:
        log_weights = jnp.take(log_weights, ids, axis=0)
    quota = selectors.quotas(
        candidates, config.rate_at(step), counted=real if config.count == "tokens" else None
    )
    select_key, corrupt_key = jax.random.split(key)
    selection = _select(select_key, batch, config, candidates, quota, log_weights)
    whole = np.arange(vocabulary.vocab_size, dtype=np.int32)
    corrupted = corrupt(
        corrupt_key, ids, selection, mask_id=vocabulary.mask_id,
        random_ids=whole if config.random_special
        else ordinary_ids(vocabulary.vocab_size, vocabulary.special_ids),
        mask_share=config.mask_share, random_share=config.random_share,
        once_per_unit=config.once_per_unit,
    )  # fmt: skip
    texts = texts.replace(ids=corrupted)
    if spelling is not None:
        edit_key = jax.random.fold_in(key, 1) if misspell else None
        texts = spelling.respell(texts, key=edit_key)
    return MaskedTexts(
        texts=texts,
        selection=selection,
        targets=selectors.gather_slots(ids, selection.slots),
        real=real,
    )


def _check(batch: TrainBatch, config: MaskingConfig, may_have_units: bool) -> None:
    if config.needs_words and batch.word_ids is None:
        raise ValueError(
            f"unit={config.unit!r} of whole words needs to know them, and the batch has no "
            "word_ids; let the data pipeline add them, or mask tokens: unit='token', or "
            "of_words=False"
        )
    if batch.texts[0].units is not None and not may_have_units:
        raise ValueError(
            "the tokens of this batch also come as characters or hashes (units), which would "
            "give away what is masked; use a tokenizer that makes ids only, or give the objective "
            "spelling=Spelling.of(tokenizer)"
        )


def _select(
    key: Array, batch: TrainBatch, config: MaskingConfig, candidates: Array, quota: Array,
    log_weights: Array | None,
) -> Selection:  # fmt: skip
    num_slots = config.num_slots(candidates.shape[1])
    options: dict[str, Any] = {"log_weights": log_weights}
    if config.unit == "token":
        return selectors.select_tokens(key, candidates, quota, num_slots, **options)
    segments = batch.texts[0].segment_ids
    options["segment_ids"] = None if segments is None else jnp.asarray(segments)
    if config.needs_words:
        options["word_ids"] = jnp.asarray(batch.word_ids)
    if config.unit == "word":
        return selectors.select_words(key, candidates, quota, num_slots, **options)
    if config.unit == "span":
        options |= {"stop": config.span_stop, "longest": config.longest or 10}
        return selectors.select_spans(key, candidates, quota, num_slots, **options)
    options["longest"] = config.longest or 3
    return selectors.select_n_grams(key, candidates, quota, num_slots, **options)
