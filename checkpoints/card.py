"""The ``README.md`` of a model directory, generated from what is known about the model."""

import json
from collections.abc import Mapping
from typing import Any

from textzoo.config import ModelConfig
from textzoo.settings import EncoderSettings
from textzoo.spec import ModelSpec


def make_card(
    *,
    name: str,
    config: ModelConfig,
    settings: EncoderSettings,
    parameters: int,
    sha256: str,
    spec: ModelSpec | None = None,
    training: Mapping[str, Any] | None = None,
) -> str:
    """Returns the card, in Markdown with the header that the hub reads.

    Args:
        name: of the model.
        config: its parts.
        settings: how its vectors are used.
        parameters: how many there are.
        sha256: of its weights.
        spec: what the registry knows, for a released model.
        training: how the weights were made (recipe, data, steps, batch size, seed, metrics), JSON
            types; ``"command"`` is shown as the command to run. That of the spec when ``None``.
    """
    title = " ".join(name.split()) or "model"
    header = ["library_name: textzoo", "tags:", "- textzoo", "- sentence-similarity"]
    if spec is not None:
        header.insert(0, f"license: {spec.license.lower()}")
    blocks = [
        "---\n" + "\n".join(header) + "\n---",
        f"# {title}",
        "A text-representation model of textzoo." if spec is None else f"{spec.summary}.",
        _usage("path/to/this/directory" if spec is None else spec.name),
        "## Facts\n\n" + _table(("fact", "value"), _facts(settings, parameters, sha256, spec)),
        "## Parts\n\n" + _table(("slot", "part", "options"), _parts(config)),
    ]
    if spec is not None and spec.results:
        rows: list[tuple[str, ...]] = [
            (r.task, r.metric, f"{r.value:g}", f"`{r.command}`", r.date, r.note)
            for r in spec.results
        ]
        titles = ("task", "metric", "value", "command", "date", "note")
        blocks.append("## Results\n\n" + _table(titles, rows))
    if training is None and spec is not None:
        training = spec.training
    if training:
        blocks.append("## Training\n\n" + _training(training))
    return "\n\n".join(blocks) + "\n"


def _usage(source: str) -> str:
    return (
        "```python\nimport textzoo\n\n"
        f"encoder = textzoo.load({json.dumps(source)})\n"
        'vectors = encoder.encode(["a text", "another text"])\n```'
    )


def _facts(
    settings: EncoderSettings, parameters: int, sha256: str, spec: ModelSpec | None
) -> list[tuple[str, ...]]:
    facts = [("parameters", f"{parameters:,}"), ("similarity", settings.similarity)]
    if settings.truncate_dim is not None:
        facts.append(("dimensions kept", str(settings.truncate_dim)))
    facts += [
        (f"prompt for {key}", f"`{json.dumps(text, ensure_ascii=False)}`")
        for key, text in settings.prompts.items()
    ]
    if settings.default_prompt is not None:
        facts.append(("default prompt", settings.default_prompt))
    if spec is not None:
        facts += [
            ("dimensions", str(spec.dimension)),
            ("longest text", f"{spec.max_length:,} tokens"),
            ("input", spec.kind),
            ("status", spec.status),
            ("paper", spec.paper),
            ("training data", spec.training_data),
            ("license", spec.license),
        ]
    return [*facts, ("sha256 of the weights", f"`{sha256}`")]


def _parts(config: ModelConfig) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for slot, part in config.slots():
        options = part.to_dict()
        del options["type"]
        text = ", ".join(f"{key}={json.dumps(value)}" for key, value in options.items())
        rows.append((slot, part.type, f"`{text}`" if text else ""))
    return rows


def _training(training: Mapping[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [
        (key, _text(value)) for key, value in training.items() if key != "command"
    ]
    blocks = [f"```bash\n{training['command']}\n```"] if "command" in training else []
    if rows:
        blocks.append(_table(("setting", "value"), rows))
    return "\n\n".join(blocks)


def _text(value: Any) -> str:
    """A JSON value for people to read."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return json.dumps(value)


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("\n", " ").replace("|", r"\|") for cell in line) + " |"
        for line in lines
    )
