"""Models on the Hugging Face hub: the local cache first, the network only when it must."""

import os
import re
from pathlib import Path

from textzoo.checkpoints.layouts import has_model
from textzoo.errors import HubError, UnknownModelError

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WANTED = ("*.json", "*.safetensors")


def is_repo_id(text: str) -> bool:
    """Whether a text has the form ``org/name`` (the hub allows 96 characters)."""
    return len(text) <= 96 and _REPO_ID.fullmatch(text) is not None


def find(repo_id: str, *, revision: str | None = None, cache_dir: Path | None = None) -> Path:
    """The directory of a hub model; downloads it when the cache lacks it.

    A cached model is used as it is, without asking the network whether there is a newer one; give
    a revision to choose.

    Args:
        repo_id: ``org/name``.
        revision: a branch, tag or full commit; ``None``: the main branch.
        cache_dir: instead of the hub's usual cache.

    Raises:
        UnknownModelError: the hub has no such model.
        HubError: the model is not cached and cannot be downloaded.
    """
    snapshot = find_cached(repo_id, revision=revision, cache_dir=cache_dir)
    return snapshot or _download(repo_id, revision, cache_dir or cache_directory())


def find_cached(
    repo_id: str, *, revision: str | None = None, cache_dir: Path | None = None
) -> Path | None:
    """The directory of a hub model if the local cache has it whole; needs no other package."""
    repo = (cache_dir or cache_directory()) / f"models--{repo_id.replace('/', '--')}"
    revision = revision or "main"
    commit = revision
    reference = repo / "refs" / revision
    if reference.is_file():
        commit = reference.read_text(encoding="utf-8").strip()
    snapshot = repo / "snapshots" / commit
    return snapshot if snapshot.is_dir() and has_model(snapshot) else None


def cache_directory() -> Path:
    """Where the hub's client keeps its cache: the variables it documents, in its order."""
    if path := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(path).expanduser()
    home = os.environ.get("HF_HOME")
    if home is None:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(home).expanduser() / "hub"


def _download(repo_id: str, revision: str | None, cache: Path) -> Path:
    absent = f"{repo_id!r} is neither a directory here nor in the hub's cache ({cache})"
    try:
        from huggingface_hub import constants, errors, snapshot_download
    except ImportError:
        raise HubError(
            f"{absent}, and huggingface_hub, which would download it, is not installed; run "
            "pip install 'textzoo[hub]', or give the path of a directory"
        ) from None
    if constants.HF_HUB_OFFLINE:
        raise HubError(
            f"{absent}, and the hub is switched off (HF_HUB_OFFLINE); download it where there is "
            f"a network with 'hf download {repo_id}' and copy the cache, or unset the variable"
        )
    try:
        snapshot = snapshot_download(
            repo_id, revision=revision, cache_dir=cache, allow_patterns=list(_WANTED)
        )
    except errors.RevisionNotFoundError as error:
        raise HubError(f"the hub's {repo_id!r} has no revision {revision!r}") from error
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repo_id!r} asks for your consent on the hub: accept its terms there, then "
            "'hf auth login'"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UnknownModelError(
            f"{absent}, and the hub knows no such model (or it is private: 'hf auth login')"
        ) from error
    except Exception as error:  # its HTTP library's errors have no common base with its own
        raise HubError(
            f"{absent}, and downloading it failed: {type(error).__name__}: {error}. Check the "
            "network, or copy the model here and give its path"
        ) from error
    return Path(snapshot)
