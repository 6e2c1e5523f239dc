"""Texts in a template, and the part of it whose tokens are pooled.

Prompt pooling, echo embeddings and instruction masks are spans: the text is written into the
template, the filled template is encoded once, and the model's pooling sees the tokens of one
stretch of it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from textzoo.errors import ConfigError
from textzoo.inputs import as_list
from textzoo.spans import SpanVectors
from textzoo.text_encoder import TextEncoder

_PLACE = "{text}"


@dataclasses.dataclass(frozen=True)
class Template:
    """A text with a place for another, and what of it is pooled.

    Attributes:
        template: has ``{text}`` once or more.
        pool: ``"{text}"`` for the text itself, or a piece of the template such as ``"[MASK]"``.
            Where it stands more than once, the last one is meant.

    Example:
        >>> Template("Query: {text} Query again: {text}").fill("cat")
        ('Query: cat Query again: cat', (24, 27))
    """

    template: str
    pool: str = _PLACE

    def __post_init__(self) -> None:
        if _PLACE not in self.template:
            raise ConfigError(f"template {self.template!r} has no {_PLACE}; say where texts go")
        fixed = [piece for piece in self._pieces() if piece != _PLACE]
        if self.pool != _PLACE and not (self.pool and any(self.pool in piece for piece in fixed)):
            raise ConfigError(
                f"pool={self.pool!r} is not in the template {self.template!r}; use {_PLACE!r} or a "
                "piece of the template"
            )

    def fill(self, text: str) -> tuple[str, tuple[int, int]]:
        """The template with the text in it, and the characters to pool."""
        filled, span = "", (0, 0)
        for piece in self._pieces():
            # Searched in the template, not in the text, which may well contain the same words.
            at = piece.rfind(self.pool)
            if piece == _PLACE:
                piece, found = text, (0, len(text)) if self.pool == _PLACE else None
            else:
                found = (at, at + len(self.pool)) if at >= 0 else None
            if found is not None:
                span = (len(filled) + found[0], len(filled) + found[1])
            filled += piece
        return filled, span

    def _pieces(self) -> list[str]:
        pieces: list[str] = []
        for index, fixed in enumerate(self.template.split(_PLACE)):
            pieces += [fixed] if index == 0 else [_PLACE, fixed]
        return pieces


PROMPT_BERT = Template('This sentence : "{text}" means [MASK].', pool="[MASK]")
"""PromptBERT (Jiang et al. 2022) without training: the state of the mask, for BERT tokenizers."""

PROMPT_EOL = Template('This sentence : "{text}" means in one word:"', pool='"')
"""PromptEOL (Jiang et al. 2023): the state of the last token, for causal models."""

ECHO = Template("Document:{text}\nDocument again:{text}")
"""Echo embeddings (Springer et al. 2024): the second copy, which has seen the whole first one."""


def instruction(task: str) -> Template:
    """``Instruct: {task}``, a line break, ``Query: {text}``; the instruction is not pooled."""
    if _PLACE in task:
        raise ConfigError(f"task {task!r} has {_PLACE} in it; it is put before the text")
    return Template(f"Instruct: {task}\nQuery: {_PLACE}")


def encode_with_template(
    encoder: TextEncoder, texts: str | Sequence[str], template: Template, **options: Any
) -> SpanVectors:
    """Encodes texts inside a template, by the tokens that the template says.

    Args:
        encoder: its own pooling and heads are used.
        texts: N texts.
        template: where they go and what is pooled.
        **options: of :meth:`TextEncoder.encode_spans`, such as ``prompt``.

    Returns:
        ``vectors [N, E]``, and ``kept [N]``: False where a text was so long that what is pooled
        was cut off (zeros stand there), or was empty.
    """
    items = as_list(texts)
    filled = [template.fill(text) for text in items]
    found = encoder.encode_spans(
        [text for text, _ in filled], [[span] for _, span in filled], **options
    )
    if not found:
        none = np.zeros(0, bool)
        return SpanVectors(np.zeros((0, encoder.dimension), np.float32), none, none)
    return SpanVectors(
        np.concatenate([item.vectors for item in found]),
        np.concatenate([item.kept for item in found]),
        np.concatenate([item.cut for item in found]),
    )
