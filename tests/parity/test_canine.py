"""CANINE against transformers itself: random models, every length, and the published sizes."""

import inspect
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_families import run

import textzoo
from textzoo.checkpoints.conversion import FAMILIES
from textzoo.checkpoints.transformers_layout import read_transformers
from textzoo.modules import TextBatch
from textzoo.modules.embeddings.canine import CodePointHashEmbedding
from textzoo.registry import get_config

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))
from make_canine import make_model  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        dict(downsampling_rate=3, upsampling_kernel_size=5, hidden_act="relu"),
        dict(local_transformer_stride=7, num_hash_functions=2, num_hidden_layers=1),
    ],
)
def test_states_equal_those_of_transformers_at_every_length(changes, tmp_path):
    model = make_model(3, **changes)
    model.save_pretrained(tmp_path)
    config, padded = model.config, 48
    rate, window = config.downsampling_rate, config.local_transformer_stride
    lengths = np.arange(1, padded)
    # Padding in a window of nothing but padding attends to nothing here, and to that there; and
    # the reference leaves out the last molecule of a row.
    needed = (lengths - 1 + config.upsampling_kernel_size // 2) // rate * rate + rate
    lengths = lengths[(needed <= -(-lengths // window) * window) & (needed <= padded - rate)]
    assert len(lengths) > 15 and set(lengths % rate) == set(range(rate))
    rng = np.random.default_rng(1)
    mask = np.arange(padded) < lengths[:, None]
    ids = np.where(mask, rng.integers(1, 0x110000, mask.shape), 0)
    with torch.no_grad():
        theirs = model(
            input_ids=torch.tensor(ids), attention_mask=torch.tensor(mask).long()
        ).last_hidden_state.numpy()
    cut = int(lengths.max())
    batch = TextBatch(ids=ids[:, :cut].astype(np.int32), mask=mask[:, :cut])
    ours = np.asarray(run(read_transformers(tmp_path).model, batch).hidden.states)
    assert np.abs(theirs[mask]).mean() > 0.1
    assert np.abs(ours - theirs[:, :cut])[mask[:, :cut]].max() < 2e-5


def test_presets_are_what_published_checkpoints_convert_to():
    config = transformers.CanineConfig()
    theirs, ours = FAMILIES["canine"].config(config.to_dict()), get_config("canine_s")
    assert get_config("canine_c") == ours
    defaults = {"num_rows": 16_384, "num_hashes": 8}  # of the embedding, left out of the preset
    assert theirs.embedding.options == {**defaults, **ours.embedding.options}
    made = inspect.signature(CodePointHashEmbedding.__init__).parameters
    assert {name: made[name].default for name in defaults} == defaults
    for name, value in ours.encoder.options.items():
        assert theirs.encoder.options[name] == value
    with torch.device("meta"):
        model = transformers.CanineModel(config, add_pooling_layer=False)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert textzoo.get_spec("canine_s").parameters == count + config.hidden_size


def test_heads_of_task_models_are_left_out(tmp_path):
    base = make_model()
    model = transformers.CanineForSequenceClassification(base.config)
    model.canine.load_state_dict(base.state_dict())
    model.save_pretrained(tmp_path)
    batch = TextBatch(ids=np.full((1, 9), 70, np.int32), mask=np.ones((1, 9), bool))
    assert np.isfinite(run(read_transformers(tmp_path).model, batch).hidden.states).all()
