"""What the vectors of a text depend on, as short strings that can be compared."""

import hashlib
import json

from textzoo.checkpoints.weights import get_parameters
from textzoo.model import TextModel
from textzoo.modules import Tokenizer
from textzoo.modules.tokenizers.fingerprint import tokenizer_fingerprint


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
        "tokenizer": tokenizer_fingerprint(tokenizer),
    }


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
