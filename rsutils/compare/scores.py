"""How strongly each writer meets each reader, for MLPs and heads alike: norm, score and z, ranked and tabled."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from rsutils.errors import CourseError

ALWAYS = ("norm", "score", "z")


class ScoredPair(NamedTuple):
    """One pair and its value in some metric."""

    source: str
    destination: str
    value: float


@dataclass(frozen=True)
class PairScores:
    """Every pair of a writer (row) and a reader (column) of one model; NaN where a pair was not measured.

    Measured are the pairs whose reader comes later, or for a control those alone whose reader does not.

    Attributes:
        model: the model's name.
        sources, destinations: names of the rows and of the columns.
        n_directions: how many directions of the stream readers can see; chance is ``n_directions**-0.5``.
        norm: Frobenius norm of ``writer @ reader``.
        score: ``norm`` over the product of the two factors' norms (Elhage et al. 2021, "A Mathematical Framework
            for Transformer Circuits", on composition).
        z: standard deviations by which ``score**2`` exceeds its mean under random rotations (``compare.chance``).
        more: further metrics of the same pairs, by name.

    Raises:
        CourseError: a matrix has not a row a source and a column a destination, or a name occurs twice.
    """

    model: str
    sources: list[str]
    destinations: list[str]
    n_directions: int
    norm: Float64[np.ndarray, "source destination"]
    score: Float64[np.ndarray, "source destination"]
    z: Float64[np.ndarray, "source destination"]
    more: dict[str, Float64[np.ndarray, "source destination"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.n_directions < 2:
            raise CourseError(f"expected two directions or more, got {self.n_directions}: use models.n_directions")
        if twice := sorted(set(ALWAYS) & set(self.more)):
            raise CourseError(f"expected names other than {', '.join(ALWAYS)} in more, got {twice[0]!r}: rename it")
        for names in (self.sources, self.destinations):
            if len(set(names)) < len(names):
                raise CourseError(f"expected names that differ, got {', '.join(names)}: rename those that occur twice")
        shape = (len(self.sources), len(self.destinations))
        for name in self.metrics:
            if self.metric(name).shape != shape:
                raise CourseError(
                    f"expected {name} of shape {list(shape)}, sources by destinations, got "
                    f"{list(self.metric(name).shape)}: give each source a row"
                )

    @property
    def chance(self) -> float:
        """Root mean square of the score when directions are random."""
        return self.n_directions**-0.5

    @property
    def metrics(self) -> list[str]:
        """Names that ``metric`` knows."""
        return [*ALWAYS, *self.more]

    @property
    def there(self) -> Bool[np.ndarray, "source destination"]:
        """Which pairs have values."""
        return ~np.isnan(self.norm)

    def metric(self, name: str) -> Float64[np.ndarray, "source destination"]:
        """The matrix of one metric.

        Raises:
            CourseError: these pairs have no such metric.
        """
        if name not in self.metrics:
            raise CourseError(f"expected a metric among {', '.join(self.metrics)}, got {name!r}: choose one of these")
        return self.more[name] if name in self.more else getattr(self, name)

    def place(self, source: str, destination: str) -> tuple[int, int]:
        """Row and column of a pair.

        Raises:
            CourseError: there is no such pair, or its reader does not come later.
        """
        row, column = _index(self.sources, source), _index(self.destinations, destination)
        if not self.there[row, column]:
            raise CourseError(f"expected a reader later than {source}, got {destination}: choose a later one")
        return row, column

    def top(self, metric: str = "z", n: int = 10) -> list[ScoredPair]:
        """The ``n`` pairs with the largest values, largest first; fewer where there are fewer.

        Raises:
            CourseError: these pairs have no such metric, or ``n`` is below one.
        """
        if n < 1:
            raise CourseError(f"expected one pair or more, got n={n}: use 10")
        values = self.metric(metric)
        cells = np.argsort(-values, axis=None, kind="stable")[: min(n, int((~np.isnan(values)).sum()))]
        return [
            ScoredPair(self.sources[i], self.destinations[j], float(values[i, j]))
            for i, j in zip(*np.unravel_index(cells, values.shape), strict=True)
        ]

    def rank(self, source: str, destination: str, metric: str = "z") -> int:
        """1 for the pair with the largest value.

        Raises:
            CourseError: there is no such pair or metric, or the metric means nothing for the pair (NaN).
        """
        values, place = self.metric(metric), self.place(source, destination)
        if np.isnan(values[place]):
            raise CourseError(
                f"expected a pair with a value of {metric}, got {source} to {destination}: choose another"
            )
        return 1 + int((values > values[place]).sum())

    def among(self, sources: Sequence[str], destinations: Sequence[str]) -> "PairScores":
        """The pairs of some sources and some destinations alone.

        Raises:
            CourseError: there is no source or destination of that name.
        """
        kept = np.ix_(
            np.array([_index(self.sources, name) for name in sources], dtype=int),
            np.array([_index(self.destinations, name) for name in destinations], dtype=int),
        )
        matrices = {name: self.metric(name)[kept] for name in self.metrics}
        always = {name: matrices.pop(name) for name in ALWAYS}
        return replace(self, sources=list(sources), destinations=list(destinations), **always, more=matrices)

    def table(self) -> pd.DataFrame:
        """One row a pair, with its source, its destination and every metric."""
        rows, columns = np.nonzero(self.there)
        names = {"source": [self.sources[i] for i in rows], "destination": [self.destinations[j] for j in columns]}
        return pd.DataFrame(names | {name: self.metric(name)[rows, columns] for name in self.metrics})


def _index(names: list[str], name: str) -> int:
    if name not in names:
        raise CourseError(f"expected a name among {', '.join(names) or 'none'}, got {name!r}: choose one of these")
    return names.index(name)
