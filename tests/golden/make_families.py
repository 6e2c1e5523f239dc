"""Writes ``<case>.npz`` for tiny models: config, weights, a batch, and transformers' states.

Run where torch and transformers are installed: ``python tests/golden/make_families.py``. The files
hold weights as float16, which they are exactly; states are float32 and those
of real tokens only.
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from reference_models import make_reference, reference_states  # noqa: E402
from tiny_families import GOLDEN_CASES, make_batch  # noqa: E402


def main() -> None:
    """Writes one file per case into the folder of this script."""
    for name in GOLDEN_CASES:
        model = make_reference(name)
        ids, mask = make_batch(name)
        weights = {
            f"weights/{key}": tensor.numpy().astype(np.float16)
            for key, tensor in model.state_dict().items()
            if "position_ids" not in key
        }
        np.savez_compressed(
            HERE / f"{name}.npz",
            config=json.dumps(model.config.to_dict(), sort_keys=True),
            ids=ids.astype(np.int16),
            mask=mask,
            states=reference_states(model, ids, mask)[mask],
            **weights,
        )


if __name__ == "__main__":
    main()
