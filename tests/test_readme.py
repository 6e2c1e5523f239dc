"""What README says can be typed, can be typed."""

import importlib.resources
import io
import re
import shlex
import sys
from pathlib import Path

import pytest
from tiny_models import write_tiny_model

from textzoo.cli import main
from textzoo.cli.models import DEFAULT_MODEL

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BUNDLED = Path(str(importlib.resources.files("textzoo.checkpoints.pretrained")))

# Only until the repository has a first bundled model: from then on the default must be there.
needs_default = pytest.mark.skipif(
    not any(path.is_dir() and path.name[0] not in "_." for path in BUNDLED.iterdir()),
    reason="no model is bundled yet",
)


def snippets(language):
    """The code blocks of a language, named by the heading above them."""
    found, heading = [], ""
    pattern = rf"^## (?P<heading>.*?)$|^```{language}\n(?P<code>.*?)^```$"
    for match in re.finditer(pattern, README, re.MULTILINE | re.DOTALL):
        heading = match["heading"] or heading
        if match["code"]:
            found.append(pytest.param(match["code"], id=heading.lower().replace(" ", "-")))
    return found


def commands():
    lines = "".join(parameter.values[0] for parameter in snippets("bash")).splitlines()
    return [line.split("    #")[0].strip() for line in lines]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the files that the snippets name."""
    from textzoo import load
    from textzoo.checkpoints.bundle import Bundle
    from textzoo.checkpoints.sentence_transformers_export import write_sentence_transformers

    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.tsv").write_text(
        "sentence1\tsentence2\tscore\nA cat.\tA kitten.\t4\nA cat.\tA car.\t1\nHi.\tHello.\t5\n"
    )
    (tmp_path / "news.tsv").write_text("id\ttitle\n1\tShares fell\n2\tA goal\n3\tRain\n4\tJazz\n")
    tiny = load(write_tiny_model(tmp_path / "tiny"))
    write_sentence_transformers(
        tmp_path / "downloads" / "all-MiniLM-L6-v2",
        Bundle(model=tiny.model, tokenizer=tiny.tokenizer, settings=tiny.settings, name="tiny"),
    )
    return tmp_path


@needs_default
@pytest.mark.parametrize("code", snippets("python"))
def test_python_snippet_runs(code, folder, capsys):
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    if "print(" in code:
        assert capsys.readouterr().out


@needs_default
@pytest.mark.parametrize("command", commands())
def test_command_runs(command, folder, monkeypatch, capsys):
    feed, _, call = command.rpartition(" | ")
    program, *arguments = shlex.split(call)
    assert program == "textzoo"
    if feed:
        echo, text = shlex.split(feed)
        assert echo == "echo"
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{text}\n".encode())))
    assert main(arguments) == 0, capsys.readouterr().err


def test_readme_has_snippets_for_each_main_use():
    assert len(snippets("python")) >= 8
    assert len(commands()) >= 8


@needs_default
def test_the_default_model_is_bundled_and_named_in_readme():
    import textzoo

    assert DEFAULT_MODEL in textzoo.list_models(pretrained=True)
    assert (BUNDLED / DEFAULT_MODEL / "model.safetensors").is_file()
    assert f'textzoo.load("{DEFAULT_MODEL}")' in README


@pytest.mark.parametrize("name", re.findall(r"`\./(scripts/\w+)`|\./(scripts/\w+) ", README))
def test_scripts_that_readme_names_exist(name):
    assert (Path(__file__).parents[1] / (name[0] or name[1])).is_file()


def test_models_in_the_table_are_registered():
    import textzoo

    table = README.split("## Models")[1].split("## ")[0]
    for pattern in re.findall(r"`([a-z0-9_*{},]+)`", table):
        if pattern == DEFAULT_MODEL:
            continue
        for choice in re.search(r"\{(.*)\}", pattern)[1].split(",") if "{" in pattern else [""]:
            name = re.sub(r"\{.*\}", choice, pattern)
            assert textzoo.list_models(name), name
