"""Training data: files of rows, tokenized on the host into batches of static shape."""

from textzoo.trainers.data.batched import DataReport, Mixture
from textzoo.trainers.data.broken_rows import SourceReport
from textzoo.trainers.data.collate import Column, Counts
from textzoo.trainers.data.fields import Field
from textzoo.trainers.data.hashing import text_key
from textzoo.trainers.data.line_sources import JsonlSource, TextSource, TsvSource
from textzoo.trainers.data.noisy import NoisyTexts
from textzoo.trainers.data.opening import Readable, open_source
from textzoo.trainers.data.packed_data import PackedData
from textzoo.trainers.data.parquet import ParquetSource
from textzoo.trainers.data.sources import ConcatenatedSource, RowsSource, Source, WithVectors
from textzoo.trainers.data.stream import BatchStream, Reading, TrainingData
from textzoo.trainers.data.text_data import TextData
from textzoo.trainers.data.tfds_source import TfdsSource, table_to_tfds

__all__ = [
    "BatchStream",
    "Column",
    "ConcatenatedSource",
    "Counts",
    "DataReport",
    "Field",
    "JsonlSource",
    "Mixture",
    "NoisyTexts",
    "PackedData",
    "ParquetSource",
    "Readable",
    "Reading",
    "RowsSource",
    "Source",
    "SourceReport",
    "TextData",
    "TextSource",
    "TfdsSource",
    "TrainingData",
    "TsvSource",
    "WithVectors",
    "open_source",
    "table_to_tfds",
    "text_key",
]
