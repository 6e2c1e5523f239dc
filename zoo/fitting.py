"""Whether a tokenizer and a model belong together."""

from textzoo.errors import ConfigError
from textzoo.model import TextModel
from textzoo.modules import Tokenizer
from textzoo.parts import build_tokenizer


def configured_tokenizer(model: TextModel) -> Tokenizer:
    """The tokenizer that a model's config names, if it needs no file.

    Raises:
        ConfigError: the config names none, or one that is made from a file.
    """
    config = getattr(model, "config", None)
    if config is None or config.tokenizer is None:
        raise ConfigError(
            "the model's config names no tokenizer; give one: textzoo.TextEncoder(model, tokenizer)"
        )
    return build_tokenizer(config.tokenizer)


def check_fit(tokenizer: Tokenizer, model: TextModel, *, source: str = "") -> None:
    """Checks that a model takes every id and every length a tokenizer gives.

    Args:
        tokenizer: makes the ids.
        model: its embedding and encoder are asked for ``vocab_size``,
            ``unit_vocab_size`` and ``max_length``.
        source: where the two come from, for the message.

    Raises:
        ConfigError: an id has no row in the table, or a text no position in the encoder.
    """
    where = f"{source}: " if source else ""
    rows = getattr(model.embedding, "vocab_size", None)
    if isinstance(rows, int) and tokenizer.vocab_size > rows:
        raise ConfigError(
            f"{where}the tokenizer does not fit the table: its ids go up to "
            f"{tokenizer.vocab_size - 1}, the embedding has vocab_size={rows}; use the tokenizer "
            "the model was trained with"
        )
    rows = getattr(model.embedding, "unit_vocab_size", None)
    units = getattr(tokenizer, "unit_vocab_size", None)
    if isinstance(rows, int) and isinstance(units, int) and units > rows:
        raise ConfigError(
            f"{where}the tokenizer does not fit the embedding: its units go up to {units - 1}, the "
            f"embedding has unit_vocab_size={rows}; use the tokenizer the model was trained with"
        )
    longest = getattr(model.encoder, "max_length", None)
    if isinstance(longest, int) and tokenizer.max_length > longest:
        raise ConfigError(
            f"{where}the tokenizer cuts texts to max_length={tokenizer.max_length} tokens, the "
            f"encoder takes at most {longest}; build the tokenizer with max_length={longest}"
        )
