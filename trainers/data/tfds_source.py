"""Rows of TFDS datasets, and tables turned into TFDS datasets; without TensorFlow."""

import contextlib
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textzoo.errors import ConfigError, DataError, closest
from textzoo.trainers.data.broken_rows import SourceReport, missing_column
from textzoo.trainers.data.fields import BrokenValueError, Field, as_fields
from textzoo.trainers.data.sources import Row, Source, checksum_of, fingerprint_of, parse_row

_ROWS_SAMPLED = 64


def is_prepared(directory: Path) -> bool:
    """Whether a directory holds a prepared TFDS dataset."""
    return (directory / "dataset_info.json").is_file()


class TfdsSource(Source):
    """Rows of a TFDS dataset in the ArrayRecord format, which can be read in any order.

    What a row may hold is part of such a dataset, so rows are not looked through beforehand; one
    with a text that is not UTF-8, or a label out of range, is an error when it is read.

    Args:
        directory: of a prepared dataset, such as ``data/my_pairs/1.0.0``.
        columns: names of text columns, and fields of other kinds.
        split: of the dataset.

    Raises:
        DataError: there is no such dataset, split or column, or no row, or the files have another
            format.
    """

    def __init__(
        self, directory: Path | str, columns: Sequence[str | Field], *, split: str = "train"
    ) -> None:
        import tensorflow_datasets as tfds

        self.name = f"{directory}:{split}"
        self.fields = as_fields(columns)
        if not is_prepared(Path(directory)):
            raise DataError(
                f"{directory} is not a prepared TFDS dataset; expected a directory with "
                "dataset_info.json, e.g. from table_to_tfds"
            )
        builder = tfds.builder_from_directory(str(directory))
        if split not in builder.info.splits:
            raise DataError(
                f"{directory} has no split {split!r}; {closest(split, builder.info.splits)}"
            )
        known = list(builder.info.features)
        for field in self.fields:
            if field.name not in known:
                raise missing_column(self.name, field.name, known)
        try:
            self._rows = builder.as_data_source(split)
        except NotImplementedError as error:
            raise DataError(
                f"{directory} cannot be read in any order ({error}); prepare it with "
                "file_format='array_record'"
            ) from error
        if not len(self._rows):
            raise DataError(f"{self.name}: there are no rows; expected at least one row")
        self.report = SourceReport(source=self.name, rows=len(self._rows))
        self.fingerprint = self._fingerprint(builder.info.splits[split].num_bytes)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        return self.read([index])[0]

    def read(self, indices: Sequence[int] | np.ndarray) -> list[Row]:
        """Several rows, in the order asked for."""
        numbers = [int(index) for index in indices]
        rows = self._rows.__getitems__(numbers) if numbers else []
        return [self._parse(row, index) for row, index in zip(rows, numbers, strict=True)]

    def _parse(self, row: Mapping[str, Any], index: int) -> Row:
        try:
            plain = {
                field.name: _plain(row[field.name])
                for field in self.fields
            }  # fmt: skip
            return parse_row(plain, self.fields)
        except (BrokenValueError, UnicodeDecodeError) as error:
            raise DataError(
                f"{self.name}, row {index}: {error}; prepare the dataset again without this row"
            ) from None

    def _fingerprint(self, size: int) -> str:
        step = max(1, len(self) // _ROWS_SAMPLED)
        checksum = zlib.crc32(str(size).encode())
        for row in self.read(range(0, len(self), step)):
            checksum = checksum_of(row, checksum)
        return fingerprint_of(len(self), checksum, self.fields)


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def table_to_tfds(
    splits: Source | Mapping[str, Source], directory: Path | str, *, name: str,
    version: str = "1.0.0",
) -> Path:  # fmt: skip
    """Writes tables as a TFDS dataset, as ``directory/name/version``.

    ``tfds.data_source(name, split=..., data_dir=directory)``, ``tfds.builder_from_directory`` of
    the result and :class:`TfdsSource` read it; rows keep their order.

    Args:
        splits: a source for each split; one alone becomes ``train``.
        directory: where datasets lie.
        name: of the dataset: lower-case letters, digits and underscores.
        version: of the dataset.

    Returns:
        The directory of the dataset.

    Raises:
        DataError: the dataset exists already, or the splits have different columns.
    """
    tables = {"train": splits} if isinstance(splits, Source) else dict(splits)
    if not tables or len({table.fields for table in tables.values()}) != 1:
        raise DataError(
            f"splits {list(tables)} do not have the same columns; open all with the same fields"
        )
    if not name.isidentifier() or name != name.lower():
        raise DataError(f"name={name!r}; use lower-case letters, digits and underscores")
    target = Path(directory) / name / version
    if target.exists():
        raise DataError(f"{target} exists; remove it, or write another name or version")
    # The library reports its progress on both streams.
    silent = io.StringIO()
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        builder = _builder(tables, name, version)(
            data_dir=str(directory), file_format="array_record"
        )
        builder.download_and_prepare()
    return target


def _builder(tables: Mapping[str, Source], name: str, version: str) -> Any:
    """The class that prepares a dataset. The library's own for tables needs TensorFlow."""
    import tensorflow_datasets as tfds

    features = _features(next(iter(tables.values())))

    class TableBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        VERSION = tfds.core.Version(version)

        def _info(self) -> Any:
            return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

        def _split_generators(self, manager: Any) -> dict[str, Iterator[tuple[int, Row]]]:
            return {split: self._generate_examples(table) for split, table in tables.items()}

        def _generate_examples(self, table: Source) -> Iterator[tuple[int, Row]]:
            for index in range(len(table)):
                yield index, table[index]

    TableBuilder.name = name
    return TableBuilder


def _features(table: Source) -> Any:
    import tensorflow_datasets as tfds

    first = table[0]
    kinds: dict[str, Any] = {}
    for field in table.fields:
        match field.kind:
            case "text":
                kinds[field.name] = tfds.features.Text()
            case "class" if field.classes:
                kinds[field.name] = tfds.features.ClassLabel(names=list(field.classes))
            case "class":
                kinds[field.name] = tfds.features.Scalar(np.int64)
            case "score":
                kinds[field.name] = tfds.features.Scalar(np.float64)
            case "spans" | "span_labels":
                raise ConfigError(
                    f"column {field.name!r} holds {field.kind}, which TFDS tables do not; keep "
                    "such rows in JSONL"
                )
            case _:
                shape = first[field.name].shape
                kinds[field.name] = tfds.features.Tensor(shape=shape, dtype=np.float32)
    return tfds.features.FeaturesDict(kinds)
