"""One table per family: how its published checkpoints become ours."""

from textzoo.checkpoints.conversion import bert

FAMILIES = {"bert": bert}
"""Modules with ``config``, ``RULES``, ``IGNORE`` and ``PREFIXES``, by transformers model type."""
