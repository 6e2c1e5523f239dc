"""One or two tiny models per family, batches for them, and tokenizers. No torch here."""

import json
from pathlib import Path

import jax
import numpy as np
import tokenizers
from flax import nnx
from safetensors.numpy import save_file

from textzoo.modules import TextBatch

GOLDEN = Path(__file__).parent / "golden"
VOCAB = 90

_BERT = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=24,
    type_vocab_size=2,
)
_ROBERTA = _BERT | dict(
    max_position_embeddings=26, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5
)
_MODERNBERT = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=40,
    max_position_embeddings=40,
    local_attention=8,
    pad_token_id=0,
    bos_token_id=2,
    cls_token_id=2,
    eos_token_id=3,
    sep_token_id=3,
)

CASES = {
    "bert": ("bert", _BERT),
    "bert_tanh": ("bert", _BERT | dict(hidden_act="gelu_new", layer_norm_eps=1e-6)),
    "roberta": ("roberta", _ROBERTA),
    "xlm_roberta": ("xlm-roberta", _ROBERTA | dict(pad_token_id=1)),
    "distilbert": (
        "distilbert",
        dict(
            vocab_size=VOCAB,
            dim=32,
            n_layers=2,
            n_heads=4,
            hidden_dim=48,
            max_position_embeddings=24,
        ),
    ),
    "electra": ("electra", _BERT | dict(embedding_size=16)),
    "electra_wide": ("electra", _BERT | dict(embedding_size=32)),
    "albert": ("albert", _BERT | dict(embedding_size=16, num_hidden_layers=4)),
    "albert_groups": (
        "albert",
        _BERT
        | dict(
            embedding_size=32,
            num_hidden_layers=4,
            intermediate_size=32,
            num_hidden_groups=2,
            inner_group_num=2,
            hidden_act="relu",
        ),
    ),
    "mpnet": ("mpnet", {**_ROBERTA, "max_position_embeddings": 142}),
    "rembert": (
        "rembert",
        _BERT
        | dict(input_embedding_size=16, output_embedding_size=20, bos_token_id=2, eos_token_id=3),
    ),
    "modernbert": ("modernbert", _MODERNBERT),
    "modernbert_biased": (
        "modernbert",
        _MODERNBERT
        | dict(
            num_hidden_layers=3,
            norm_bias=True,
            attention_bias=True,
            mlp_bias=True,
            layer_types=["full_attention"] * 3,
        ),
    ),
}
"""Model type and config of each case."""

CASES["mpnet"][1].pop("type_vocab_size")

GOLDEN_CASES = [name for name in CASES if name not in ("bert_tanh", "electra_wide")]
"""Those with a file in ``tests/golden``; the others differ too little to be worth one."""


def pad_id(model_type):
    return 1 if model_type in ("roberta", "xlm-roberta", "mpnet") else 0


def longest(name):
    model_type, config = CASES[name]
    return config["max_position_embeddings"] - (2 if pad_id(model_type) else 0)


def make_batch(name, seed=0):
    """Rows: as long as can be; padded; with a hole in the mask; very short."""
    model_type, _ = CASES[name]
    length = longest(name)
    rng = np.random.default_rng(seed)
    ids = rng.integers(4, VOCAB, (4, length))
    mask = np.ones((4, length), bool)
    mask[1, length // 2 :] = False
    mask[2, 3:7] = False
    mask[3, 2:] = False
    ids[1][~mask[1]] = ids[3][~mask[3]] = pad_id(model_type)
    return ids.astype(np.int32), mask


def run(model, batch: TextBatch):
    """The output of a model, compiled."""
    graphdef, state = nnx.split(model)
    return jax.jit(lambda state, batch: nnx.merge(graphdef, state)(batch))(state, batch)


def make_random(make, scale=0.4, seed=0):
    """A module with numpy's random parameters, which needs no compilation; none is idle."""
    module = nnx.eval_shape(make)
    rng = np.random.default_rng(seed)
    is_variable = lambda x: isinstance(x, nnx.Variable)  # noqa: E731
    for path, variable in jax.tree_util.tree_leaves_with_path(
        nnx.state(module), is_leaf=is_variable
    ):
        center = 1 if "scale" in jax.tree_util.keystr(path) else 0
        values = center + scale * rng.normal(size=variable.shape)
        variable.set_value(jax.device_put(values.astype(variable.dtype)))
    return module


def encode(bundle, texts):
    """Vectors of texts, in one padded batch."""
    tokenized = bundle.tokenizer(texts)
    length = max(1, int(tokenized.lengths.max()))
    return np.asarray(run(bundle.model, tokenized.batch(np.arange(len(texts)), length)).vectors)


def make_tokenizer(model_type, size=VOCAB):
    """Words ``w4``, ``w5``, ... with the special tokens of a family."""
    if pad_id(model_type):
        special = ["<s>", "<pad>", "</s>", "<unk>"]
        first, unknown, last = special[0], special[3], special[2]
    else:
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        first, unknown, last = special[2], special[1], special[3]
    vocabulary = special + [f"w{index}" for index in range(len(special), size)]
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token=unknown))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(first, ids[first]), (last, ids[last])]
    )
    tokenizer.add_special_tokens(special)
    return tokenizer


def write_tokenizer(directory, model_type, size=VOCAB):
    """A tokenizer as transformers saves it."""
    make_tokenizer(model_type, size).save(str(directory / "tokenizer.json"))
    roles = ("cls", "pad", "sep", "unk") if pad_id(model_type) else ("pad", "unk", "cls", "sep")
    tokens = ["<s>", "<pad>", "</s>", "<unk>"] if pad_id(model_type) else [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]"]  # fmt: skip
    data = {f"{role}_token": token for role, token in zip(roles, tokens, strict=True)}
    data |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 1000}
    data["model_input_names"] = ["input_ids", "attention_mask"]
    (directory / "tokenizer_config.json").write_text(json.dumps(data))


def make_texts(count=12, seed=0, longest=30):
    """Texts of known words, some unknown ones, of very different lengths; one is empty."""
    rng = np.random.default_rng(seed)
    texts = [
        " ".join(f"w{number}" for number in rng.integers(4, VOCAB + 5, rng.integers(1, longest)))
        for _ in range(count - 1)
    ]
    return [*texts, ""]


def write_golden(name, directory):
    """Writes the directory that transformers would; returns what it gives for a batch."""
    with np.load(GOLDEN / f"{name}.npz") as data:
        stored = dict(data)
    (directory / "config.json").write_text(str(stored["config"]))
    tensors = {
        key.removeprefix("weights/"): array.astype(np.float32)
        for key, array in stored.items()
        if key.startswith("weights/")
    }
    save_file(tensors, directory / "model.safetensors")
    write_tokenizer(directory, json.loads(str(stored["config"]))["model_type"])
    return stored["ids"].astype(np.int32), stored["mask"], stored["states"]
