"""What the vectors of a text depend on, as short strings that can be compared."""

import hashlib
import json
import tempfile
from pathlib import Path

from textzoo.checkpoints.weights import get_parameters
from textzoo.model import TextModel
from textzoo.modules import Tokenizer

# Texts whose tokens show options of a tokenizer that its file does not hold.
_PROBES = ("Hello, World! 123", "naïve café \u4f60\u597d \U0001f600", "  two  spaces\n", "")


def model_fingerprint(model: TextModel, tokenizer: Tokenizer) -> dict[str, str]:
    """Hashes of a model's config, weights and tokenizer."""
    config = None if model.config is None else model.config.to_dict()
    weights = hashlib.sha256()
    for path, array in sorted(get_parameters(model).items()):
        weights.update(f"{path} {array.dtype} {array.shape}\n".encode())
        weights.update(array.tobytes())
    return {
        "config": _short(json.dumps(config, sort_keys=True).encode()),
        "weights": weights.hexdigest()[:16],
        "tokenizer": _tokenizer(tokenizer),
    }


def _tokenizer(tokenizer: Tokenizer) -> str:
    digest = hashlib.sha256(f"{type(tokenizer).__name__} {tokenizer.max_length}".encode())
    digest.update(tokenizer(_PROBES).ids.tobytes())
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                digest.update(path.name.encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
