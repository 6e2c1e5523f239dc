"""The model with the new embedding, and what it has in common with its teacher."""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from textzoo.config import Part
from textzoo.errors import ConfigError
from textzoo.fitting import check_fit
from textzoo.model import TextModel
from textzoo.modules import Tokenizer
from textzoo.parts import accepts_option, build_part, build_tokenizer
from textzoo.retrofitting.table import OldTable, pieces_of, rows_of
from textzoo.text_encoder import TextEncoder
from textzoo.trainers.precision import in_single_precision


@dataclasses.dataclass(frozen=True, kw_only=True)
class Student:
    """The model that is trained.

    Attributes:
        model: with the new embedding.
        tokenizer: of that.
        table: of the old embedding, if it is needed.
        solve: whether the new embedding is to be solved for it.
    """

    model: TextModel
    tokenizer: Tokenizer
    table: OldTable | None
    solve: bool = False


def make_student(
    teacher: TextEncoder,
    embedding: Part,
    tokenizer: Part | None,
    texts: Sequence[str],
    *,
    with_table: bool,
    solve: bool = False,
    seed: int,
) -> Student:
    """Builds the model; its encoder is a copy of the teacher's.

    Args:
        teacher: the pretrained encoder.
        embedding: width and rows are filled in where they are left out.
        tokenizer: in place of the teacher's; it finds the teacher's file, if it needs one.
        texts: some, to compare the tokenizers, and for the units of pieces.
        with_table: whether the embedding is to be fitted to the old one.
        solve: whether it is to be solved for the old table if it can be, and there is one.
        seed: of fresh weights.

    Raises:
        ConfigError: the embedding does not fit the encoder or the tokenizer, or the tokenizer not
            the old table.
    """
    old = in_single_precision(teacher.model)
    assert old.config is not None
    own = teacher.tokenizer
    config = old.config
    if tokenizer is not None:
        with tempfile.TemporaryDirectory() as folder:
            teacher.tokenizer.save(Path(folder))
            own = build_tokenizer(tokenizer, Path(folder))
        config = config.replace(tokenizer=tokenizer)
    sample = [*texts[:64], "A text, of some words."]
    same = own.vocab_size == teacher.tokenizer.vocab_size and np.array_equal(
        own(sample).ids, teacher.tokenizer(sample).ids
    )
    width = _width(old.embedding, teacher.tokenizer)
    rows = getattr(old.embedding, "vocab_size", 0) if same else 0
    filled = {"width": width, "vocab_size": max(own.vocab_size, rows)}
    for option, value in filled.items():
        if option not in embedding.options and accepts_option(embedding, option):
            embedding = embedding.replace(**{option: value})
    new = build_part(embedding, where="embedding", rngs=nnx.Rngs(seed))
    found = _width(new, own)
    if found != width:
        raise ConfigError(
            f"the embedding gives vectors of width {found}, and the encoder takes {width}; use "
            f"Part({embedding.type!r}, width={width}, ...)"
        )
    kept = nnx.clone(old)
    model = TextModel(
        embedding=new, encoder=kept.encoder, pooling=kept.pooling, heads=list(kept.heads),
        config=config.replace(embedding=embedding),
    )  # fmt: skip
    check_fit(own, model, source="the new embedding")
    table = None
    solve = solve and same and hasattr(new, "fit_rows")
    if with_table or solve:
        if not same:
            raise ConfigError(
                "the tokenizer gives other ids than the teacher's, so there are no rows to fit; "
                "leave the stage out: RetrofitConfig(table=None)"
            )
        pieces = pieces_of(own, texts)
        table = OldTable(pieces=pieces, rows=rows_of(old.embedding, pieces))
    return Student(model=model, tokenizer=own, table=table, solve=solve)


def _width(embedding: nnx.Module, tokenizer: Tokenizer) -> int:
    """Width of the states an embedding gives, without computing any."""
    tokenized = tokenizer(["a text"])
    batch = tokenized.batch(np.arange(1), int(tokenized.lengths[0]))
    graphdef, state = nnx.split(embedding)
    try:
        found = jax.eval_shape(lambda state: nnx.merge(graphdef, state)(batch).states, state)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"a {type(embedding).__name__} cannot embed what a {type(tokenizer).__name__} gives: "
            f"{error}; give another tokenizer, such as tokenizer="
            "teacher.model.config.tokenizer.replace(units='bytes')"
        ) from error
    return int(found.shape[-1])
