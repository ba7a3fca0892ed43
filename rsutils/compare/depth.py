"""Several models on one axis: maps of source and destination layer at relative depth, as multiples of chance.

Block ``l`` of ``n`` covers ``l/n`` to ``(l + 1)/n`` of a model, from 0 at the embedding to 1 at the unembedding.
A score over its own chance level, ``1/sqrt(d)``, can be compared across widths: 1 is what random directions give.
Raw norms cannot (they grow with every matrix), nor can z, which grows with the width for one and the same overlap.
"""

import gc
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float64
from transformer_lens.model_bridge import TransformerBridge

from rsutils.compare.ranks import rank_correlation
from rsutils.errors import CourseError
from rsutils.models import checkpoints, load_model

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class DepthMap:
    """One model's scores from every layer to every later one, over chance; NaN where the source is not earlier.

    Raises:
        CourseError: ``values`` is no such matrix.
    """

    model: str
    values: Float64[np.ndarray, "source destination"]

    def __post_init__(self) -> None:
        shape = self.values.shape
        if shape[0] != shape[1] or shape[0] < 2:
            raise CourseError(
                f"expected [layers, layers] of two layers or more for {self.model}, got {list(shape)}: "
                "leave out models in which nothing comes later"
            )
        if not np.isnan(self.values[np.tril_indices(len(self.values))]).all():
            raise CourseError(
                f"expected NaN where the source is not earlier, got numbers for {self.model}: rows are sources"
            )
        if not (self.pairs > 0).all() or not np.isfinite(self.pairs).all() or not len(self.pairs):
            raise CourseError(
                f"expected multiples of chance for {self.model}, finite, above zero, one at least, got others: "
                "divide scores by chance"
            )

    @property
    def pairs(self) -> Float64[np.ndarray, " pair"]:
        """The values that there are, row by row."""
        return self.values[~np.isnan(self.values)]

    @property
    def middles(self) -> Float64[np.ndarray, " layer"]:
        """Relative depth of each layer's middle: ``(l + 0.5)/n``."""
        return (np.arange(len(self.values)) + 0.5) / len(self.values)


class Likeness(NamedTuple):
    """Spearman's correlation of two maps on one grid, and over how few cells."""

    correlation: float
    cells: int

    def __str__(self) -> str:
        return f"{self.correlation:.2f} ({self.cells} cells)" if self.cells > 1 else "none (one cell)"


def beside(
    model: TransformerBridge, others: Iterable[str | os.PathLike], measure: Callable[[TransformerBridge], Measured]
) -> list[Measured]:
    """``measure`` of the models to put beside ``model``: the embedded one, its untrained self, and ``others``.

    The untrained one shows what a model looks like that has learned nothing. Each is loaded, measured and let go
    before the next, so that one is held at a time beside ``model``; what ``measure`` returns should not hold it.
    """
    names = dict.fromkeys(str(name) for name in ("embedded", *checkpoints()[:1], *others))
    names.pop(model.info.name, None)
    measured = []
    for name in names:
        measured.append(measure(load_model(name)))
        gc.collect()  # a model's parts refer to each other in circles, which are freed only when looked for
    return measured


def likeness(one: DepthMap, other: DepthMap) -> Likeness:
    """Do two maps put their strong cells at the same depths? Compared on the grid of the model with fewer layers.

    A cell of the finer map counts in a cell of the grid by the area they share. What lies within one block of the
    coarser model has no counterpart there and is left out. Few cells agree easily: of three, one random order in
    three agrees or disagrees wholly. And cells share layers, so they tell less than as many independent ones.

    >>> fine, coarse = np.full((4, 4), np.nan), np.full((2, 2), np.nan)
    >>> fine[np.triu_indices(4, 1)], coarse[0, 1] = [1, 2, 3, 4, 5, 6], 7
    >>> str(likeness(DepthMap("fine", fine), DepthMap("coarse", coarse)))
    'none (one cell)'
    """
    n = min(len(one.values), len(other.values))
    x, y = _on_grid(one.values, n), _on_grid(other.values, n)
    cells = int((~np.isnan(x + y)).sum())
    return Likeness(rank_correlation(x, y) if cells > 1 else np.nan, cells)


def by_distance(shown: DepthMap) -> dict[float, float]:
    """Mean over all pairs of layers that lie equally far apart, by that distance as a share of the depth."""
    n = len(shown.values)
    return {k / n: float(np.nanmean(np.diagonal(shown.values, k))) for k in range(1, n)}


def _on_grid(values: Float64[np.ndarray, "source destination"], n: int) -> Float64[np.ndarray, "n n"]:
    """Mean over each cell of an ``n`` by ``n`` grid, weighted by shared area; NaN where nothing lies."""
    layers, blocks = np.arange(len(values)) * n, np.arange(n)[:, None] * len(values)  # in units that make both whole
    shared = np.minimum(layers + n, blocks + len(values)) - np.maximum(layers, blocks)
    shared = np.clip(shared, 0, None).astype(np.float64)
    area = shared @ ~np.isnan(values) @ shared.T
    total = shared @ np.nan_to_num(values) @ shared.T
    return np.divide(total, area, out=np.full((n, n), np.nan), where=area > 0)
