"""Chapter 06: the effects of edges, or of parts, prompt by prompt; what has not been computed is NaN."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float32, Float64

from rsutils.compare import Interval, ScoredPair, bootstrap, rank_correlation
from rsutils.errors import CourseError


@dataclass(frozen=True)
class EdgeEffects:
    """Effects of edges from a writer (source) into a reader (destination) on each prompt.

    Attributes:
        model, family, corruption: what was measured.
        sources, destinations: names of the writers and the readers.
        values: by way of measuring, one number an edge and prompt; NaN where the reader does not come later and
            where an interrupted measurement did not get.
        complete: False if it was interrupted.
    """

    model: str
    family: str
    corruption: str
    sources: list[str]
    destinations: list[str]
    values: dict[str, Float32[np.ndarray, "source destination prompt"]]
    complete: bool = True

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            if value.shape[:2] != (len(self.sources), len(self.destinations)):
                raise CourseError(
                    f"expected {name} with {len(self.sources)} sources and {len(self.destinations)} destinations, got "
                    f"{list(value.shape)}: give each edge a place"
                )

    @property
    def metrics(self) -> list[str]:
        """Names that ``effect`` knows."""
        return list(self.values)

    def prompts(self, metric: str) -> Float32[np.ndarray, "source destination prompt"]:
        """One way of measuring, prompt by prompt.

        Raises:
            CourseError: these edges were not measured so.
        """
        if metric not in self.values:
            raise CourseError(f"expected a metric among {', '.join(self.values)}, got {metric!r}: choose one of these")
        return self.values[metric]

    def effect(self, metric: str) -> Float64[np.ndarray, "source destination"]:
        """The mean over the prompts that were measured, an edge a cell.

        Raises:
            CourseError: these edges were not measured so.
        """
        values = self.prompts(metric)
        there = ~np.isnan(values)
        count = there.sum(axis=-1)
        total = np.where(there, values, 0).sum(axis=-1, dtype=np.float64)
        return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)

    def of(self, source: str, destination: str, metric: str) -> tuple[float, Interval]:
        """One edge's mean effect and its bootstrap interval over prompts.

        Raises:
            CourseError: there is no such edge or metric, or it was not measured.
        """
        for name, names in ((source, self.sources), (destination, self.destinations)):
            if name not in names:
                raise CourseError(f"expected a name among {', '.join(names)}, got {name!r}: choose one of these")
        values = self.prompts(metric)[self.sources.index(source), self.destinations.index(destination)]
        values = values[~np.isnan(values)]
        if not len(values):
            raise CourseError(
                f"expected an edge that was measured, got {source} to {destination}: choose a later destination, or "
                "measure again if it was interrupted"
            )
        return float(values.mean()), bootstrap(np.mean, values)

    def top(self, metric: str, n: int = 10) -> list[ScoredPair]:
        """The ``n`` edges with the largest effects by size, largest first; signs are kept.

        Raises:
            CourseError: these edges were not measured so, or ``n`` is below one.
        """
        if n < 1:
            raise CourseError(f"expected one edge or more, got n={n}: use 10")
        values = self.effect(metric)
        cells = np.argsort(-np.abs(values), axis=None, kind="stable")[: min(n, int((~np.isnan(values)).sum()))]
        return [
            ScoredPair(self.sources[i], self.destinations[j], float(values[i, j]))
            for i, j in zip(*np.unravel_index(cells, values.shape), strict=True)
        ]

    def table(self) -> pd.DataFrame:
        """One row an edge that was measured, with its source, its destination and its mean effects."""
        means = {metric: self.effect(metric) for metric in self.values}
        rows, columns = np.nonzero(np.any([~np.isnan(mean) for mean in means.values()], axis=0))
        names = {"source": [self.sources[i] for i in rows], "destination": [self.destinations[j] for j in columns]}
        return pd.DataFrame(names | {metric: mean[rows, columns] for metric, mean in means.items()})

    def said(self) -> str:
        """How much of the work was done, as a sentence."""
        done, total = int(self.table().shape[0]), next(iter(self.values.values())).shape[-1]
        edges = f"{done} edges on {total} prompts of the {self.family} family"
        return f"{edges}." if self.complete else f"Interrupted: {edges} in part; what is missing is NaN."


@dataclass(frozen=True)
class NodeEffects:
    """Effects of parts on each prompt, by way of measuring; NaN where an interrupted measurement did not get."""

    model: str
    family: str
    parts: list[str]
    values: dict[str, Float32[np.ndarray, "part prompt"]]
    complete: bool = True

    def effect(self, way: str) -> Float64[np.ndarray, " part"]:
        """The mean over prompts, a part a number.

        Raises:
            CourseError: the parts were not measured so.
        """
        if way not in self.values:
            raise CourseError(f"expected a way among {', '.join(self.values)}, got {way!r}: choose one of these")
        return self.values[way].mean(axis=-1, dtype=np.float64)

    def top(self, way: str, n: int = 10) -> list[tuple[str, float]]:
        """The ``n`` parts with the largest effects by size, largest first; signs are kept.

        Raises:
            CourseError: the parts were not measured so, or ``n`` is below one.
        """
        if n < 1:
            raise CourseError(f"expected one part or more, got n={n}: use 10")
        values = self.effect(way)
        order = np.argsort(-np.abs(values), kind="stable")[: min(n, int((~np.isnan(values)).sum()))]
        return [(self.parts[i], float(values[i])) for i in order]

    def table(self) -> pd.DataFrame:
        """One row a part, one column a way."""
        return pd.DataFrame({way: self.effect(way) for way in self.values}, index=self.parts)

    def agreement(self) -> pd.DataFrame:
        """Spearman's correlation of the sizes of the effects, every way with every other."""
        sizes = {way: np.abs(self.effect(way)) for way in self.values}
        rows = {a: {b: rank_correlation(x, y) for b, y in sizes.items()} for a, x in sizes.items()}
        return pd.DataFrame(rows)
