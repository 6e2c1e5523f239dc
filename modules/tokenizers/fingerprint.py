"""What the tokens of a text depend on, as a short string that can be compared."""

import hashlib
import tempfile
from pathlib import Path

from textzoo.modules.tokenizers.base import Tokenizer

# Texts whose tokens show options of a tokenizer that its file does not hold.
_PROBES = ("Hello, World! 123", "naïve café \u4f60\u597d \U0001f600", "  two  spaces\n", "")


def tokenizer_fingerprint(tokenizer: Tokenizer) -> str:
    """A hash of a tokenizer's files and of what it does with some texts."""
    digest = hashlib.sha256(f"{type(tokenizer).__name__} {tokenizer.max_length}".encode())
    digest.update(tokenizer(_PROBES).ids.tobytes())
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                digest.update(path.name.encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
