import os
import subprocess
import sys

import pytest

from textzoo.cli.app import COMMANDS

HEAVY = ("flax", "jax", "matplotlib", "numpy", "pyarrow", "scipy", "tokenizers", "torch")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_overview_names_every_command(textzoo, arguments):
    result = textzoo(*arguments)
    assert result.code == 0
    for name, (_, gives) in COMMANDS.items():
        assert name in result.out
        assert gives in result.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example(textzoo, command):
    result = textzoo(command, "--help")
    assert result.code == 0
    assert "Examples:" in result.out
    assert f"textzoo {command}" in result.out.split("Examples:")[1]


def test_help_of_every_command_imports_nothing_heavy():
    code = f"""
import sys
from textzoo.cli import main
from textzoo.cli.app import COMMANDS
for command in ("", *COMMANDS):
    assert main([command, "--help"] if command else []) == 0
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    finished = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert finished.stderr.decode().strip() == "[]"


def test_version(textzoo):
    import textzoo as package

    assert textzoo("--version").out == f"textzoo {package.__version__}\n"


def test_unknown_command_suggests_the_nearest(textzoo):
    result = textzoo("encod")
    assert result.code == 2
    assert result.out == ""
    assert result.err == "textzoo has no command 'encod'; did you mean 'encode'?\n"


def test_unknown_option_exits_with_2(textzoo):
    result = textzoo("encode", "--modle", "x")
    assert result.code == 2
    assert "--modle" in result.err


def test_errors_are_one_line_without_a_traceback(textzoo, tmp_path):
    result = textzoo("encode", tmp_path / "nowhere.txt")
    assert result.code == 2
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert "nowhere.txt does not exist" in result.err


def test_debug_shows_where_an_error_comes_from(textzoo, tmp_path):
    from textzoo.errors import DataError

    with pytest.raises(DataError, match="nowhere.txt does not exist"):
        textzoo("encode", tmp_path / "nowhere.txt", "--debug")


def test_output_has_no_color_in_a_pipe(textzoo):
    assert "\x1b" not in textzoo().out
    assert "\x1b" not in textzoo("encod").err


def test_a_reader_that_goes_away_is_no_error(tiny, tmp_path):
    # More than a pipe holds, so that writing meets the closed end.
    (tmp_path / "lines.txt").write_text("the cat sat\n" * 5000)
    code = "from textzoo.cli import main; import sys; sys.exit(main())"
    command = [sys.executable, "-c", code, "encode", "lines.txt", "--model", tiny]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline().startswith(b'{"text": "the cat sat"')
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
