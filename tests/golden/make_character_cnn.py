"""Writes ``character_cnn.npz``: units of words, weights and vectors of a character CNN in torch.

Run where torch is installed: ``.venv-parity/bin/python tests/golden/make_character_cnn.py``. The
layers are those that CharacterBERT's code describes (AllenNLP's ELMo token embedder), written here
once more: rows of ids that count from one, convolutions over words padded to 50 with a character of
its own, maximum, ReLU, highway layers whose kernel has the transform first and the gate second, a
linear map. Sizes are small.
"""

from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
LONGEST, DIM, WIDTH = 50, 4, 6
FILTERS = ((1, 3), (2, 4), (7, 5))
WORDS = ["[CLS]", "a", "hello", "naïve", "😀", "x" * 43, "y" * 44, "z" * 48, "w" * 200, "é" * 30,
         "[SEP]"]  # fmt: skip
SPECIAL = {"[CLS]": 256, "[SEP]": 257}
BEGIN, END, PADDING = 258, 259, 260


def character_ids(word: str) -> list[int]:
    """Fifty ids of a word, one more than what they stand for."""
    inner = [SPECIAL[word]] if word in SPECIAL else list(word.encode("utf-8")[: LONGEST - 2])
    ids = [BEGIN, *inner, END]
    return [number + 1 for number in ids + [PADDING] * (LONGEST - len(ids))]


class CharacterCNN(torch.nn.Module):
    """A vector of each word."""

    def __init__(self) -> None:
        super().__init__()
        total = sum(count for _, count in FILTERS)
        self.table = torch.nn.Parameter(torch.randn(263, DIM))
        self.convolutions = torch.nn.ModuleList(
            torch.nn.Conv1d(DIM, count, size) for size, count in FILTERS
        )
        self.highways = torch.nn.ModuleList(torch.nn.Linear(total, 2 * total) for _ in range(2))
        self.projection = torch.nn.Linear(total, WIDTH)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """From ids ``[N, 50]`` to vectors ``[N, D]``."""
        letters = torch.nn.functional.embedding(ids, self.table).transpose(1, 2)
        found = [torch.relu(conv(letters).amax(dim=-1)) for conv in self.convolutions]
        x = torch.cat(found, dim=-1)
        for layer in self.highways:
            transform, gate = layer(x).chunk(2, dim=-1)
            gate = torch.sigmoid(gate)
            x = gate * x + (1 - gate) * torch.relu(transform)
        return self.projection(x)


def main() -> None:
    """Writes the file into the folder of this script."""
    torch.manual_seed(0)
    model = CharacterCNN().eval()
    ids = torch.tensor([character_ids(word) for word in WORDS])
    with torch.no_grad():
        vectors = model(ids).numpy()
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    np.savez_compressed(
        HERE / "character_cnn.npz", words=np.array(WORDS), vectors=vectors, **weights
    )


if __name__ == "__main__":
    main()
