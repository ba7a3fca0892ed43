"""The numbers that fix a training run."""

from dataclasses import dataclass, field
from math import fsum


@dataclass(frozen=True)
class Stage:
    """A stretch of the curriculum: how many steps, the shares of each kind of row, their length, which blocks run.

    With `scatter`, that share of the rows to copy stands at random increasing positions and the others start anywhere,
    so that a distance counted in positions tells little. In between, every `echo_every`-th step has echo rows for the
    first block alone, and the step after every `copy_every`-th is one of scattered copying, lest stories undo it.
    """

    steps: int
    rows: dict[str, float]
    length: int
    blocks: tuple[int, ...]
    scatter: float = 0.0
    echo_every: int = 0
    copy_every: int = 0

    @property
    def stories(self) -> bool:
        """Whether the stage tells stories or has only repeated material."""
        return "story" in self.rows


def curriculum() -> tuple[Stage, ...]:
    """Copying in two blocks first, then stories in all four, with fewer and fewer repeats.

    The second block starts alone: it learns to copy what it attends to straight from the embedding, and when the first
    block joins, that one finds a use in telling it where to attend. A first block that had learnt to copy by itself
    would lead the second to look one place too late, where the first has already fetched what it needs.
    """
    every = (0, 1, 2, 3)
    return (
        Stage(400, {"pair": 1}, 64, (1,)),
        Stage(1200, {"pair": 1}, 64, (0, 1)),
        Stage(3600, {"pair": 2, "span": 1}, 64, (0, 1), scatter=0.75, echo_every=4),
        Stage(800, {"story": 4, "span": 1}, 128, every, scatter=0.75, echo_every=10, copy_every=4),
        Stage(2800, {"story": 9, "span": 1}, 128, every, scatter=0.75, echo_every=10, copy_every=7),
        Stage(2000, {"story": 9, "span": 1}, 128, every, scatter=0.75, echo_every=10, copy_every=4),
        Stage(2000, {"story": 1}, 128, every, scatter=1.0, echo_every=10, copy_every=2),
    )


@dataclass(frozen=True)
class Recipe:
    """Sizes, seed, optimiser, curriculum and the steps whose weights are kept."""

    seed: int = 0
    vocab_size: int = 1792
    n_ctx: int = 128
    d_model: int = 128
    n_layers: int = 4
    n_heads: int = 4
    init_std: float = 0.04
    learning_rate: float = 3e-3
    last_rate: float = 0.1
    weight_decay: float = 0.03
    tokens_per_step: int = 2048
    first_pool: int = 128
    decay_steps: int = 2500
    save_every: int = 200
    keep: tuple[int, ...] = (0, 400, 800, 1000, 1600, 3000, 5200, 6400, 9000)
    stages: tuple[Stage, ...] = field(default_factory=curriculum)

    @property
    def steps(self) -> int:
        """The length of the whole run."""
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> Stage:
        """The stage that a step belongs to."""
        start = 0
        for stage in self.stages:
            if step < start + stage.steps:
                break
            start += stage.steps
        if stage.echo_every and step % stage.echo_every == 0:
            return Stage(1, {"echo": 1}, self.n_ctx, (0,))
        if stage.copy_every and step % stage.copy_every == 1:
            return Stage(1, {"pair": 2, "span": 1}, 64, stage.blocks, stage.scatter)
        return stage

    def shares(self, start: int, stop: int) -> dict[str, float]:
        """Share of each kind of row in the tokens of these steps, as the recipe draws them; steps are equally long."""
        drawn = [self.stage(step).rows for step in range(start, stop)]
        kinds = sorted({kind for rows in drawn for kind in rows})
        return {k: fsum(rows.get(k, 0) / sum(rows.values()) for rows in drawn) / len(drawn) for k in kinds}

    def pool_size(self, level: float, most: int) -> int:
        """How many tokens the rows to copy draw from: `first_pool` at level 0, `most` at level 1."""
        return round(self.first_pool * (most / self.first_pool) ** level)

    def rate(self, step: int) -> float:
        """The learning rate of a step: a short rise, a plateau, and a straight fall to a tenth at the end."""
        left = (self.steps - step) / max(1, self.decay_steps)
        return (
            self.learning_rate * min(1.0, (step + 1) / 100) * (self.last_rate + (1 - self.last_rate) * min(1.0, left))
        )
