import io
import sys

import pytest
from tiny_models import write_tiny_model

from textzoo.cli import main


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The path of a small model."""
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


class Result:
    """What a command returned and printed."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def textzoo(capsys, monkeypatch):
    """Runs the command line in this process."""

    def run(*arguments, stdin=b""):
        if isinstance(stdin, str):
            stdin = stdin.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run
