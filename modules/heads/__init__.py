"""Heads map vectors or states to outputs."""

from textzoo.modules.heads.vectors import Dense, Normalize

__all__ = ["Dense", "Normalize"]
