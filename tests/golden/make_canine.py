"""Makes ``canine.npz``: a tiny random CANINE of transformers, its embeddings and its states.

Rows are padded far enough for every character to be part of a molecule, as texts of up to 2,040
characters are in rows of 2,048. Weights are float16 numbers.

    .venv-parity/bin/python tests/golden/make_canine.py
"""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import CanineConfig, CanineModel

HERE = Path(__file__).parent
SIZES = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
    num_hash_functions=4, num_hash_buckets=50, max_position_embeddings=50, type_vocab_size=3,
    local_transformer_stride=8, downsampling_rate=4, upsampling_kernel_size=4,
)  # fmt: skip
LENGTHS, PADDED = (30, 17, 13, 11, 4, 2), 44


def make_model(seed: int = 0, **changes: object) -> CanineModel:
    """A model whose every weight is random and a float16 number."""
    model = CanineModel(CanineConfig(**{**SIZES, **changes})).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in key.lower() and key.endswith("weight")
            parameter.copy_((1 + 0.2 * noise if is_norm else 0.25 * noise).half().float())
    return model


def make_batch(seed: int = 0) -> dict[str, np.ndarray]:
    """Code points of every plane, padding, and two token types."""
    rng = np.random.default_rng(seed)
    mask = np.arange(PADDED) < np.array(LENGTHS)[:, None]
    codes = rng.integers(1, 0x110000, mask.shape)
    types = np.where(np.arange(PADDED) >= np.array(LENGTHS)[:, None] // 2, 2, 0) * mask
    return {"ids": np.where(mask, codes, 0).astype(np.int32), "mask": mask, "type_ids": types}


def run(model: CanineModel, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Embeddings, first and last states of characters, and states of molecules."""
    names = {"ids": "input_ids", "mask": "attention_mask", "type_ids": "token_type_ids"}
    inputs = {names[key]: torch.tensor(value).long() for key, value in batch.items()}
    with torch.no_grad():
        out = model(**inputs, output_hidden_states=True)
        hashed = model.char_embeddings._embed_hash_buckets(
            inputs["input_ids"], model.config.hidden_size, model.config.num_hash_functions,
            model.config.num_hash_buckets,
        )  # fmt: skip
    molecules = out.hidden_states[2 + model.config.num_hidden_layers]
    return {
        "embeddings": hashed.numpy(), "states": out.last_hidden_state.numpy(),
        "molecules": molecules.numpy(),
    }  # fmt: skip


def main() -> None:
    """Writes the file beside this script."""
    model, batch = make_model(), make_batch()
    weights = {
        f"weights/{key}": tensor.numpy().astype(np.float16)
        for key, tensor in model.state_dict().items()
    }
    found = run(model, batch)
    np.savez_compressed(
        HERE / "canine.npz", config=json.dumps(model.config.to_dict(), sort_keys=True),
        **batch, **weights, embeddings=found["embeddings"][batch["mask"]],
        states=found["states"][batch["mask"]], molecules=found["molecules"],
    )  # fmt: skip


if __name__ == "__main__":
    main()
