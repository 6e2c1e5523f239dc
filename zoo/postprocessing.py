"""Heads of fitted statistics on an encoder's vectors: whitening, centering and their relatives."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from flax import nnx

from textzoo.config import Part
from textzoo.errors import ConfigError, closest
from textzoo.inputs import as_source
from textzoo.model import TextModel
from textzoo.modules import Normalize
from textzoo.modules.postprocessing import FittedHead
from textzoo.parts import build_part, known_parts
from textzoo.similarity import as_vectors, is_vectors

if TYPE_CHECKING:
    from textzoo.text_encoder import TextEncoder


def fit_postprocessing(
    encoder: "TextEncoder",
    source: Any,
    kind: str = "Whitening",
    *,
    normalize: bool | None = None,
    prompt: str | None = None,
    show_progress: bool = False,
    **options: Any,
) -> "TextEncoder":
    """An encoder whose vectors go through one more head, fitted on texts or vectors.

    Args:
        encoder: left as it is; the new one shares its parameters.
        source: texts, or vectors of this encoder ``[N, E]`` at their full width.
        kind: name of the head: ``"Whitening"``, ``"Centering"``, ``"Standardization"``,
            ``"PrincipalComponents"``, ``"ComponentRemoval"``, or a ``FittedHead`` of yours.
        normalize: put a ``Normalize`` head behind it; ``None``: where the last head is one now.
        prompt: as for ``encode``, for texts.
        show_progress: as for ``encode``.
        **options: of the head, such as ``rank``; its width is known.

    Raises:
        ConfigError: an unknown head or option, or vectors that do not allow it.
    """
    heads = list(encoder.model.heads)
    ends_with_unit_length = bool(heads) and isinstance(heads[-1], Normalize)
    if normalize is None:
        normalize = ends_with_unit_length
    # Heads work on whole vectors; what truncate_dim cuts off, it cuts off behind them.
    width = _width(encoder)
    part = _part(kind, width, options)
    head = build_part(part, where="heads")
    if is_vectors(source):
        vectors = source if isinstance(source, np.ndarray) else as_vectors(source, "source")
    else:
        texts = as_source(source).texts
        vectors = encoder.encode(
            texts, prompt=prompt, truncate_dim=width, show_progress=show_progress
        )
    try:
        head.assign(head.fit(vectors))
    except ValueError as error:
        raise ConfigError(f"{kind}: {error}") from error
    added = [(part, head), *([(Part("Normalize"), Normalize())] if normalize else [])]
    return _with_heads(encoder, added)


def _width(encoder: "TextEncoder") -> int:
    if encoder.model.pooling is None:
        raise ConfigError("this model has no pooling, so it has no vectors to fit a head on")
    return encoder.full_dimension


def _part(kind: str, width: int, options: dict[str, Any]) -> Part:
    fitted = [name for name, part in known_parts().items() if issubclass(part, FittedHead)]
    if kind not in fitted:
        raise ConfigError(f"kind={kind!r} is no head with statistics; {closest(kind, fitted)}")
    if "width" in options:
        raise ConfigError(f"width={options['width']}: it is that of the vectors; leave it out")
    return Part(kind, width=width, **options)


def _with_heads(encoder: "TextEncoder", added: list[tuple[Part, nnx.Module]]) -> "TextEncoder":
    model = encoder.model
    config = model.config
    if config is not None:
        config = config.replace(heads=(*config.heads, *(part for part, _ in added)))
    extended = TextModel(
        embedding=model.embedding, encoder=model.encoder, pooling=model.pooling,
        heads=[*model.heads, *(head for _, head in added)], config=config,
    )  # fmt: skip
    made = type(encoder)(
        extended, encoder.tokenizer, tokens_per_batch=encoder.tokens_per_batch, name=encoder.name
    )
    width = encoder.settings.truncate_dim
    if width is not None and width >= made.full_dimension:
        width = None
    made.settings = dataclasses.replace(encoder.settings, truncate_dim=width)
    return made
