"""TensorBoard events, for those who ask for them."""

from collections.abc import Mapping
from pathlib import Path


class TensorBoardWriter:
    """Writes numbers as TensorBoard events; needs ``pip install textzoo[tensorboard]``.

    Args:
        directory: where the event files go.
        resume_step: events of later steps, written before the run was cut off, are hidden.
    """

    def __init__(self, directory: str | Path, *, resume_step: int = 0) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard events need tensorboardX; run pip install 'textzoo[tensorboard]'"
            ) from error
        self._writer = SummaryWriter(
            str(directory), purge_step=resume_step + 1 if resume_step else None
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to the curve of every name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Writes out what is left."""
        self._writer.close()
