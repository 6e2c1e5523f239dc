"""Rows of Parquet files."""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from textzoo.errors import DataError
from textzoo.trainers.data.broken_rows import (
    BrokenRows,
    log_broken,
    missing_column,
    refuse_broken,
)
from textzoo.trainers.data.caching import file_key, made_once, read_report, write_report
from textzoo.trainers.data.fields import BrokenValueError, Field, as_fields
from textzoo.trainers.data.sources import Row, Source, checksum_of, fingerprint_of, parse_row

_ROWS_AT_ONCE = 4096
_FILE = "rows.arrow"


class ParquetSource(Source):
    """Rows of a Parquet file.

    Parquet packs thousands of rows together, so a single one cannot be read. The columns asked
    for are unpacked once into an Arrow file that is mapped into memory, in ``cache`` or, without
    one, a temporary file that is gone when the process ends.

    Args:
        path: the file.
        columns: names of text columns, and fields of other kinds.
        strict: refuse a broken row (a null, a label out of range) instead of leaving it out.
        cache: folder where the unpacked file is kept for the next run.

    Raises:
        DataError: the file is missing or damaged, lacks a column, has no usable row, or under
            ``strict`` a broken one.
    """

    def __init__(
        self, path: Path | str, columns: Sequence[str | Field], *, strict: bool = False,
        cache: Path | None = None,
    ) -> None:  # fmt: skip
        path = Path(path)
        self.name = str(path)
        self.fields = as_fields(columns)
        if not path.is_file():
            raise DataError(f"{path} does not exist; check the path")

        def unpack(folder: Path) -> None:
            self._unpack(path, folder, strict=strict)

        details = list(map(dataclasses.asdict, self.fields))
        if cache is not None:
            self._open(made_once(cache, file_key(path, "arrow", details), unpack))
        else:
            with tempfile.TemporaryDirectory() as folder:
                unpack(Path(folder))
                self._open(Path(folder))  # What is mapped stays when its name is gone.
        if strict:
            refuse_broken(self.report)
        log_broken(self.report)

    def _unpack(self, path: Path, folder: Path, *, strict: bool) -> None:
        broken = BrokenRows(self.name, strict=strict)
        names = [field.name for field in self.fields]
        seen = rows = checksum = 0
        try:
            with pq.ParquetFile(path) as file:
                known = file.schema_arrow.names
                for name in names:
                    if name not in known:
                        raise missing_column(self.name, name, known)
                schema = pa.schema([file.schema_arrow.field(name) for name in names])
                with pa.OSFile(str(folder / _FILE), "wb") as sink, pa.ipc.new_file(
                    sink, schema
                ) as writer:  # fmt: skip
                    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=names):
                        batch = batch.select(names)
                        usable = np.zeros(batch.num_rows, bool)
                        for index, row in enumerate(batch.to_pylist()):
                            try:
                                checksum = checksum_of(parse_row(row, self.fields), checksum)
                                usable[index] = True
                            except BrokenValueError as error:
                                broken.add(seen + index + 1, str(error))
                        seen += batch.num_rows
                        rows += int(usable.sum())
                        writer.write_batch(batch.filter(pa.array(usable)))
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{path} is not a whole Parquet file ({error}); copy or write it again"
            ) from error
        write_report(folder, broken.report(rows), checksum)

    def _open(self, folder: Path) -> None:
        report, checksum = read_report(folder)
        with pa.memory_map(str(folder / _FILE)) as mapped, pa.ipc.open_file(mapped) as file:
            batches = [file.get_batch(index) for index in range(file.num_record_batches)]
        self._batches = [batch for batch in batches if batch.num_rows]
        self._ends = np.cumsum([batch.num_rows for batch in self._batches])
        self.report = dataclasses.replace(report, source=self.name)
        self.fingerprint = fingerprint_of(report.rows, checksum, self.fields)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Row:
        which = int(np.searchsorted(self._ends, index, side="right"))
        batch = self._batches[which]
        place = index - (int(self._ends[which - 1]) if which else 0)
        row = {
            field.name: batch.column(column)[place].as_py()
            for column, field in enumerate(self.fields)
        }
        return parse_row(row, self.fields)
