"""How strongly each writer meets each reader, for MLPs and heads alike: norm, score and z, ranked and tabled."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from rsutils.errors import CourseError


class ScoredPair(NamedTuple):
    """One pair and its value in some metric."""

    source: str
    destination: str
    value: float


@dataclass(frozen=True)
class PairScores:
    """Every pair of a writer (row) and a reader (column) of one model; NaN where the reader does not come later.

    Attributes:
        model: the model's name.
        sources, destinations: names of the rows and of the columns.
        n_directions: how many directions of the stream readers can see; chance is ``n_directions**-0.5``.
        norm: Frobenius norm of ``writer @ reader``.
        score: ``norm`` over the product of the two factors' norms (Elhage et al. 2021, "A Mathematical Framework
            for Transformer Circuits", on composition).
        z: standard deviations by which ``score**2`` exceeds its mean under random rotations (``compare.chance``).
        more: further metrics of the same pairs, by name.
    """

    model: str
    sources: list[str]
    destinations: list[str]
    n_directions: int
    norm: Float64[np.ndarray, "source destination"]
    score: Float64[np.ndarray, "source destination"]
    z: Float64[np.ndarray, "source destination"]
    more: dict[str, Float64[np.ndarray, "source destination"]] = field(default_factory=dict)

    @property
    def chance(self) -> float:
        """Root mean square of the score when directions are random."""
        return self.n_directions**-0.5

    @property
    def metrics(self) -> list[str]:
        """Names that ``metric`` knows."""
        return ["norm", "score", "z", *self.more]

    @property
    def there(self) -> Bool[np.ndarray, "source destination"]:
        """Which pairs have values: those whose reader comes later."""
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
        for name, names in ((source, self.sources), (destination, self.destinations)):
            if name not in names:
                raise CourseError(f"expected a name among {', '.join(names)}, got {name!r}: choose one of these")
        row, column = self.sources.index(source), self.destinations.index(destination)
        if not self.there[row, column]:
            raise CourseError(f"expected a reader later than {source}, got {destination}: choose a later one")
        return row, column

    def top(self, metric: str = "z", n: int = 10) -> list[ScoredPair]:
        """The ``n`` pairs with the largest values, largest first."""
        values = self.metric(metric)
        cells = np.argsort(-values, axis=None, kind="stable")[: min(n, int((~np.isnan(values)).sum()))]
        return [
            ScoredPair(self.sources[i], self.destinations[j], float(values[i, j]))
            for i, j in zip(*np.unravel_index(cells, values.shape), strict=True)
        ]

    def rank(self, source: str, destination: str, metric: str = "z") -> int:
        """1 for the pair with the largest value."""
        values = self.metric(metric)
        return 1 + int((values > values[self.place(source, destination)]).sum())

    def table(self) -> pd.DataFrame:
        """One row a pair, with its source, its destination and every metric."""
        rows, columns = np.nonzero(self.there)
        names = {"source": [self.sources[i] for i in rows], "destination": [self.destinations[j] for j in columns]}
        return pd.DataFrame(names | {name: self.metric(name)[rows, columns] for name in self.metrics})
