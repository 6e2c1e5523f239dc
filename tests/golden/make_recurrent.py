"""Makes ``recurrent.npz``: states and vectors of torch's recurrent networks over packed sequences.

The networks are torch's own. What InferSent does with their states (maximum over the padded batch,
with or without the zeros of padding; last states) is written out here from the paper and a reading
of its ``models.py``; none of its code is used.

    .venv-parity/bin/python tests/golden/make_recurrent.py
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

LENGTHS = (7, 4, 1)
EMBED, UNITS = 3, 4


def scramble(module: torch.nn.Module, generator: torch.Generator) -> None:
    """Larger values than fresh ones, so that gates open and close."""
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.7


def main() -> None:
    """Writes the file beside this script."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(len(LENGTHS), max(LENGTHS), EMBED, generator=generator)
    out = {"inputs": inputs.numpy(), "lengths": np.array(LENGTHS)}
    for name, kind, layers, both in (
        ("lstm", torch.nn.LSTM, 2, True),
        ("gru", torch.nn.GRU, 1, True),
        ("forward", torch.nn.LSTM, 1, False),
    ):
        network = kind(EMBED, UNITS, layers, bidirectional=both, batch_first=True)
        scramble(network, generator)
        packed = pack_padded_sequence(inputs, torch.tensor(LENGTHS), batch_first=True)
        with torch.no_grad():
            states, last = network(packed)
            states = pad_packed_sequence(states, batch_first=True)[0]
        out |= {f"{name}/{key}": value.numpy() for key, value in network.state_dict().items()}
        out[f"{name}/states"] = states.numpy()
        last = last[0] if isinstance(last, tuple) else last
        out[f"{name}/last"] = torch.cat(list(last[-2:] if both else last[-1:]), 1).numpy()
        # Version 1 takes padding's zeros into the maximum, version 2 puts them out of reach.
        out[f"{name}/version_1"] = states.max(1).values.numpy()
        out[f"{name}/version_2"] = states.masked_fill(states == 0, -1e9).max(1).values.numpy()
    np.savez_compressed(Path(__file__).with_name("recurrent.npz"), **out)


if __name__ == "__main__":
    main()
