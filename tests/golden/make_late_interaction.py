"""Writes late_interaction.npz: MaxSim as sentence-transformers scores it, BERTScore by its formula.

.venv-parity/bin/python tests/golden/make_late_interaction.py

BERTScore (Tiiiger/bert_score) is derived again here with torch: a batch of equal lengths without
special tokens, so that its padding has no part in it.
"""

from pathlib import Path

import numpy as np
import torch
from sentence_transformers.util import maxsim

LENGTHS = {"queries": (3, 1, 4), "documents": (5, 2, 7, 1)}
WIDTH = 6


def bert_score(
    candidates: torch.Tensor, references: torch.Tensor, weights: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Precision, recall and F1 ``[3, N]`` of unit vectors ``[N, T, E]``."""
    similarities = candidates @ references.transpose(1, 2)
    of_candidate, of_reference = weights
    precision = (similarities.max(2).values * of_candidate).sum(1) / of_candidate.sum(1)
    recall = (similarities.max(1).values * of_reference).sum(1) / of_reference.sum(1)
    return torch.stack([precision, recall, 2 * precision * recall / (precision + recall)])


def main() -> None:
    """Writes the file beside this one."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    masks = {}
    for name, lengths in LENGTHS.items():
        arrays[name] = rng.normal(size=(len(lengths), max(lengths), WIDTH)).astype(np.float32)
        masks[name] = np.arange(max(lengths)) < np.asarray(lengths)[:, None]
        arrays[f"{name}_mask"] = masks[name]
    unit = {
        name: torch.nn.functional.normalize(torch.from_numpy(arrays[name]), dim=-1)
        for name in LENGTHS
    }
    arrays["scores"] = maxsim(
        unit["queries"], unit["documents"],
        torch.from_numpy(masks["queries"]), torch.from_numpy(masks["documents"]),
    ).numpy()  # fmt: skip
    texts = rng.normal(size=(2, 4, 5, WIDTH)).astype(np.float32)
    # The tokens of every text, as numbers; idf = log((n + 1) / (df + 1)) over the references.
    tokens = rng.integers(0, 9, size=(2, 4, 5))
    df = np.asarray([(tokens[1] == token).any(axis=1).sum() for token in range(9)])
    idf = np.log((4 + 1) / (df + 1))
    candidates, references = torch.nn.functional.normalize(torch.from_numpy(texts), dim=-1)
    for name, weights in (("plain", np.ones_like(idf[tokens])), ("idf", idf[tokens])):
        both = tuple(torch.from_numpy(part).float() for part in weights)
        arrays[f"bert_score_{name}"] = bert_score(candidates, references, both).numpy()
    arrays |= {"texts": texts, "tokens": tokens}
    np.savez_compressed(Path(__file__).with_name("late_interaction.npz"), **arrays)


if __name__ == "__main__":
    main()
