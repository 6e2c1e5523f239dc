import json
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

HEAVY = (
    "chex", "flax", "grain", "jax", "matplotlib", "optax", "orbax", "pyarrow", "tensorflow",
    "tensorflow_datasets", "tokenizers", "torch",
)  # fmt: skip


def run(code: str) -> dict:
    """Runs code in a fresh interpreter; it assigns ``result``."""
    finished = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json; print(json.dumps(result))"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(finished.stdout.splitlines()[-1])


def test_import_textzoo_is_fast_and_imports_nothing_heavy():
    code = f"""
import sys, time
start = time.perf_counter()
import textzoo
seconds = time.perf_counter() - start
result = {{"seconds": seconds, "heavy": [name for name in {HEAVY!r} if name in sys.modules]}}
"""
    results = [run(code)]
    assert results[0]["heavy"] == []
    while min(result["seconds"] for result in results) >= 0.3 and len(results) < 5:
        results.append(run(code))  # The machine may have been busy.
    assert min(result["seconds"] for result in results) < 0.3


def test_the_public_names_need_none_of_the_optional_packages():
    optional = [name for name in HEAVY if name not in ("flax", "jax", "tokenizers", "optax")]
    code = f"""
import sys
import textzoo
for name in textzoo.__all__:
    getattr(textzoo, name)
result = [name for name in {optional!r} if name in sys.modules]
"""
    assert run(code) == []


def test_no_import_starts_a_backend():
    project = Path(__file__).parents[1] / "pyproject.toml"
    packages = tomllib.loads(project.read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    code = f"""
import importlib, pkgutil
names = []
for package in {packages!r}:
    module = importlib.import_module(package)
    names += [info.name for info in pkgutil.iter_modules(module.__path__, package + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
import jax._src.xla_bridge
result = {{"modules": len(names), "backends": list(jax._src.xla_bridge._backends)}}
"""
    result = run(code)
    assert result["modules"] > 20
    assert result["backends"] == []


def test_the_command_is_installed():
    scripts = entry_points(group="console_scripts", name="textzoo")
    assert [script.value for script in scripts] == ["textzoo.cli:main"]
