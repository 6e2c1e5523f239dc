"""The tensors of a directory that another library wrote: one safetensors file, or several."""

import json
import re
from pathlib import Path

import numpy as np

from textzoo.checkpoints import weights
from textzoo.errors import WeightsError

INDEX_NAME = "model.safetensors.index.json"

_UNREADABLE = (
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
    "flax_model.msgpack",
    "model.ckpt.index",
    "adapter_model.safetensors",
)


def read_tensors(directory: Path) -> dict[str, np.ndarray]:
    """Reads every tensor, under the names that today's versions use.

    Raises:
        WeightsError: there are none in safetensors format, or files are missing or damaged.
    """
    if (directory / weights.FILE_NAME).is_file():
        tensors = weights.read_safetensors(directory / weights.FILE_NAME)
    elif (directory / INDEX_NAME).is_file():
        tensors = _read_shards(directory)
    else:
        raise WeightsError(_explain_absence(directory))
    return {_todays_name(name): array for name, array in tensors.items()}


def _read_shards(directory: Path) -> dict[str, np.ndarray]:
    index = directory / INDEX_NAME
    try:
        names: dict[str, str] = dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{index} is not an index of safetensors files ({error!r})") from error
    tensors: dict[str, np.ndarray] = {}
    for file in sorted(set(names.values())):
        if Path(file).name != file:
            raise WeightsError(f"{index} names {file!r}, which is not a file beside it")
        tensors |= weights.read_safetensors(directory / file)
    missing = sorted(set(names) - set(tensors))
    if missing:
        raise WeightsError(
            f"{index} lists {len(missing)} tensors that its files lack, such as {missing[0]}; "
            "copy or download the directory again"
        )
    return tensors


def _explain_absence(directory: Path) -> str:
    found = [name for name in _UNREADABLE if (directory / name).is_file()]
    wanted = f"{directory} has neither {weights.FILE_NAME} nor {INDEX_NAME}"
    if not found:
        return f"{wanted}; a model directory needs its weights there"
    return (
        f"{wanted}, only {', '.join(found)}, which textzoo does not read (pickled files can run "
        "code). Save the model again where it can be read: "
        "AutoModel.from_pretrained(...).save_pretrained(..., safe_serialization=True)"
    )


def _todays_name(name: str) -> str:
    """BERT-era checkpoints call the parameters of a layer norm gamma and beta."""
    return re.sub(r"\.beta$", ".bias", re.sub(r"\.gamma$", ".weight", name))
