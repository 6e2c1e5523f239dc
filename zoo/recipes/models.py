"""The model that a recipe trains, with its tokenizer and settings."""

import dataclasses
import inspect
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.directory import with_dtype
from textzoo.checkpoints.weights import fill, get_parameters, parameter_shapes
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError, TextzooError
from textzoo.fitting import check_fit
from textzoo.loading import load
from textzoo.model import TextModel
from textzoo.modules import SubwordTokenizer, Tokenizer
from textzoo.modules.postprocessing.covariance import components
from textzoo.modules.tokenizers.fingerprint import tokenizer_fingerprint
from textzoo.modules.tokenizers.subword import FILE_NAME as TOKENIZER_FILE
from textzoo.parts import build, build_part, build_tokenizer, known_parts
from textzoo.recipes.recipe import ModelSection
from textzoo.recipes.vocabulary import kept_tokenizer, learn_tokenizer
from textzoo.registry import get_config
from textzoo.trainers.precision import in_single_precision

_UNIT_OPTIONS = ("units", "max_units", "num_characters", "mark_words", "n_grams")


def make_model(
    section: ModelSection, *, texts: Iterable[str] = (), folder: Path | None = None, name: str = ""
) -> Bundle:
    """The model before training.

    Parameters are held in float32, whatever the model was stored with: half precision would lose
    the small steps of an optimizer.

    Args:
        section: of a recipe.
        texts: to learn a tokenizer from, where the section says so.
        folder: where a tokenizer that was learned before is kept.
        name: of the model that will be exported.
    """
    if section.start is not None:
        bundle = _started(section)
    else:
        bundle = _fresh(section, texts, folder)
    bundle = _cut(bundle, section.max_length)
    assert bundle.tokenizer is not None
    check_fit(bundle.tokenizer, bundle.model, source="model")
    return dataclasses.replace(bundle, name=name)


def _started(section: ModelSection) -> Bundle:
    encoder = load(str(section.start), dtype=section.dtype)
    model = in_single_precision(_with_parts(encoder.model, section))
    return Bundle(model=model, tokenizer=encoder.tokenizer, settings=encoder.settings)


def _fresh(section: ModelSection, texts: Iterable[str], folder: Path | None) -> Bundle:
    config = get_config(str(section.architecture), **_overrides(section.overrides))
    config = _replaced_parts(config, section)
    longest = config.encoder.options.get("max_length")
    longest = longest if isinstance(longest, int) else None
    given = (section.new_vocabulary, section.tokenizer, section.embedding_from)
    is_own = all(value is None for value in given)
    if section.new_vocabulary is not None:
        if config.tokenizer is not None and config.tokenizer.options.get("decompose"):
            raise ConfigError(
                f"architecture={section.architecture!r} cuts texts below their characters, and a "
                "vocabulary that is learned here has characters; set model.tokenizer to a "
                "directory with a tokenizer.json of such pieces"
            )
        length = section.max_length or longest or 512
        tokenizer: Tokenizer = kept_tokenizer(folder, length) or learn_tokenizer(
            texts, section.new_vocabulary, length
        )
    elif is_own:
        tokenizer = _own_tokenizer(config, section)
    else:
        key = "embedding_from" if section.tokenizer is None else "tokenizer"
        tokenizer = _find_tokenizer(str(getattr(section, key)), key)
    tokenizer = _with_units(tokenizer, config)
    has_rows = "vocab_size" in config.embedding.options and not is_own
    if has_rows and "vocab_size" not in section.overrides.get("embedding", {}):
        rows = section.new_vocabulary or tokenizer.vocab_size
        config = config.with_options(embedding={"vocab_size": rows})
    config = with_dtype(config.replace(tokenizer=_tokenizer_part(tokenizer)), section.dtype)
    model = build(config, rngs=nnx.Rngs(section.seed))
    if section.embedding_from is not None:
        _take_embedding(model, section.embedding_from, tokenizer)
    bundle = Bundle(model=model, tokenizer=tokenizer)
    return _cut(bundle, longest if longest and tokenizer.max_length > longest else None)


def _own_tokenizer(config: ModelConfig, section: ModelSection) -> Tokenizer:
    """The tokenizer of an architecture that needs no file."""
    if config.tokenizer is None or _kind(config.tokenizer) is not None:
        raise ConfigError(
            f"architecture={section.architecture!r} needs a tokenizer; set model.tokenizer to a "
            "directory with a tokenizer.json or to a model that has one, or set "
            "model.new_vocabulary=8192 to learn one from the rows"
        )
    return build_tokenizer(config.tokenizer)


def _with_units(tokenizer: Tokenizer, config: ModelConfig) -> Tokenizer:
    """Makes pieces what the architecture's embedding reads: with units, or cut in another way."""
    if config.tokenizer is None or not isinstance(tokenizer, SubwordTokenizer):
        return tokenizer
    kind = _kind(config.tokenizer)
    if kind not in (None, SubwordTokenizer):
        part = config.tokenizer.replace(max_length=tokenizer.max_length)
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save(Path(folder))
            return build_tokenizer(part, Path(folder))
    wanted = dict(config.tokenizer.options)
    units = {name: wanted[name] for name in _UNIT_OPTIONS if name in wanted}
    return tokenizer.with_options(**units) if units else tokenizer


def _kind(part: Part) -> type[SubwordTokenizer] | None:
    """The class of a tokenizer that is made from a tokenizer.json, ``None`` for others."""
    kind = known_parts().get(part.type, object)
    return kind if issubclass(kind, SubwordTokenizer) else None


def _take_embedding(model: TextModel, name: str, tokenizer: Tokenizer) -> None:
    """Puts the token vectors of another model into a fresh one."""
    source = load(name)
    if tokenizer_fingerprint(tokenizer) != tokenizer_fingerprint(source.tokenizer):
        raise ConfigError(
            f"model.embedding_from={name!r}: the tokens of that model are others than those of "
            "model.tokenizer, so its vectors would stand for other tokens; leave model.tokenizer "
            "out, and its tokenizer is taken, too"
        )
    try:
        arrays = _narrowed(get_parameters(source.model.embedding), model.embedding)
        fill(model.embedding, arrays, source=name)
    except TextzooError as error:
        raise ConfigError(
            f"model.embedding_from={name!r} has another embedding than the architecture: {error}; "
            "give the architecture one of the same type in model.overrides.embedding, as wide or "
            "narrower"
        ) from error


def _narrowed(arrays: dict[str, np.ndarray], embedding: nnx.Module) -> dict[str, np.ndarray]:
    """A table in fewer dimensions, if the new one is narrower: those that keep products best.

    They are the first right singular vectors of the table, so that inner products of rows change
    as little as they can.
    """
    wanted = parameter_shapes(embedding).get("table")
    table = arrays.get("table")
    if len(arrays) > 1 or wanted is None or table is None or wanted[-1] >= table.shape[1]:
        return arrays
    table = table.astype(np.float64)
    directions = components(table.T @ table)[1][:, : wanted[-1]]
    return {"table": (table @ directions).astype(np.float32)}


def _overrides(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Tables that name a type take the place of a part; others change its options."""

    def part(value: Any) -> Any:
        return Part.from_dict(value) if isinstance(value, Mapping) and "type" in value else value

    return {
        slot: [part(v) for v in value] if isinstance(value, list | tuple) else part(value)
        for slot, value in overrides.items()
    }


def _replaced_parts(config: ModelConfig, section: ModelSection) -> ModelConfig:
    if section.pooling is not None:
        config = config.replace(pooling=Part.from_dict(section.pooling, where="model.pooling"))
    if section.heads is not None:
        heads = tuple(Part.from_dict(head, where="model.heads") for head in section.heads)
        config = config.replace(heads=heads)
    return config


def _with_parts(model: TextModel, section: ModelSection) -> TextModel:
    """The model with another pooling and other heads, where the recipe names some."""
    if section.pooling is None and section.heads is None:
        return model
    config = _replaced_parts(_config_of(model), section)
    rngs = nnx.Rngs(section.seed)
    pooling, heads = model.pooling, list(model.heads)
    if section.pooling is not None and config.pooling is not None:
        pooling = build_part(config.pooling, where="model.pooling", rngs=rngs)
    if section.heads is not None:
        heads = [
            build_part(head, where=f"model.heads[{i}]", rngs=rngs)
            for i, head in enumerate(config.heads)
        ]
    return TextModel(
        embedding=model.embedding, encoder=model.encoder, pooling=pooling, heads=heads,
        config=config,
    )  # fmt: skip


def _cut(bundle: Bundle, max_length: int | None) -> Bundle:
    """The model with a tokenizer that cuts texts elsewhere."""
    if max_length is None or bundle.tokenizer is None:
        return bundle
    change = getattr(bundle.tokenizer, "with_options", None)
    if change is None:
        raise ConfigError(
            f"model.max_length={max_length}: a {type(bundle.tokenizer).__name__} cannot be made "
            "to cut elsewhere; leave max_length out"
        )
    config = _config_of(bundle.model)
    if config.tokenizer is not None:
        bundle.model.config = config.with_options(tokenizer={"max_length": max_length})
    return dataclasses.replace(bundle, tokenizer=change(max_length=max_length))


def _config_of(model: TextModel) -> ModelConfig:
    if model.config is None:
        raise ConfigError("the model to start from has no config, so it could not be saved again")
    return model.config


def _find_tokenizer(text: str, key: str) -> Tokenizer:
    """The tokenizer of a model, or that of a directory with nothing else in it.

    Args:
        text: a name or a path.
        key: of the recipe, for messages.
    """
    folder = Path(text).expanduser()
    if (folder / TOKENIZER_FILE).is_file() and not (folder / "config.json").is_file():
        return SubwordTokenizer.from_directory(folder)
    try:
        return load(text).tokenizer
    except TextzooError as error:
        raise ConfigError(
            f"model.{key}={text!r} is neither a directory with a {TOKENIZER_FILE} nor a "
            f"model: {error}"
        ) from error


def _tokenizer_part(tokenizer: Tokenizer) -> Part:
    names = inspect.signature(type(tokenizer)).parameters.keys() - {"tokenizer"}
    found = {name: getattr(tokenizer, name) for name in sorted(names) if hasattr(tokenizer, name)}
    return Part(type(tokenizer).__name__, **found)
