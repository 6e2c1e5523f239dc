"""From a name or a path to a text encoder."""

from pathlib import Path

from textzoo.checkpoints.directory import read_directory, read_json
from textzoo.checkpoints.foreign import read_sentence_transformers, read_transformers
from textzoo.text_encoder import TextEncoder


def load(name_or_path: str | Path, *, dtype: str | None = None) -> TextEncoder:
    """Loads a pretrained text encoder."""
    directory = Path(name_or_path)
    if (directory / "modules.json").is_file():
        return TextEncoder.from_bundle(read_sentence_transformers(directory, dtype=dtype))
    if read_json(directory / "config.json").get("format") == "textzoo":
        return TextEncoder.from_bundle(read_directory(directory, dtype=dtype))
    return TextEncoder.from_bundle(read_transformers(directory, dtype=dtype))
