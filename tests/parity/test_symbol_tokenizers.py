"""Bytes and code points have the ids that transformers' ByT5 and CANINE tokenizers give them."""

import pytest

from textzoo.modules import ByteTokenizer, CodePointTokenizer

transformers = pytest.importorskip("transformers")

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

TEXTS = (
    "plain words",
    "naïve café",
    "\u4f60\u597d \U0001f600\u200d\U0001f525",
    "a\u0301\n\t b",
    "",
)


@pytest.mark.parametrize(
    ("ours", "theirs", "mask"),
    [
        (ByteTokenizer, "ByT5Tokenizer", "<extra_id_0>"),
        (CodePointTokenizer, "CanineTokenizer", "\ue003"),
    ],
)
def test_ids_are_those_of_transformers(ours, theirs, mask):
    reference = getattr(transformers, theirs)()
    tokenized = ours()(TEXTS)
    for row, text in enumerate(TEXTS):
        own = tokenized.ids[tokenized.starts[row] : tokenized.starts[row + 1]].tolist()
        assert own == reference(text)["input_ids"]
    short = ours(max_length=9)(["naïve café"])
    assert short.ids.tolist() == reference("naïve café", truncation=True, max_length=9)["input_ids"]
    assert short.truncated.all()
    assert ours.mask_id == reference.convert_tokens_to_ids(mask)
