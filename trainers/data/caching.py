"""Work on data that is done once: kept in a folder when there is one, and never half written."""

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textzoo.trainers.data.broken_rows import SourceReport


def file_key(path: Path, *details: Any) -> str:
    """A short name for what is derived from a file; another one once the file has changed."""
    status = path.stat()
    return name_of(path.name, str(path.resolve()), status.st_size, status.st_mtime_ns, *details)


def name_of(stem: str, *details: Any) -> str:
    """A short name that tells these details, of JSON types, from others."""
    return f"{stem}-{hashlib.sha256(json.dumps(details).encode()).hexdigest()[:16]}"


def made_once(cache: Path, key: str, make: Callable[[Path], None]) -> Path:
    """Returns the folder ``cache/key``, filled by ``make`` unless it exists.

    ``make`` fills a temporary folder that is renamed when it is done, so a folder that exists is
    whole, and of several processes that make it at once, one wins and all can go on.
    """
    target = cache / key
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=cache))
    try:
        make(temporary)
        temporary.chmod(0o755)
        os.rename(temporary, target)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if not (isinstance(error, OSError) and target.is_dir()):
            raise
    return target


def write_report(folder: Path, report: SourceReport, checksum: int) -> None:
    """Keeps what reading a source found."""
    found = {"checksum": checksum, **dataclasses.asdict(report)}
    (folder / "report.json").write_text(json.dumps(found), encoding="utf-8")


def read_report(folder: Path) -> tuple[SourceReport, int]:
    """What :func:`write_report` was given."""
    found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    report = SourceReport(
        source=found["source"],
        rows=found["rows"],
        broken=tuple(found["broken"]),
        reasons=tuple(found["reasons"]),
    )
    return report, found["checksum"]
