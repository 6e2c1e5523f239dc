"""Encoders for tests: they look vectors up."""

import numpy as np


class TableEncoder:
    """Gives each text the vector a table has for it, and remembers what it was asked."""

    def __init__(self, table):
        self.table = {text: np.asarray(vector, np.float32) for text, vector in table.items()}
        self.calls = []

    def encode(self, texts, **options):
        self.calls.append(("encode", texts, options))
        return np.stack([self.table[text] for text in texts])


class TwoSidedEncoder(TableEncoder):
    def encode_query(self, texts, **options):
        self.calls.append(("encode_query", texts, options))
        return np.stack([self.table[text] for text in texts])

    def encode_document(self, texts, **options):
        self.calls.append(("encode_document", texts, options))
        return np.stack([-self.table[text] for text in texts])
