"""What the results of evaluations have in common."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


class Result:
    """Base of the frozen result dataclasses."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; an undefined value (NaN) becomes ``None``."""
        return {
            field.name: _plain(getattr(self, field.name))
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        }


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
