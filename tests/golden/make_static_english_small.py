"""Writes static_english_small.npz: texts and their vectors, computed with numpy alone.

python tests/golden/make_static_english_small.py
"""

from pathlib import Path

import numpy as np
import tokenizers
from safetensors.numpy import load_file

NAME = "static_english_small"
MODEL = Path(__file__).parents[2] / "checkpoints" / "pretrained" / NAME
TEXTS = (
    "A plane is taking off.",
    "Vectors of words, phrases and documents",
    "naïve café, 1984 & 27°C",
    "antidisestablishmentarianism",
    "the",
    "",
)


def main() -> None:
    """Writes the file beside this one."""
    tokenizer = tokenizers.Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    table = load_file(MODEL / "model.safetensors")["embedding.table"].astype(np.float64)
    vectors = np.zeros((len(TEXTS), table.shape[1]))
    for vector, text in zip(vectors, TEXTS, strict=True):
        ids = [i for i in tokenizer.encode(text, add_special_tokens=False).ids if i != 0]
        if ids:
            total = table[ids].sum(axis=0)
            vector[:] = total / np.linalg.norm(total)
    np.savez_compressed(
        Path(__file__).with_name(f"{NAME}.npz"),
        texts=np.array(TEXTS),
        vectors=vectors.astype(np.float32),
    )


if __name__ == "__main__":
    main()
