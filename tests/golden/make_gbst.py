"""Makes ``gbst.npz``: soft subwords of lucidrains' ``charformer-pytorch``.

The vector of the padding id is zero, so that its convolution reads none, as ours does. Where torch
is installed:

    pip install charformer-pytorch einops --no-deps
    python tests/golden/make_gbst.py
"""

from pathlib import Path

import numpy as np
import torch
from charformer_pytorch import GBST

HERE = Path(__file__).parent
VOCAB, WIDTH = 20, 6
LENGTHS = (23, 14, 5, 1)
CASES = {
    "defaults": dict(max_block_size=4, downsample_factor=4, score_consensus_attn=True),
    "offsets": dict(
        blocks=((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)), downsample_factor=2,
        score_consensus_attn=False,
    ),
}  # fmt: skip


def main() -> None:
    """Writes the file beside this script."""
    rng = np.random.default_rng(0)
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
    ids = np.where(mask, rng.integers(1, VOCAB, mask.shape), 0)
    arrays = {"ids": ids.astype(np.int32), "mask": mask}
    for name, options in CASES.items():
        model = GBST(num_tokens=VOCAB, dim=WIDTH, **options).eval()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator))
            model.token_emb.weight[0] = 0
            states, states_mask = model(torch.tensor(ids), mask=torch.tensor(mask))
        arrays |= {f"{name}/{key}": value.numpy() for key, value in model.state_dict().items()}
        arrays |= {f"{name}/states": states.numpy(), f"{name}/states_mask": states_mask.numpy()}
    np.savez_compressed(HERE / "gbst.npz", **arrays)


if __name__ == "__main__":
    main()
