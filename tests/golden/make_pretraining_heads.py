"""Writes ``<case>.npz``: config, weights, ids and labels, and the loss transformers has for them.

Run where torch and transformers are installed:
``python tests/golden/make_pretraining_heads.py``. Weights are float16 numbers.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from pretraining_cases import GOLDEN, masked_labels, replaced_labels  # noqa: E402
from reference_models import make_reference  # noqa: E402


def main() -> None:
    """Writes one file per case into the folder of this script."""
    for file, (name, class_name) in GOLDEN.items():
        model = make_reference(name, model_class=getattr(transformers, class_name))
        model.tie_weights()
        make_labels = masked_labels if class_name.endswith("MaskedLM") else replaced_labels
        ids, mask, labels = make_labels(name)
        with torch.no_grad():
            loss = model(
                input_ids=torch.tensor(ids, dtype=torch.long),
                attention_mask=torch.tensor(mask, dtype=torch.long),
                labels=torch.tensor(labels, dtype=torch.long),
            ).loss
        weights = {
            f"weights/{key}": tensor.numpy().astype(np.float16)
            for key, tensor in model.state_dict().items()
            if "position_ids" not in key and ("decoder" not in key or name == "rembert")
        }
        np.savez_compressed(
            HERE / f"{file}.npz",
            config=json.dumps(model.config.to_dict(), sort_keys=True),
            ids=ids.astype(np.int16),
            mask=mask,
            labels=labels.astype(np.int16),
            loss=np.float32(loss),
            **weights,
        )


if __name__ == "__main__":
    main()
