"""Writes poolings.npz: poolings and whitening as their reference code computes them.

.venv-parity/bin/python tests/golden/make_poolings.py

The references are scripts and models that cannot be installed, so their formulas are derived again
here with torch, numpy and plain loops: SpokenNLP (Ditto), NV-Embed (latent attention),
castorini/dhr (Aggretriever), BERT-whitening and WhiteningBERT.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

ROWS, LENGTH, WIDTH = 3, 6, 8
LENGTHS = (5, 3, 1)
LATENTS, HEADS, HEAD_DIM, HIDDEN = 5, 2, 3, 12
VOCABULARY = 37


def draw(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Numbers that are the same in every version of numpy and torch."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).double()


def latent_attention(states: torch.Tensor, mask: torch.Tensor, arrays: dict) -> torch.Tensor:
    """Tokens look at latents, then a GEGLU whose second half is the gate, then the mean."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(x, (WIDTH,), arrays[f"{name}/scale"], arrays[f"{name}/bias"])

    x = norm(states, "query_norm")
    context = norm(arrays["latents"], "latent_norm")
    inner = HEADS * HEAD_DIM
    q = x @ arrays["query"].T
    k, v = (context @ arrays["key_value"].T).split(inner, dim=-1)
    mixed = []
    for head in range(HEADS):
        part = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
        scores = q[..., part] @ k[:, part].T / HEAD_DIM**0.5
        mixed.append(scores.softmax(-1) @ v[:, part])
    x = states + torch.cat(mixed, -1) @ arrays["out"].T
    inside = norm(x, "forward_norm") @ arrays["up"].T + arrays["up_bias"]
    value, gate = inside.chunk(2, dim=-1)
    x = x + (value * functional.gelu(gate)) @ arrays["down"].T + arrays["down_bias"]
    return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def latent_arrays() -> dict[str, torch.Tensor]:
    """Parameters in the shapes of torch.nn.Linear: outputs first."""
    inner = HEADS * HEAD_DIM
    shapes = {
        "latents": (LATENTS, WIDTH), "query": (inner, WIDTH), "key_value": (2 * inner, WIDTH),
        "out": (WIDTH, inner), "up": (2 * HIDDEN, WIDTH), "up_bias": (2 * HIDDEN,),
        "down": (WIDTH, HIDDEN), "down_bias": (WIDTH,),
    }  # fmt: skip
    for name in ("query_norm", "latent_norm", "forward_norm"):
        shapes |= {f"{name}/scale": (WIDTH,), f"{name}/bias": (WIDTH,)}
    return {
        name: 0.3 * draw(shape, 10 + index) for index, (name, shape) in enumerate(shapes.items())
    }


def aggregate(lexical: torch.Tensor, width: int, *, full: bool) -> torch.Tensor:
    """Token by token: which slot it falls into, and whether that slot has a sign."""
    slots = 2 * width if full else width
    vocabulary = lexical.shape[1]
    dropped = vocabulary % slots
    if dropped > 1000:
        dropped -= slots
    top = torch.full((len(lexical), slots), -np.inf, dtype=torch.float64)
    end = vocabulary if dropped >= 0 else vocabulary - dropped
    for token in range(max(dropped, 0), end):
        slot = (token - max(dropped, 0)) % slots
        value = lexical[:, token] if token < vocabulary else torch.zeros(len(lexical))
        top[:, slot] = torch.maximum(top[:, slot], value)
    if not full:
        return top
    found = torch.zeros((len(lexical), width), dtype=torch.float64)
    for feature in range(width):
        x, y = top[:, 2 * feature], top[:, 2 * feature + 1]
        found[:, feature] = torch.where(x > y, x, -y)
    return found


def aggretriever(states: torch.Tensor, mask: torch.Tensor, arrays: dict) -> torch.Tensor:
    """Weighted probabilities of all tokens but the first, their maximum, folded; then the first."""
    x = states @ arrays["dense"].T + arrays["dense_bias"]
    x = functional.layer_norm(
        functional.gelu(x), (WIDTH,), arrays["scale"], arrays["bias"], eps=1e-12
    )
    logits = x @ arrays["output"].T + arrays["output_bias"]
    weights = states @ arrays["weight"].T + arrays["weight_bias"]
    weighted = logits[:, 1:].softmax(-1) * weights[:, 1:] * mask[:, 1:, None]
    lexical = weighted.max(dim=1).values
    semantic = states[:, 0] @ arrays["semantic"].T + arrays["semantic_bias"]
    return torch.cat([aggregate(lexical, 4, full=True), semantic], dim=1)


def aggretriever_arrays() -> dict[str, torch.Tensor]:
    """Parameters in the shapes of torch.nn.Linear: outputs first."""
    shapes = {
        "dense": (WIDTH, WIDTH), "dense_bias": (WIDTH,), "scale": (WIDTH,), "bias": (WIDTH,),
        "output": (VOCABULARY, WIDTH), "output_bias": (VOCABULARY,),
        "weight": (1, WIDTH), "weight_bias": (1,), "semantic": (3, WIDTH), "semantic_bias": (3,),
    }  # fmt: skip
    return {name: draw(shape, 40 + index) for index, (name, shape) in enumerate(shapes.items())}


def ditto(
    layers: torch.Tensor, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Whole attention matrices, of which the diagonal is read."""
    scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
    attention = (scores + torch.where(mask, 0.0, -1e30)[:, None]).softmax(-1)
    diagonal = torch.diagonal(attention, dim1=1, dim2=2)
    mean = (layers[0] + layers[-1]) / 2
    return (mean * mask[..., None] * diagonal[..., None]).sum(1)


def whitened(vectors: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarities after the whitening of either reference, by the SVD they use."""
    found = []
    centered = vectors - vectors.mean(axis=0)
    for matrix in (np.cov(vectors.T), centered.T @ centered):
        u, s, _ = np.linalg.svd(matrix)
        mapped = centered @ (u @ np.diag(1 / np.sqrt(s)))[:, :rank]
        mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
        found.append(mapped @ mapped.T)
    return found[0], found[1]


def main() -> None:
    """Writes the file beside this one."""
    mask = torch.arange(LENGTH) < torch.tensor(LENGTHS)[:, None]
    states = draw((ROWS, LENGTH, WIDTH), 0)
    latent, aggregated = latent_arrays(), aggretriever_arrays()
    layers, query, key = (
        draw((2, ROWS, LENGTH, WIDTH), 1), draw((ROWS, LENGTH, 4), 2), draw((ROWS, LENGTH, 4), 3)
    )  # fmt: skip
    lexical = draw((2, 30_522), 4)
    vectors = draw((50, WIDTH), 5).numpy() @ draw((WIDTH, WIDTH), 6).numpy() + 1
    bert_whitening, whitening_bert = whitened(vectors, 5)
    arrays = {
        "states": states, "mask": mask, "layers": layers, "query": query, "key": key,
        "lexical": lexical[:, :128],
        **{f"latent/{name}": array for name, array in latent.items()},
        **{f"aggretriever/{name}": array for name, array in aggregated.items()},
        "latent_attention": latent_attention(states, mask, latent),
        "aggretriever": aggretriever(states, mask, aggregated),
        "aggregate_full": aggregate(lexical, 640, full=True),
        "aggregate_plain": aggregate(lexical, 768, full=False),
        "ditto": ditto(layers, query, key, mask),
        "vectors": vectors, "bert_whitening": bert_whitening, "whitening_bert": whitening_bert,
    }  # fmt: skip
    np.savez_compressed(
        Path(__file__).with_name("poolings.npz"),
        **{name: np.asarray(array) if np.asarray(array).dtype == bool
           else np.asarray(array, np.float32) for name, array in arrays.items()},
    )  # fmt: skip


if __name__ == "__main__":
    main()
