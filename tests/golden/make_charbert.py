"""Makes ``charbert.npz``: CharBERT's channel and the exchange of its two channels, in torch.

The GRU, the convolution and the layers (those of ``bert.npz``, from transformers) are torch's own;
how they are put together is written out here from a description of the released code (flat
characters, states at the ends of a token, one exchange for all layers); none of its code is used.
Run where torch and transformers are installed: ``.venv-parity/bin/python
tests/golden/make_charbert.py``.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from reference_models import make_reference  # noqa: E402

UNITS, DIM, WIDTH, LENGTH = 20, 6, 32, 7
COUNTS = ((3, 1, 4, 2, 1, 5, 2), (1, 2, 6, 3))
"""Characters of each token of two texts."""


def channel(generator: torch.Generator) -> dict[str, np.ndarray]:
    """States of tokens from a GRU over the characters of each text."""
    table = torch.randn(UNITS, DIM, generator=generator)
    network = torch.nn.GRU(DIM, WIDTH // 4, bidirectional=True, batch_first=True)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    lengths = torch.tensor([sum(counts) for counts in COUNTS])
    ids = torch.randint(0, UNITS, (len(COUNTS), int(lengths.max())), generator=generator)
    packed = pack_padded_sequence(table[ids], lengths, batch_first=True)
    states = pad_packed_sequence(network(packed)[0], batch_first=True)[0]
    out = {f"network/{key}": value.numpy() for key, value in network.state_dict().items()}
    for row, counts in enumerate(COUNTS):
        ends = torch.tensor(counts).cumsum(0)
        first, last = states[row, ends - torch.tensor(counts)], states[row, ends - 1]
        out[f"channel/{row}"] = torch.cat([first, last], dim=-1).numpy()
    return out | {"table": table.numpy(), "ids": ids.numpy()}


def exchange(generator: torch.Generator) -> dict[str, np.ndarray]:
    """Both channels through BERT's layers; rows without padding."""
    bert = make_reference("bert")
    maps = [torch.nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2)]
    convolution = torch.nn.Conv1d(2 * WIDTH, WIDTH, kernel_size=3, padding=1)
    norms = [torch.nn.LayerNorm(WIDTH, eps=1e-12) for _ in range(2)]
    for module in (*maps, convolution, *norms):
        for parameter in module.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    ids = torch.randint(4, 90, (2, LENGTH), generator=generator)
    tokens = bert.embeddings(ids)
    start = characters = torch.randn(2, LENGTH, WIDTH, generator=generator)
    for layer in bert.encoder.layer:
        tokens, characters = (
            out[0] if isinstance(out := layer(x), tuple) else out for x in (tokens, characters)
        )
        both = torch.cat([maps[0](tokens), maps[1](characters)], dim=-1)
        seen = convolution(both.transpose(1, 2)).transpose(1, 2)
        tokens, characters = norms[0](tokens + seen), norms[1](characters + seen)
    return {
        "token_ids": ids.numpy(), "start": start.numpy(), "tokens": tokens.numpy(),
        "characters": characters.numpy(), "conv/weight": convolution.weight.data.numpy(),
        "conv/bias": convolution.bias.data.numpy(),
        **{f"map/{i}": module.weight.data.numpy() for i, module in enumerate(maps)},
        **{f"norm/{i}/scale": module.weight.data.numpy() for i, module in enumerate(norms)},
        **{f"norm/{i}/bias": module.bias.data.numpy() for i, module in enumerate(norms)},
    }  # fmt: skip


def main() -> None:
    """Writes the file beside this script."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        out = channel(generator) | exchange(generator)
    np.savez_compressed(HERE / "charbert.npz", **out)


if __name__ == "__main__":
    main()
