"""The ``textzoo`` command."""

from textzoo.cli.app import main

__all__ = ["main"]
