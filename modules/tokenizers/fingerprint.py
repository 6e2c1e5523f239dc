"""What the tokens of a text depend on, as a short string that can be compared."""

import hashlib
import tempfile
from pathlib import Path

import numpy as np

from textzoo.modules.tokenizers.base import Tokenizer

# Texts whose tokens show options of a tokenizer that its file does not hold.
_PROBES = ("Hello, World! 123", "naïve café \u4f60\u597d \U0001f600", "  two  spaces\n", "")


def tokenizer_fingerprint(tokenizer: Tokenizer) -> str:
    """A hash of a tokenizer's files and of what it does with some texts."""
    digest = hashlib.sha256(f"{type(tokenizer).__name__} {tokenizer.max_length}".encode())
    tokenized = tokenizer(_PROBES)
    digest.update(tokenized.ids.tobytes())
    if tokenized.units is not None and tokenized.unit_starts is not None:
        digest.update(f"{tokenized.unit_sizes}".encode())
        digest.update(tokenized.units.astype(np.int64).tobytes())
        digest.update(tokenized.unit_starts.tobytes())
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                digest.update(path.name.encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
