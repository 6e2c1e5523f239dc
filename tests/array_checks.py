"""The checker that the test run applies to every function and dataclass of textzoo.

Shapes and dtypes of array annotations are checked on every call. Other annotations are the type
checker's business: what a user passes wrongly must meet the error that textzoo raises for it, not
one of this checker.
"""

import typing
from collections.abc import Callable
from typing import Any

import beartype
import jaxtyping


def check_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """Checks the array annotations of a function; one without any is returned as it is."""
    annotations = {
        name: hint for name, hint in function.__annotations__.items() if _mentions_array(hint)
    }
    if not annotations:
        return function
    function.__annotations__ = annotations
    return beartype.beartype(function)


def _mentions_array(hint: object) -> bool:
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(_mentions_array(part) for part in typing.get_args(hint))
