"""From a name, a path or a hub id to a text encoder."""

import dataclasses
import importlib.resources
import os
import re
from pathlib import Path

from textzoo.checkpoints import hub, weights
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.layouts import has_model, read_model
from textzoo.errors import ConfigError, UnknownModelError
from textzoo.registry import get_spec, list_models, suggest
from textzoo.spec import ModelSpec
from textzoo.text_encoder import TextEncoder

DTYPES = ("float32", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where a model was found.

    Attributes:
        directory: its files.
        name: what to call it; empty to take the name in the directory.
        sha256: what its weights must hash to, when the registry says.
    """

    directory: Path
    name: str = ""
    sha256: str | None = None


def load(
    name_or_path: str | os.PathLike[str], *, dtype: str | None = None, revision: str | None = None
) -> TextEncoder:
    """Loads a pretrained text encoder.

    A string is looked up as a registered name, then as a local directory, then as ``org/name``
    in the hub's cache and on the hub. A ``Path``, or a string that begins with ``.``, ``/`` or
    ``~``, is always a directory.

    Args:
        name_or_path: see :func:`textzoo.list_models` with ``pretrained=True``; or a directory in
            the layout of textzoo, sentence-transformers or transformers; or ``org/name``.
        dtype: what the model computes in, such as ``"bfloat16"``; ``None``: what it was saved with.
        revision: branch, tag or commit of a hub model.

    Raises:
        UnknownModelError: nothing has that name.
        HubError: a hub model that is not cached and cannot be downloaded.
        ConfigError: the directory describes no model that textzoo can build.
        WeightsError: weights that are missing, damaged, or not the ones that were released.

    Example:
        >>> import textzoo
        >>> encoder = textzoo.load("all_minilm_l6_v2")  # doctest: +SKIP
    """
    if dtype is not None and dtype not in DTYPES:
        raise ConfigError(f"dtype={dtype!r} is unknown; use one of {', '.join(DTYPES)}")
    source = find(name_or_path, revision=revision)
    if source.sha256 is not None:
        path = source.directory / weights.FILE_NAME
        weights.check_sha256(path, source.sha256, name=source.name)
    bundle = read_model(source.directory, dtype=dtype)
    if source.name:
        bundle = dataclasses.replace(bundle, name=source.name)
    return _encoder(bundle)


def find(name_or_path: str | os.PathLike[str], *, revision: str | None = None) -> Source:
    """Finds the directory of a model without reading it; may download it from the hub."""
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise TypeError(
            f"load takes a name, a path or a hub id, got {type(name_or_path).__name__} "
            f"({name_or_path!r:.40}); wrap a model of your own: textzoo.TextEncoder(model, "
            "tokenizer)"
        )
    text = os.fspath(name_or_path)
    if not text.strip():
        raise UnknownModelError(
            "the name of the model is empty; textzoo.list_models(pretrained=True) has names"
        )
    is_path = not isinstance(name_or_path, str) or text[0] in "./~\\" or os.path.isabs(text)
    directory = Path(os.path.expanduser(text))
    if not is_path:
        if text in list_models():
            return _registered(get_spec(text), directory, revision)
        if re.fullmatch(r"[a-z0-9_]{1,100}", text) and has_model(_bundled(text)):
            return Source(_unrevised(_bundled(text), revision), name=text)
    # os.path answers False, where pathlib raises, for a text too long to be a path.
    if os.path.isdir(directory):
        return Source(_unrevised(directory, revision))
    if os.path.exists(directory):
        raise UnknownModelError(
            f"{text} is a file; give the directory that holds it: {str(directory.parent)!r}"
        )
    if not is_path and hub.is_repo_id(text):
        return Source(hub.find(text, revision=revision), name=text)
    if is_path or "/" in text or os.sep in text:
        raise UnknownModelError(
            f"there is no directory {text!r:.200} (looked in {Path.cwd()}), and a hub id would be "
            "'org/name'"
        )
    raise UnknownModelError(
        f"{text!r} is neither a registered model nor a directory; {suggest(text)}"
    )


def _registered(spec: ModelSpec, directory: Path, revision: str | None) -> Source:
    known = spec.weights
    if known is None:
        hints = [f"textzoo.create_model({spec.name!r}, rngs=...) gives one to train"]
        if spec.published is not None:
            hints.insert(0, f"textzoo.load({spec.published!r}) reads the published checkpoint, "
                         "which was not verified here")  # fmt: skip
        if directory.is_dir():
            hints.insert(0, f"the directory of that name is {f'./{spec.name}'!r}")
        raise UnknownModelError(
            f"{spec.name!r} is registered as an architecture and has no weights to load; "
            + ", ".join(hints)
        )
    if known.hub is not None:
        found = hub.find(known.hub, revision=revision or known.revision)
        # Another revision was asked for on purpose, so its weights may be others.
        return Source(found, name=spec.name, sha256=None if revision else known.sha256)
    bundled = _bundled(str(known.bundled))
    if not bundled.is_dir():
        raise UnknownModelError(
            f"the files of {spec.name!r} are not installed ({bundled} does not exist); install "
            "textzoo again"
        )
    return Source(_unrevised(bundled, revision), name=spec.name, sha256=known.sha256)


def _bundled(name: str) -> Path:
    return Path(str(importlib.resources.files("textzoo.checkpoints.pretrained"))) / name


def _unrevised(directory: Path, revision: str | None) -> Path:
    if revision is not None:
        raise ConfigError(
            f"revision={revision!r} is for models of the hub; {directory} is a local directory"
        )
    return directory


def _encoder(bundle: Bundle) -> TextEncoder:
    return TextEncoder.from_bundle(bundle)
