"""Losses of pretraining against transformers, on random weights: heads, ids and labels alike."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from pretraining_cases import (  # noqa: E402
    MASKED,
    REPLACED,
    masked_labels,
    our_masked_loss,
    our_replaced_loss,
    replaced_labels,
)
from reference_models import make_reference  # noqa: E402
from tiny_families import CASES, write_tokenizer  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]


def save(name, class_name, directory):
    model = make_reference(name, model_class=getattr(transformers, class_name))
    model.tie_weights()
    model.save_pretrained(directory)
    write_tokenizer(directory, CASES[name][0])
    return model


def their_loss(model, ids, mask, labels):
    with torch.no_grad():
        return float(
            model(
                input_ids=torch.tensor(ids, dtype=torch.long),
                attention_mask=torch.tensor(mask, dtype=torch.long),
                labels=torch.tensor(labels, dtype=torch.long),
            ).loss
        )


@pytest.mark.parametrize("name", MASKED)
def test_masked_language_loss_is_that_of_transformers(name, tmp_path):
    model = save(name, MASKED[name], tmp_path)
    ids, mask, labels = masked_labels(name)
    theirs = their_loss(model, ids, mask, labels)
    ours = our_masked_loss(tmp_path, ids, mask, labels)
    assert theirs > 1
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("name", REPLACED)
def test_replaced_token_loss_is_that_of_transformers(name, tmp_path):
    model = save(name, REPLACED[name], tmp_path)
    ids, mask, labels = replaced_labels(name)
    theirs = their_loss(model, ids, mask, labels)
    np.testing.assert_allclose(our_replaced_loss(tmp_path, ids, mask, labels), theirs, rtol=1e-5)
