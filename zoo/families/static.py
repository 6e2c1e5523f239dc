"""Static models: one vector per token, a mean, length one.

Papers: Tulkens and van Dongen 2024, "Model2Vec" (github.com/MinishLab/model2vec); Wada et al. 2025,
"Static Word Embeddings for Sentence Semantic Representation", step 3a.
Identical: a text is the direction of the mean of its tokens' rows, whose lengths are the tokens'
weights; no special tokens, unknown tokens are left out, a text without known tokens is zero.
Different: see :mod:`textzoo.trainers.static_distillation`.
"""
