"""What retrofitting trains, and for how long."""

import dataclasses


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
class RetrofitConfig:
    """What is trained, and for how long; see this module.

    Attributes:
        solve: whether an embedding that can be solved for the old table (``fit_rows``: codes, low
            rank, tensor trains) is, before anything is trained.
        table: the embedding, on the rows of the old one; ``None``: not at all.
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
        given = {"table": self.table, "frozen": self.frozen, "joint": self.joint}
        return {name: stage for name, stage in given.items() if stage is not None}
