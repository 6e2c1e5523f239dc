"""Compares a built wheel with the files in git: ``python .ci/check_wheel.py PATH.whl``.

The wheel holds every tracked file of the four folders with code, under its import name, and
nothing else.
"""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def expected_files() -> set[str]:
    """Paths inside the wheel of all tracked files that belong there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = project["tool"]["setuptools"]["package-dir"]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *folders.values()],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    names = {folder: package.replace(".", "/") for package, folder in folders.items()}
    paths = [path.partition("/") for path in listed.stdout.split("\0") if path]
    return {f"{names[folder]}/{rest}" for folder, _, rest in paths}


def main() -> None:
    """Exits with a list of differences, if there are any."""
    expected = expected_files()
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    problems = [f"missing from the wheel: {name}" for name in sorted(expected - found)]
    problems += [f"in the wheel, not in git: {name}" for name in sorted(found - expected)]
    if "textzoo/py.typed" not in found:
        problems.append("missing from the wheel: textzoo/py.typed")
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(found)} files, as in git")


if __name__ == "__main__":
    main()
