"""Prompt, echo and instruction pooling are spans of a filled template."""

import numpy as np
import pytest
from tiny_models import write_tiny_model

import textzoo
from textzoo.errors import ConfigError, TruncationWarning
from textzoo.templates import (
    ECHO,
    PROMPT_BERT,
    PROMPT_EOL,
    Template,
    encode_with_template,
    instruction,
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return textzoo.load(write_tiny_model(tmp_path_factory.mktemp("tiny")))


@pytest.mark.parametrize(
    ("template", "text", "pooled", "start"),
    [
        (ECHO, "cat", "cat", 28),  # "Document:cat\n" is 13 characters, "Document again:" 15
        (PROMPT_BERT, "a [MASK] in it", "[MASK]", 39),
        (PROMPT_EOL, 'say "hi"', '"', 45),
        (instruction("find it"), "Query: cat", "Query: cat", 25),
        (Template("{text}"), "", "", 0),
        (Template("the {text} [X] and [X]", pool="[X]"), "{text}", "[X]", 19),
    ],
)
def test_the_last_place_is_pooled_whatever_the_text_says(template, text, pooled, start):
    filled, span = template.fill(text)
    assert filled[slice(*span)] == pooled
    assert span == (start, start + len(pooled))


def test_echo_vectors_are_those_of_the_second_copy(encoder):
    echo = Template("the {text} a {text}")
    found = encode_with_template(encoder, ["cat sat", "dog"], echo)
    assert found.kept.tolist() == [True, True]
    spans = encoder.encode_spans(
        ["the cat sat a cat sat", "the dog a dog"], [[(14, 21)], [(10, 13)]]
    )
    np.testing.assert_array_equal(found.vectors, np.concatenate([s.vectors for s in spans]))
    # This model has no context, so a copy has the vector of the text alone.
    np.testing.assert_allclose(found.vectors, encoder.encode(["cat sat", "dog"]), rtol=1e-5)


def test_a_piece_of_the_template_is_pooled_alone(encoder):
    found = encode_with_template(encoder, ["cat", "dog"], Template("{text} means red", pool="red"))
    np.testing.assert_allclose(found.vectors, encoder.encode(["red", "red"]), rtol=1e-5)


def test_what_was_cut_off_is_flagged(encoder):
    with pytest.warns(TruncationWarning):
        found = encode_with_template(encoder, ["cat " * 20, "cat"], Template("{text} a {text}"))
    assert found.kept.tolist() == [False, True]
    np.testing.assert_array_equal(found.vectors[0], 0)


def test_no_texts_give_no_vectors_and_empty_ones_are_not_kept(encoder):
    assert encode_with_template(encoder, [], ECHO).vectors.shape == (0, 8)
    assert encode_with_template(encoder, [""], ECHO).kept.tolist() == [False]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Template("no place"), "has no {text}"),
        (lambda: Template("{text} means [MASK]", pool="[mask]"), "pool='.mask.' is not in"),
        (lambda: Template("{text}", pool=""), "pool='' is not in"),
        (lambda: Template("{text}", pool="text"), "pool='text' is not in"),
        (lambda: instruction("rewrite {text}"), "has {text} in it"),
    ],
)
def test_bad_templates_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
