"""The errors textzoo raises, and how their messages are phrased.

Every message says what was received, what was expected, and what to write instead.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class TextzooError(Exception):
    """Base class of every error that textzoo raises on purpose."""


class ConfigError(TextzooError, ValueError):
    """A model description names an unknown part or option, or a bad value for one."""


class UnknownModelError(TextzooError, KeyError):
    """A name that is neither registered, nor bundled, nor a directory, nor a cached hub model."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument; a sentence should read as one.
        return str(self.args[0]) if self.args else ""


class WeightsError(TextzooError, ValueError):
    """Weights that are missing, damaged, or do not fit the model they are meant for."""


class HubError(TextzooError, OSError):
    """A hub model that is not in the local cache and cannot be downloaded."""


class TextInputError(TextzooError, ValueError):
    """Input that is not text, or cannot be encoded as UTF-8."""


class DataError(TextzooError, ValueError):
    """A data file that is missing, damaged or empty, or lacks a column."""


class ResumeError(TextzooError, ValueError):
    """A directory was begun with another corpus, model or options, so it cannot be continued."""


class CheckpointError(TextzooError, OSError):
    """A checkpoint that could not be written, or none of those there that could be read."""


class TruncationWarning(UserWarning):
    """Texts were longer than the model takes, and the ends of them are not in the vectors."""


def differences(old: Mapping[str, Any], new: Mapping[str, Any], limit: int = 80) -> list[str]:
    """A line for every key whose value is not the one it was; for the end of a message."""

    def short(value: object) -> str:
        text = repr(value)
        return text if len(text) <= limit else text[: limit - 3] + "..."

    return [
        f"  {name}: {short(old.get(name))} then, {short(new.get(name))} now"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def closest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Returns a half-sentence with the names nearest to ``name``, for the end of a message."""
    candidates = sorted(known)
    if not candidates:
        return "there are none."
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(str(name).lower(), by_lower, n=count, cutoff=0.5)
    if matches:
        return "did you mean " + " or ".join(repr(by_lower[match]) for match in matches) + "?"
    if len(candidates) <= 12:
        return "known: " + ", ".join(candidates) + "."
    return f"{len(candidates)} are known, none of them similar."
