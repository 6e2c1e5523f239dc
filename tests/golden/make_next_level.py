"""Makes ``next_level.npz``: states, guesses and loss of NextLevelBERT over transformers' BERT.

The transformer is that of ``bert.npz``, whose weights are in that file, fed with vectors in place
of tokens. Special vectors, guessing head and loss are written from the paper (arXiv 2402.17682) and
a reading of the authors' ``model.py``; none of their code is used.

    .venv-parity/bin/python tests/golden/make_next_level.py
"""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel

HERE = Path(__file__).parent
LENGTHS, HIDDEN = (5, 3, 1), 6


def make_bert() -> BertModel:
    """The model of ``bert.npz``."""
    with np.load(HERE / "bert.npz") as data:
        model = BertModel(BertConfig(**json.loads(str(data["config"]))), add_pooling_layer=False)
        weights = {
            key.removeprefix("weights/"): torch.from_numpy(data[key].astype(np.float32))
            for key in data
            if key.startswith("weights/") and "pooler" not in key
        }
    model.load_state_dict(weights)
    return model.eval()


def main() -> None:
    """Writes the file beside this script."""
    bert, generator = make_bert(), torch.Generator().manual_seed(5)
    width, rows, longest = bert.config.hidden_size, len(LENGTHS), max(LENGTHS)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    chunks, special, mask_vector = draw(rows, longest, width), draw(2, width), draw(width)
    up, down = torch.nn.Linear(width, HIDDEN), torch.nn.Linear(HIDDEN, width)
    for part in (up, down):
        part.weight.data, part.bias.data = draw(*part.weight.shape), draw(*part.bias.shape)
    real = torch.arange(longest) < torch.tensor(LENGTHS)[:, None]
    hidden = torch.zeros(rows, longest, dtype=torch.bool)
    hidden[0, [1, 4]] = hidden[1, 0] = hidden[2, 0] = True

    def states_of(vectors: torch.Tensor) -> torch.Tensor:
        x = torch.zeros(rows, longest + 2, width)
        attention = torch.zeros(rows, longest + 2)
        for row, length in enumerate(LENGTHS):
            x[row, 0], x[row, 1 : length + 1], x[row, length + 1] = (
                special[0], vectors[row, :length], special[1])  # fmt: skip
            attention[row, : length + 2] = 1
        return bert(inputs_embeds=x, attention_mask=attention).last_hidden_state[:, 1:-1]

    with torch.no_grad():
        states = states_of(chunks)
        masked = torch.where(hidden[..., None], mask_vector, chunks)
        guesses = down(torch.nn.functional.gelu(up(states_of(masked))))
        losses = {}
        for name, loss in (
            ("smooth_l1", torch.nn.SmoothL1Loss(beta=1, reduction="none")),
            ("l1", torch.nn.L1Loss(reduction="none")),
            ("l2", torch.nn.MSELoss(reduction="none")),
        ):
            each = loss(guesses, chunks).mean(-1)
            losses[name] = ((each * hidden).sum(1) / hidden.sum(1)).mean()
        each = 1 - torch.nn.functional.cosine_similarity(guesses, chunks, dim=-1)
        losses["cosine"] = ((each * hidden).sum(1) / hidden.sum(1)).mean()
    arrays = dict(
        chunks=chunks, mask=real, hidden=hidden, special=special, mask_vector=mask_vector,
        up=up.weight, up_bias=up.bias, down=down.weight, down_bias=down.bias,
        states=states * real[..., None], guesses=guesses * hidden[..., None],
        **{f"loss/{name}": value for name, value in losses.items()},
    )  # fmt: skip
    np.savez_compressed(
        HERE / "next_level.npz", **{key: value.detach().numpy() for key, value in arrays.items()}
    )


if __name__ == "__main__":
    main()
