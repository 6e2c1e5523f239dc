import os
import subprocess
import sys
import time

import jax
import pytest
from tiny_encoder import tiny_encoder

from textzoo import compilation
from textzoo.compilation import cache_folder, enable_compilation_cache

NAMES = ("jax_compilation_cache_dir", "jax_enable_compilation_cache",
         "jax_persistent_cache_min_compile_time_secs")  # fmt: skip


@pytest.fixture(autouse=True)
def no_cache_configured(tmp_path, monkeypatch):
    """Starts without a cache and leaves the process's own as it was."""
    before = {name: getattr(jax.config, name) for name in NAMES}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_cache_is_in_the_users_cache_folder(tmp_path):
    folder = enable_compilation_cache()
    assert folder.is_relative_to(tmp_path / "cache" / "textzoo")
    assert folder.is_dir() and os.listdir(folder) == []
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert enable_compilation_cache() == folder


def test_every_platform_has_its_own_place(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder().parts[-3:] == ("Library", "Caches", "textzoo")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert cache_folder().as_posix() == "/local/textzoo"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().parts[-2:] == (".cache", "textzoo")


def test_a_cache_the_user_set_up_is_kept(tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    assert enable_compilation_cache() == tmp_path / "mine"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mine")


def test_a_cache_the_user_turned_off_stays_off():
    jax.config.update("jax_enable_compilation_cache", False)
    assert enable_compilation_cache() is None
    assert jax.config.jax_compilation_cache_dir is None


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert enable_compilation_cache() is None
    assert tiny_encoder().encode("the fox").shape == (8,)


def test_a_full_disk_is_done_without(monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compilation.Path, "write_bytes", full)
    assert enable_compilation_cache() is None


def test_empty_entries_of_a_killed_process_are_removed():
    folder = enable_compilation_cache()
    jax.config.update("jax_compilation_cache_dir", None)
    for name, content, age in (("a-cache", b"", 100), ("b-cache", b"", 0), ("c-cache", b"x", 100)):
        (folder / name).write_bytes(content)
        os.utime(folder / name, (time.time() - age,) * 2)
    enable_compilation_cache()
    assert sorted(os.listdir(folder)) == ["b-cache", "c-cache"]


SECOND_PROCESS = """
import shutil, sys, time, warnings
from pathlib import Path
warnings.simplefilter("error")
import jax
from textzoo import load
encoder = load(sys.argv[1])
encoder.encode("the fox")
entries = list(Path(jax.config.jax_compilation_cache_dir).glob("*-cache"))
print(len(entries))
shutil.rmtree(jax.config.jax_compilation_cache_dir)  # what is compiled now cannot be written
print(encoder.encode("the quick brown fox jumps over the lazy dog").shape)
"""


def test_compiled_functions_are_kept_and_losing_the_folder_does_no_harm(tmp_path):
    tiny_encoder(layers=1).save(tmp_path / "model")
    done = subprocess.run(
        [sys.executable, "-c", SECOND_PROCESS, str(tmp_path / "model")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    entries, shape = done.stdout.splitlines()
    assert int(entries) >= 1
    assert shape == "(8,)"
