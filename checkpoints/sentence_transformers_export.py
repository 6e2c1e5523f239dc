"""Writing model directories that sentence-transformers loads, versions 2 to 6.

The tables that read its directories are read backwards. What cannot be expressed there is refused
before anything is written.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tokenizers

from textzoo.checkpoints import weights
from textzoo.checkpoints.bundle import Bundle
from textzoo.checkpoints.conversion import FAMILIES, Family
from textzoo.checkpoints.conversion import sentence_transformers as tables
from textzoo.checkpoints.conversion.family import Options, complete
from textzoo.checkpoints.conversion.table import convert_back
from textzoo.checkpoints.tokenizer_roles import library_tokenizer, special_tokens, unknown_id
from textzoo.config import ModelConfig, Part
from textzoo.errors import ConfigError
from textzoo.modules import SubwordTokenizer
from textzoo.modules.postprocessing import FittedHead
from textzoo.settings import EncoderSettings

_ADVICE = "save it in the textzoo layout instead"


class _Module(NamedTuple):
    """One module of a directory: its class, its JSON files and its tensors."""

    kind: str
    files: Mapping[str, Mapping[str, Any]]
    tensors: Mapping[str, np.ndarray]


def write_sentence_transformers(directory: Path, bundle: Bundle) -> None:
    """Writes a bundle as a directory for ``SentenceTransformer(path)``, which gives its vectors.

    Transformer encoders are written as the first family of transformers that has their options,
    models without an encoder as a ``StaticEmbedding``, heads of fitted statistics as a ``Dense``.
    Weights are float32.

    Args:
        directory: made when it does not exist.
        bundle: what to write.

    Raises:
        ConfigError: a part that sentence-transformers cannot express; the message names it.
    """
    config = bundle.model.config
    if config is None:
        raise ConfigError("the model has no config; build it with textzoo.build(config, ...)")
    tokenizer = bundle.tokenizer
    if not isinstance(tokenizer, SubwordTokenizer):
        raise ConfigError(
            f"tokenizer: sentence-transformers needs a SubwordTokenizer, this model has "
            f"{type(tokenizer).__name__}; {_ADVICE}"
        )
    arrays = {
        path: np.asarray(array, np.float32)
        for path, array in weights.get_parameters(bundle.model).items()
    }
    library = library_tokenizer(tokenizer)
    if config.encoder.type == "IdentityEncoder":
        modules = [_static(config, arrays, tokenizer, library)]
    else:
        modules = [_transformer(config, arrays, tokenizer, library), _pooling(config)]
    for index, part in enumerate(config.heads):
        head = bundle.model.heads[index]
        is_fitted = isinstance(head, FittedHead)
        modules.append(_fitted(head) if is_fitted else _head(part, index, arrays))
    if not tokenizer.add_special_tokens:
        library.post_processor = None
    _write(directory, modules, bundle.settings)
    library.save(str(directory / "tokenizer.json"))


def _transformer(
    config: ModelConfig, arrays: Mapping[str, np.ndarray], tokenizer: SubwordTokenizer,
    library: tokenizers.Tokenizer,
) -> _Module:  # fmt: skip
    if config.encoder.type != "TransformerEncoder":
        raise ConfigError(f"encoder: transformers has no {config.encoder.type}; {_ADVICE}")
    if tokenizer.drop_unknown:
        raise ConfigError(
            f"tokenizer: transformers cannot leave out unknown tokens (drop_unknown); {_ADVICE}"
        )
    options = complete(config.encoder.options)
    family = _choose_family(options)
    mine = {path: array for path, array in arrays.items() if path.startswith("encoder.")}
    mine["embedding.table"] = table = _table(config.embedding, arrays)
    roles = special_tokens(library)
    pad_token_id = family.pad_token_id(options)
    if pad_token_id is None:
        pad_token_id = library.token_to_id(roles["pad_token"])
    files = {
        "config.json": family.write(options, vocab_size=len(table), pad_token_id=pad_token_id),
        "sentence_bert_config.json": {
            "max_seq_length": tokenizer.max_length,
            "do_lower_case": False,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": tokenizer.max_length,
            # Token types are left to the model, which takes zeros.
            "model_input_names": ["input_ids", "attention_mask"],
            **roles,
        },
    }
    return _Module("Transformer", files, convert_back(mine, family.rules(options)))


def _choose_family(options: Options) -> Family:
    misfits = {name: family.misfits(options) for name, family in FAMILIES.items()}
    for name, found in misfits.items():
        if not found:
            return FAMILIES[name]
    nearest = min(misfits, key=lambda name: len(misfits[name]))
    raise ConfigError(
        f"encoder: no family of transformers ({', '.join(FAMILIES)}) has these options; the "
        f"nearest, {nearest}, differs in {', '.join(misfits[nearest])}; {_ADVICE}"
    )


def _static(
    config: ModelConfig, arrays: Mapping[str, np.ndarray], tokenizer: SubwordTokenizer,
    library: tokenizers.Tokenizer,
) -> _Module:  # fmt: skip
    if config.pooling is None or config.pooling.type != "MeanPooling":
        raise ConfigError(
            f"pooling: a StaticEmbedding takes the mean, this model has "
            f"{config.pooling and config.pooling.type}; {_ADVICE}"
        )
    if tokenizer.add_special_tokens and library.num_special_tokens_to_add(False):
        raise ConfigError(
            "tokenizer: a StaticEmbedding adds no special tokens, this tokenizer does "
            f"(add_special_tokens); {_ADVICE}"
        )
    table = _table(config.embedding, arrays)
    unknown = unknown_id(library)
    if tokenizer.drop_unknown and unknown is not None:
        # A row of zeros still counts in the mean, which only changes the length of the vector.
        if not config.heads or config.heads[0].type != "Normalize":
            raise ConfigError(
                "tokenizer: a StaticEmbedding cannot leave out unknown tokens (drop_unknown) "
                f"unless Normalize follows; {_ADVICE}"
            )
        table = table.copy()
        table[unknown] = 0
    return _Module(
        "StaticEmbedding", {}, convert_back({"embedding.table": table}, tables.STATIC_RULES)
    )


def _table(part: Part, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """One row per token: the embedding's table with its projection and scale worked in."""
    if part.type != "SubwordEmbedding":
        raise ConfigError(f"embedding: sentence-transformers has no {part.type}; {_ADVICE}")
    table = arrays["embedding.table"] * np.float32(part.options.get("scale", 1.0))
    kernel = arrays.get("embedding.projection.kernel")
    return table if kernel is None else table @ kernel


def _pooling(config: ModelConfig) -> _Module:
    name = None if config.pooling is None else config.pooling.type
    modes = {ours: mode for mode, ours in tables.POOLINGS.items()}
    if name not in modes:
        raise ConfigError(
            f"pooling: sentence-transformers has no {name}, only {', '.join(modes)}; {_ADVICE}"
        )
    # The switches are understood by every version.
    switches = {key: mode == modes[name] for key, mode in tables.POOLING_SWITCHES.items()}
    width = config.encoder.options["width"]
    return _Module("Pooling", {"config.json": {"word_embedding_dimension": width, **switches}}, {})


def _head(part: Part, index: int, arrays: Mapping[str, np.ndarray]) -> _Module:
    if part.type == "Normalize":
        return _Module("Normalize", {}, {})
    if part.type != "Dense":
        raise ConfigError(f"heads[{index}]: sentence-transformers has no {part.type}; {_ADVICE}")
    names = {ours: theirs for theirs, ours in tables.DENSE_ACTIVATIONS.items()}
    activation = part.options.get("activation", "identity")
    if activation not in names:
        raise ConfigError(
            f"heads[{index}]: Dense of sentence-transformers cannot have the activation "
            f"{activation!r}, only {', '.join(names)}; {_ADVICE}"
        )
    data = {
        "in_features": part.options["in_features"],
        "out_features": part.options["out_features"],
        "bias": part.options.get("use_bias", True),
        "activation_function": names[activation],
    }
    prefix = f"heads.{index}."
    mine = {path: array for path, array in arrays.items() if path.startswith(prefix)}
    return _Module("Dense", {"config.json": data}, convert_back(mine, tables.dense_rules(index)))


def _fitted(head: FittedHead) -> _Module:
    """Statistics are an affine map; zero vectors, which stay zero here, are mapped there, too."""
    matrix, bias = head.affine()
    names = {ours: theirs for theirs, ours in tables.DENSE_ACTIVATIONS.items()}
    data = {
        "in_features": matrix.shape[0],
        "out_features": matrix.shape[1],
        "bias": True,
        "activation_function": names["identity"],
    }
    tensors = {"linear.weight": np.ascontiguousarray(matrix.T), "linear.bias": bias}
    return _Module("Dense", {"config.json": data}, tensors)


def _write(directory: Path, modules: list[_Module], settings: EncoderSettings) -> None:
    listed = []
    for index, module in enumerate(modules):
        folder = "" if index == 0 else f"{index}_{module.kind}"
        listed.append(
            {
                "idx": index,
                "name": str(index),
                "path": folder,
                # Where the class was up to version 5.3; later versions know this name too.
                "type": f"sentence_transformers.models.{module.kind}",
            }
        )
        path = directory / folder
        path.mkdir(parents=True, exist_ok=True)
        for name, content in module.files.items():
            _write_json(path / name, content)
        if module.tensors:
            weights.write_safetensors(path / weights.FILE_NAME, module.tensors, {"format": "pt"})
    _write_json(directory / "modules.json", listed)
    data: dict[str, Any] = {
        "model_type": "SentenceTransformer",
        "prompts": dict(settings.prompts),
        "default_prompt_name": settings.default_prompt,
        "similarity_fn_name": settings.similarity,
    }
    if settings.truncate_dim is not None:
        data["truncate_dim"] = settings.truncate_dim
    _write_json(directory / "config_sentence_transformers.json", data)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
