"""Writes losses.npz: losses and gradients as sentence-transformers computes them.

.venv-parity/bin/python tests/golden/make_losses.py
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from loss_cases import CASES, make_inputs  # noqa: E402
from reference_losses import compute  # noqa: E402


def main() -> None:
    """Writes the file beside this one."""
    inputs = make_inputs()
    arrays = {f"inputs/{name}": array for name, array in inputs.items()}
    for name in CASES:
        loss, gradients = compute(name, inputs)
        arrays[f"{name}/loss"] = np.float32(loss)
        arrays[f"{name}/gradients"] = gradients.astype(np.float32)
    np.savez_compressed(Path(__file__).with_name("losses.npz"), **arrays)


if __name__ == "__main__":
    main()
