"""A WordPiece tokenizer without the tokens that a static table has no use for."""

import json
import re
from collections.abc import Sequence

import numpy as np
import tokenizers

_UNUSED = re.compile(r"\[unused\d+\]")


def reduce_vocabulary(
    tokenizer: tokenizers.Tokenizer,
) -> tuple[tokenizers.Tokenizer, Sequence[int]]:
    """Removes special and unused tokens, except the unknown one, which becomes token 0.

    The order of the others is kept, so BERT's order by frequency survives. The result adds no
    special tokens and neither pads nor truncates.

    Returns:
        The tokenizer, and for each of its tokens the id it had before.

    Raises:
        ValueError: the tokenizer is not a WordPiece one.
    """
    data = json.loads(tokenizer.to_str())
    model = data["model"]
    if model["type"] != "WordPiece":
        raise ValueError(
            f"the tokenizer is of type {model['type']}; reduce_vocabulary reads WordPiece, the "
            "type of BERT and MiniLM"
        )
    unknown = model["unk_token"]
    special = {token["content"] for token in data["added_tokens"]} | {unknown}
    kept = [
        (token, index)
        for token, index in sorted(model["vocab"].items(), key=lambda item: item[1])
        if token not in special and not _UNUSED.fullmatch(token)
    ]
    kept.insert(0, (unknown, model["vocab"][unknown]))
    model["vocab"] = {token: index for index, (token, _) in enumerate(kept)}
    data["added_tokens"] = []
    data.update(post_processor=None, truncation=None, padding=None)
    return tokenizers.Tokenizer.from_str(json.dumps(data)), [index for _, index in kept]


def count_tokens(ids: np.ndarray, vocab_size: int) -> np.ndarray:
    """How often each token occurs, ``[V]``."""
    return np.bincount(ids, minlength=vocab_size)
