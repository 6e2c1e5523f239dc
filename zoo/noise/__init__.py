"""Texts with mistakes in them: edits of characters, and misspellings that people have made.

A noise is a function from texts to texts. What it does to a text follows from the seed and the
text alone, so it is the same in every process, in every order and in every batch, on every machine
and with every version of numpy. It goes with training data
(:class:`textzoo.trainers.data.NoisyTexts`) and with evaluation
(:func:`textzoo.evaluation.noise_curve`).
"""

from textzoo.noise.base import Corrupted, Noise, share_changed
from textzoo.noise.characters import EDITS, LAYOUTS, CharacterNoise
from textzoo.noise.misspellings import MisspellingNoise, MisspellingTable, read_misspellings

__all__ = [
    "EDITS",
    "LAYOUTS",
    "CharacterNoise",
    "Corrupted",
    "MisspellingNoise",
    "MisspellingTable",
    "Noise",
    "read_misspellings",
    "share_changed",
]
