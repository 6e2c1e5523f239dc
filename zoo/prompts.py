"""Choosing the text that goes before the input, and never guessing it."""

from textzoo.errors import ConfigError, closest
from textzoo.settings import EncoderSettings

_QUERY = ("query",)
_DOCUMENT = ("document", "passage", "corpus")


def prompt_text(settings: EncoderSettings, prompt: str | None) -> str:
    """The text of a prompt.

    Args:
        settings: the model's.
        prompt: a name; ``""`` for none; ``None`` for the model's default.

    Raises:
        ConfigError: no prompt has that name, or the model has prompts, no default, and no name
            was given.
    """
    prompts = settings.prompts
    if prompt == "":
        return ""
    if prompt is not None:
        if prompt not in prompts:
            known = closest(prompt, prompts) if prompts else "this model has none."
            raise ConfigError(f"no prompt is named {prompt!r}; {known}")
        return prompts[prompt]
    if settings.default_prompt is not None:
        return prompts[settings.default_prompt]
    if not any(prompts.values()):
        return ""
    names = ", ".join(repr(name) for name in sorted(prompts))
    raise ConfigError(
        f"this model was trained with prompts ({names}) and has no default, so the right one "
        f"cannot be guessed; use encode_query or encode_document, name one (prompt="
        f"{sorted(prompts)[0]!r}), or write prompt='' for none"
    )


def query_prompt(settings: EncoderSettings) -> str | None:
    """Name of the prompt for queries; see :func:`_side`."""
    return _side(settings, _QUERY, _DOCUMENT)


def document_prompt(settings: EncoderSettings) -> str | None:
    """Name of the prompt for documents; see :func:`_side`."""
    return _side(settings, _DOCUMENT, _QUERY)


def _side(settings: EncoderSettings, names: tuple[str, ...], others: tuple[str, ...]) -> str | None:
    """The prompt of one side; where only the other side has one, this side has none."""
    for name in names:
        if name in settings.prompts:
            return name
    has_other = any(name in settings.prompts for name in others)
    return "" if has_other and settings.default_prompt is None else None
