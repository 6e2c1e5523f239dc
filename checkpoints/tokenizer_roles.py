"""What a ``tokenizer.json`` says about itself: its unknown token and the roles of its tokens."""

import json
import tempfile
from pathlib import Path

import tokenizers

from textzoo.errors import ConfigError
from textzoo.modules import SubwordTokenizer

_ROLES = {
    "pad_token": ("[PAD]", "<pad>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]", "<s>"),
    "sep_token": ("[SEP]", "</s>"),
    "mask_token": ("[MASK]", "<mask>"),
}
"""Roles of special tokens in transformers, and the names that tokens of that role have."""


def library_tokenizer(tokenizer: SubwordTokenizer) -> tokenizers.Tokenizer:
    """A copy of the tokenizer of the ``tokenizers`` library that a ``SubwordTokenizer`` wraps."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        return tokenizers.Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))


def unknown_id(tokenizer: tokenizers.Tokenizer) -> int | None:
    """Id of what is not in the vocabulary; ``None`` where there is no such thing."""
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    return None if model.get("unk_token") is None else tokenizer.token_to_id(model["unk_token"])


def special_tokens(tokenizer: tokenizers.Tokenizer) -> dict[str, str]:
    """Roles in transformers and the tokens that have them; there is always a padding token.

    Raises:
        ConfigError: no token can stand for padding.
    """
    roles = {
        role: found
        for role, names in _ROLES.items()
        if (found := next((n for n in names if tokenizer.token_to_id(n) is not None), None))
    }
    if "pad_token" not in roles:
        added = json.loads(tokenizer.to_str())["added_tokens"]
        special = [token["content"] for token in added if token["special"]]
        if not special:
            raise ConfigError(
                "tokenizer: transformers pads with a token, but this vocabulary has neither [PAD] "
                "nor <pad> nor any special token; save it in the textzoo layout instead"
            )
        # Padding is masked, so which token it is makes no difference.
        roles["pad_token"] = special[0]
    return roles
