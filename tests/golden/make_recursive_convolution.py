"""Makes ``recursive_convolution.npz``: the recursive convolution of Malik et al. in torch.

Written from the paper (arXiv 1808.01160) and a reading of ``ByteCNNEncoder`` in the authors'
``models.py``; none of their code is used. Batch norms have statistics, and are used as after
training. Each text has a power of two of tokens and is encoded alone, so there is no padding.

    .venv-parity/bin/python tests/golden/make_recursive_convolution.py
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

WIDTH, BLOCKS, LENGTHS = 3, 2, (4, 8, 16)


class Block(nn.Module):
    """Two maps with batch norms, and the input."""

    def __init__(self, make: type, width: int, last: bool = False) -> None:
        super().__init__()
        self.maps = nn.ModuleList([make() for _ in range(2)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(width) for _ in range(2)])
        self.last = last

    def forward(self, x: torch.Tensor, norms: nn.ModuleList | None = None) -> torch.Tensor:
        """Of [B, D, L] or [B, D]."""
        first, second = self.norms if norms is None else norms
        y = second(self.maps[1](torch.relu(first(self.maps[0](x))))) + x
        return y if self.last else torch.relu(y)


def scramble(module: nn.Module, generator: torch.Generator) -> None:
    """Parameters and statistics as if it were trained."""
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point():
            random = torch.randn(value.shape, generator=generator) * 0.4
            value.data = random.abs() + 0.5 if "var" in name else random
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.weight.data += 1


def folded(norm: nn.BatchNorm1d) -> tuple[np.ndarray, np.ndarray]:
    """A batch norm with fixed statistics as a scale and a shift."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale.detach().numpy(), (norm.bias - scale * norm.running_mean).detach().numpy()


def main() -> None:
    """Writes the file beside this script."""
    generator = torch.Generator().manual_seed(3)
    conv = lambda: nn.Conv1d(WIDTH, WIDTH, 3, padding=1, bias=False)  # noqa: E731
    prefix = nn.ModuleList([Block(conv, WIDTH) for _ in range(BLOCKS)])
    group = nn.ModuleList([Block(conv, WIDTH) for _ in range(BLOCKS)])
    own = nn.ModuleList(
        [nn.ModuleList([nn.BatchNorm1d(WIDTH) for _ in range(2)]) for _ in range(2 * BLOCKS)]
    )
    wide = 4 * WIDTH
    post = Block(lambda: nn.Linear(wide, wide), wide, last=True)
    parts = {"prefix": prefix, "group": group, "own": own, "post": nn.ModuleList([post])}
    for part in parts.values():
        scramble(part, generator)
        part.eval()
    out: dict[str, np.ndarray] = {}
    for name in ("prefix", "group", "post"):
        for index, block in enumerate(parts[name]):
            for place in range(2):
                key = f"{name}/{index}/{place}"
                out[f"{key}/kernel"] = block.maps[place].weight.detach().numpy()
                if name == "post":
                    out[f"{key}/bias"] = block.maps[place].bias.detach().numpy()
                out[f"{key}/scale"], out[f"{key}/shift"] = folded(block.norms[place])
    for index, pair in enumerate(own):
        for place in range(2):
            key = f"own/{index}/{place}"
            out[f"{key}/scale"], out[f"{key}/shift"] = folded(pair[place])
    inputs = torch.randn(len(LENGTHS), max(LENGTHS), WIDTH, generator=generator)
    out["inputs"], out["lengths"] = inputs.numpy(), np.array(LENGTHS)
    for kind in ("shared", "own"):
        rows, vectors = [], []
        for row, length in enumerate(LENGTHS):
            x = inputs[row : row + 1, :length].transpose(1, 2)
            for block in prefix:
                x = block(x)
            step = 0
            while x.shape[2] > 4:
                for index, block in enumerate(group):
                    norms = own[step * BLOCKS + index] if kind == "own" else None
                    x = block(x, norms)
                x, step = nn.functional.max_pool1d(x, 2), step + 1
            rows.append(x[0].T)
            vectors.append(post(x.reshape(1, -1))[0])
        out[f"{kind}/states"] = torch.stack(rows).detach().numpy()
        out[f"{kind}/vectors"] = torch.stack(vectors).detach().numpy()
    np.savez_compressed(Path(__file__).with_name("recursive_convolution.npz"), **out)


if __name__ == "__main__":
    main()
