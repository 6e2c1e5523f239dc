"""Writes supervised_contrastive.npz: losses and gradients of pytorch-metric-learning 2.8.1.

It is the library that the code of the Sub-Sentence Encoder and of PEARL takes its losses from.

.venv-parity/bin/pip install pytorch-metric-learning==2.8.1
.venv-parity/bin/python tests/golden/make_supervised_contrastive.py
"""

from pathlib import Path

import numpy as np
import torch
from pytorch_metric_learning.losses import NTXentLoss, SupConLoss


def main() -> None:
    """Writes the file beside this one."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(14, 6)).astype(np.float32)
    # Classes of four, three, two, two and one; one item of the last two each.
    labels = np.array([3, 7, 3, 1, 3, 7, 9, 1, 7, 3, 20, 9, 30, 40])
    arrays = {"vectors": vectors, "labels": labels}
    for temperature in (0.1, 0.01):
        name = f"sub_sentence_{temperature}"
        arrays |= compute(name, SupConLoss(temperature=temperature), vectors, labels)
    pairs = np.tile(np.arange(7), 2)
    arrays |= {"pairs": pairs, **compute("pearl", NTXentLoss(temperature=0.07), vectors, pairs)}
    np.savez_compressed(Path(__file__).with_name("supervised_contrastive.npz"), **arrays)


def compute(
    name: str, loss: torch.nn.Module, vectors: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """The loss and its gradient."""
    x = torch.tensor(vectors, requires_grad=True)
    value = loss(x, torch.tensor(labels))
    value.backward()
    return {f"{name}/loss": value.detach().numpy(), f"{name}/gradient": x.grad.numpy()}


if __name__ == "__main__":
    main()
