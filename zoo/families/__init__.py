"""One file per family of models: their published sizes as presets.

A preset is a function that returns a :class:`textzoo.ModelConfig`; its spec stands beside it.
"""

FAMILIES = (
    "albert",
    "averaging",
    "bert",
    "byte2word",
    "bytes",
    "canine",
    "char2subword",
    "character_bert",
    "charbert",
    "charformer",
    "compressed",
    "convolution",
    "distilbert",
    "electra",
    "fourier",
    "frozen",
    "hashed",
    "hierarchical",
    "infersent",
    "kr_bert",
    "langsamp",
    "minilm",
    "mixed_vocabulary",
    "modernbert",
    "mpnet",
    "multi_hash",
    "n_grams",
    "rembert",
    "roberta",
    "static",
    "subspace",
    "wave",
    "xlm_roberta",
    "xray",
)
"""Modules of this package that register models; imported on the first look-up."""
