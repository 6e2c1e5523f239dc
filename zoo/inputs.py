"""What callers may pass as texts, and what they get told when it is something else."""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import numpy as np

from textzoo.errors import TextInputError
from textzoo.modules.tokenizers.base import check_texts

_ACCEPTED = "a string, or a list, tuple, 1-D array or iterator of strings"


@dataclasses.dataclass(frozen=True)
class Source:
    """Texts as they came in.

    Attributes:
        texts: a checked list, or an iterator whose items are not checked yet.
        is_single: one string was passed, so one result is expected.
    """

    texts: list[str] | Iterator[str]
    is_single: bool = False


def as_source(texts: Any) -> Source:
    """Reads what a caller passed as texts.

    Raises:
        TextInputError: it is not text; the message names the first bad item.
    """
    if isinstance(texts, str):
        return Source(checked([str(texts)]), is_single=True)
    if isinstance(texts, np.ndarray):
        if texts.ndim != 1:
            raise TextInputError(
                f"texts is an array of shape {texts.shape}, expected one axis; pass texts.ravel()"
            )
        return Source(checked(texts.tolist()))
    refused = (bytes, bytearray, os.PathLike, Mapping, Set)
    if isinstance(texts, refused) or not isinstance(texts, Iterable):
        hint = {
            bytes: "; decode it first, e.g. .decode('utf-8')",
            type(None): "",
        }.get(type(texts), "")
        if isinstance(texts, os.PathLike):
            hint = "; to encode the lines of a file, use encode_to or read them"
        if isinstance(texts, Mapping | Set):
            hint = "; pass a list, which has an order"
        raise TextInputError(f"texts is {type(texts).__name__}, expected {_ACCEPTED}{hint}")
    if isinstance(texts, Iterator):
        return Source(texts)
    return Source(checked(list(texts)))


def as_list(texts: Any) -> list[str]:
    """The same as a list, whatever came in; an iterator is read to its end."""
    source = as_source(texts)
    if isinstance(source.texts, list):
        return source.texts
    return checked(list(source.texts))


def checked(texts: list[Any], *, first: int = 0) -> list[str]:
    """Returns the list when every item is text.

    Raises:
        TextInputError: names the first item that is not; ``first`` is the number of item 0.
    """
    try:
        check_texts(texts, first=first)
    except (TypeError, ValueError) as error:
        raise TextInputError(str(error)) from error
    return texts
