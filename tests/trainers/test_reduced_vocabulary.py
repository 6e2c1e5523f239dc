import numpy as np
import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from textzoo.trainers.reduced_vocabulary import count_tokens, reduce_vocabulary

WORDS = ("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "the", "[unused1]", "cat", "##s")


@pytest.fixture
def bert():
    model = models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 4), ("[CLS]", 3))
    tokenizer.enable_padding(length=8)
    return tokenizer


def test_special_and_unused_tokens_go_and_the_unknown_one_comes_first(bert):
    reduced, old_ids = reduce_vocabulary(bert)
    assert [reduced.id_to_token(i) for i in range(4)] == ["[UNK]", "the", "cat", "##s"]
    assert list(old_ids) == [2, 5, 7, 8]
    assert reduced.get_vocab_size() == 4


def test_texts_have_the_same_tokens_as_before(bert):
    reduced, old_ids = reduce_vocabulary(bert)
    text = "The cats zzz [SEP]"
    before = bert.encode("The cats zzz", add_special_tokens=False).ids[:4]
    assert [old_ids[i] for i in reduced.encode(text).ids[:4]] == before == [5, 7, 8, 2]


def test_other_types_of_tokenizer_are_refused():
    with pytest.raises(ValueError, match="type BPE"):
        reduce_vocabulary(tokenizers.Tokenizer(models.BPE()))


def test_tokens_are_counted():
    assert count_tokens(np.array([1, 1, 3]), 5).tolist() == [0, 2, 0, 1, 0]
