"""What retrofitting trains, and for how long."""

import dataclasses

from textzoo.errors import ConfigError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of training.

    Attributes:
        steps: updates.
        batch_size: pieces, or texts; at most as many as there are.
        learning_rate: the largest; after a short warm-up it falls to zero on a line.
    """

    steps: int
    batch_size: int
    learning_rate: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mimic:
    """What a vector of a piece is to have in common with its row, beside the squared error.

    Attributes:
        cosine: weight of ``1 - cos(e, E_s)``.
        retrieval: weight of ``-log softmax(e E^T)_s`` over all rows, by which the row is the best
            match of the vector.
        neighbors: weight of ``mean_n (cos(e, E_n) - cos(E_s, E_n))^2`` over the rows that are
            nearest to the row.
        num_neighbors: how many those are.
        edit_rate: share of the pieces that are misspelled by one letter while they are fitted.
    """

    cosine: float = 1.0
    retrieval: float = 1.0
    neighbors: float = 0.0
    num_neighbors: int = 10
    edit_rate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("cosine", "retrieval", "neighbors"):
            if getattr(self, name) < 0:
                raise ConfigError(f"mimic.{name}={getattr(self, name)}; use 0 or more")
        if self.num_neighbors < 1:
            raise ConfigError(f"mimic.num_neighbors={self.num_neighbors}; use 1 or more")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetrofitConfig:
    """What is trained, and for how long; see this module.

    Attributes:
        solve: whether an embedding that can be solved for the old table (``fit_rows``: codes, low
            rank, tensor trains) is, before anything is trained.
        table: the embedding, on the rows of the old one; ``None``: not at all.
        mimic: further terms of ``table``: whether a vector is taken for its row.
        masked: the embedding, on masked tokens of texts, which a head guesses that is compared
            with the old table.
        edit_rate: in ``masked``, the share of the pieces that are misspelled by one letter.
        frozen: the embedding, on the teacher's vectors of texts.
        joint: everything, on the same.
        encoder_rate_scale: in ``joint``, the rate of all but the embedding, as a share.
        metric: of the teacher's vectors: ``"cosine"``, ``"mse"`` or ``"relations"``.
        lengths: padded lengths of texts, in tokens; longer texts are cut.
        copies: with noise, how often each text is there, the first time without mistakes.
        save_every: steps between checkpoints, from which a run that was killed goes on.
        evaluate_every: steps between evaluations; ``None``: at the end of each stage.
        seed: of fresh weights and the order of the texts.
    """

    solve: bool = True
    table: Stage | None = Stage(steps=2000, batch_size=1024, learning_rate=3e-3)
    mimic: Mimic | None = None
    masked: Stage | None = None
    edit_rate: float = 0.0
    frozen: Stage | None = Stage(steps=1000, batch_size=64, learning_rate=1e-3)
    joint: Stage | None = Stage(steps=2000, batch_size=64, learning_rate=5e-4)
    encoder_rate_scale: float = 0.2
    metric: str = "cosine"
    lengths: tuple[int, ...] = (16, 32, 64, 128)
    copies: int = 4
    save_every: int = 500
    evaluate_every: int | None = None
    seed: int = 0

    def stages(self) -> dict[str, Stage]:
        """Those that are not left out, in their order."""
        given = {
            "table": self.table, "masked": self.masked, "frozen": self.frozen, "joint": self.joint
        }  # fmt: skip
        return {name: stage for name, stage in given.items() if stage is not None}
