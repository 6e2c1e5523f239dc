"""Rules of the house that code review would forget."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import textzoo
import textzoo.trainers
from textzoo.modules import PARTS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = {
    "zoo": "textzoo",
    "modules": "textzoo.modules",
    "trainers": "textzoo.trainers",
    "checkpoints": "textzoo.checkpoints",
}

# Imports run from the top of this list to its bottom, never back. The first prefix that fits a
# module is its layer; what is not named here is of the layer "textzoo".
LAYERS = (
    ("textzoo.modules",),
    (
        "textzoo.config",
        "textzoo.errors",
        "textzoo.families",
        "textzoo.fitting",
        "textzoo.model",
        "textzoo.noise",
        "textzoo.parts",
        "textzoo.registry",
        "textzoo.settings",
        "textzoo.spans",
        "textzoo.spec",
        "textzoo.text_files",
    ),
    ("textzoo.checkpoints",),
    ("textzoo.trainers",),
    ("textzoo",),
    ("textzoo.recipes",),
    ("textzoo.cli",),
)


def source_files() -> dict[str, Path]:
    """Every module of the package, by import name."""
    files = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            files[".".join([package, *parts]).removesuffix(".__init__")] = path
    return files


FILES = source_files()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}

every_module = pytest.mark.parametrize("module", FILES)


def layer_of(module: str) -> int:
    fitting = [
        (len(prefix), index)
        for index, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if module == prefix or module.startswith(prefix + ".")
    ]
    return max(fitting)[1]


def imports_of(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """Yields what a module imports, wherever in it: ``a.b`` for ``from a import b`` as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node


@every_module
def test_imports_run_one_way(module):
    if module in ("textzoo", "textzoo.trainers"):
        return  # They export everything, on first use.
    for imported, node in imports_of(TREES[module]):
        if imported.split(".")[0] != "textzoo" or imported == "textzoo.__version__":
            continue
        assert layer_of(imported) <= layer_of(module), (
            f"{FILES[module].relative_to(ROOT)}:{node.lineno} imports {imported}"
        )


def test_layers_are_told_apart():
    assert layer_of("textzoo.modules.pooling") < layer_of("textzoo.config.Part")
    assert layer_of("textzoo.families.bert") < layer_of("textzoo.checkpoints.weights")
    assert layer_of("textzoo.trainers.loop") < layer_of("textzoo.text_encoder")
    assert layer_of("textzoo.text_encoder") < layer_of("textzoo.cli.app")
    assert layer_of("textzoo.model_cards") == layer_of("textzoo.loading")


@pytest.mark.parametrize("module", [name for name in FILES if name.startswith("textzoo.modules")])
def test_modules_need_little(module):
    known = {"textzoo", "jax", "flax", "numpy", "jaxtyping", *sys.stdlib_module_names}
    if module.startswith("textzoo.modules.tokenizers"):
        known.add("tokenizers")
    imported = {name.split(".")[0] for name, _ in imports_of(TREES[module])}
    assert imported <= known


def optional_packages() -> set[str]:
    names = {"orbax", "huggingface_hub", "torch", "transformers", "sentence_transformers"}
    for extra in ("train", "parquet", "hub", "tensorboard"):
        for requirement in PROJECT["project"]["optional-dependencies"][extra]:
            names.add(re.split(r"[<>=\[~! ]", requirement)[0].replace("-", "_"))
    return names


@pytest.mark.parametrize(
    "module", [name for name in FILES if not name.startswith("textzoo.trainers")]
)
def test_optional_packages_are_imported_where_they_are_used(module):
    at_the_top = {
        name.split(".")[0]
        for statement in TREES[module].body
        if isinstance(statement, (ast.Import, ast.ImportFrom))
        for name, _ in imports_of(statement)
    }
    assert not at_the_top & optional_packages()


def test_the_package_list_is_the_folders_on_disk():
    on_disk = {name for name, path in FILES.items() if path.name == "__init__.py"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == on_disk
    assert PROJECT["tool"]["setuptools"]["package-dir"] == {
        package: folder for folder, package in FOLDERS.items()
    }


def test_every_folder_with_code_is_a_package():
    folders = {path.parent for path in FILES.values()}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


@every_module
def test_files_are_short(module):
    assert len(FILES[module].read_text(encoding="utf-8").splitlines()) < 450


@every_module
def test_nothing_is_printed(module):
    calls = [node for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)]
    lines = [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]
    assert lines == []


@pytest.mark.parametrize("package", [textzoo, textzoo.trainers], ids=lambda p: p.__name__)
def test_lazy_exports_are_what_the_package_promises(package):
    assert sorted(package.__all__) == sorted(package._EXPORTS)
    assert set(package.__all__) <= set(dir(package))
    for name, module in package._EXPORTS.items():
        assert getattr(package, name) is getattr(sys.modules[module], name)
    # Type checkers read the imports, everyone else the table.
    typed = {name.rsplit(".", 1)[1]: name for name, _ in imports_of(TREES[package.__name__])
             if name.startswith("textzoo.")}  # fmt: skip
    assert typed == {name: f"{module}.{name}" for name, module in package._EXPORTS.items()}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        textzoo.laod  # noqa: B018


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_parts_are_documented(part):
    text = part.__dict__["__doc__"] or ""
    assert text.strip(), f"{part.__name__} has no docstring"
    if part.__init__ is not object.__init__:
        for option in list(inspect.signature(part.__init__).parameters)[1:]:
            assert re.search(rf"\b{option}\b", text), f"{part.__name__}: {option} is not explained"
    for name, member in vars(part).items():
        if inspect.isfunction(member) and (not name.startswith("_") or name == "__call__"):
            assert inspect.getdoc(member), f"{part.__name__}.{name} has no docstring"


def test_parts_are_exported_by_their_names():
    names = [part.__name__ for part in PARTS]
    assert names == sorted(names)
    for part in PARTS:
        assert getattr(textzoo.modules, part.__name__) is part
        assert part.__name__ in textzoo.modules.__all__


def tracked_files() -> list[Path]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git repository")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_no_file_names_a_place_on_someones_machine():
    folders = "work|root|home|Users|opt|mnt"  # Behind these come the names of people.
    pattern = re.compile(rf"(?:file://|(?<![\w.:/~*)\]}}>-]))/(?:{folders})/[\w.-]+")
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        if len(text) < 1_000_000:  # Longer ones are tables of tokens.
            found += [f"{path.relative_to(ROOT)}: {match}" for match in pattern.findall(text)]
    assert found == []


def test_tracked_files_are_small():
    large = {
        path.name: path.stat().st_size
        for path in tracked_files()
        if path.is_file()
        and path.stat().st_size > 300_000
        and ROOT / "checkpoints" / "pretrained" not in path.parents
    }
    assert large == {}


def test_both_statements_of_the_version_agree():
    assert textzoo.__version__ == PROJECT["project"]["version"]
