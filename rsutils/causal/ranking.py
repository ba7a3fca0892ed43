"""Chapter 06: does a predictor put those edges first whose cutting does something?"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float64, Int

from rsutils.causal.parts import MODES
from rsutils.causal.predictors import Predictors
from rsutils.causal.table import EdgeEffects
from rsutils.compare import Interval, middle, rank_correlation
from rsutils.errors import CourseError

FELT = 0.05  # an effect beyond this counts as one
FIRST = 10  # edges that a predictor puts first
DRAWS = 200


class Edges(NamedTuple):
    """The edges from heads or MLPs into one kind of reader, effect and prediction side by side."""

    effect: Float64[np.ndarray, "source destination"]
    value: Float64[np.ndarray, "source destination"]
    block: Int[np.ndarray, "source destination"]


class Place(NamedTuple):
    """How well one predictor does; correlations are Spearman's, intervals over sources *and* destinations.

    Attributes:
        pooled: over all edges.
        within: within each pair of layers, the mean over pairs: what is left when depth is held fixed.
        precision: share of the ``FIRST`` edges it puts first that are among the ``FIRST`` with the largest effect.
        auc: chance that it puts an edge whose effect exceeds ``FELT`` before one whose effect does not.
        impossible: of the ``FIRST`` it puts first when edges that cannot exist compete too, how many are such.
    """

    predictor: str
    edges: int
    pooled: float
    pooled_interval: Interval
    within: float
    within_interval: Interval
    precision: float
    auc: float
    impossible: float


def scoreboard(predictors: Predictors, effects: EdgeEffects, metric: str, kind: str, seed: int = 0) -> pd.DataFrame:
    """Every predictor's ``Place`` against the size of an effect on the edges from heads (MLPs) into one kind of reader.

    For ``kind`` Q, K or V the sources are heads, for ``in`` and ``gate`` MLPs, as in the chapters whose predictors
    are judged. A predictor that says nothing of these edges is left out. Best within pairs of layers first.

    Raises:
        CourseError: the effects and predictors are of other edges, or none is of that kind.
    """
    rows = []
    for name in predictors.values:
        edges = pick(predictors, effects, metric, kind, name)
        if np.isnan(edges.value[~np.isnan(edges.effect)]).all():
            continue
        draws = _drawn(edges, seed)
        rows.append(
            Place(
                predictor=name,
                edges=int((~np.isnan(edges.effect)).sum()),
                pooled=rank_correlation(edges.value, edges.effect),
                pooled_interval=middle([rank_correlation(d.value, d.effect) for d in draws]),
                within=within_layers(edges),
                within_interval=middle([within_layers(d) for d in draws]),
                precision=precision(edges.value, edges.effect),
                auc=auc(edges.value, edges.effect > FELT, ~np.isnan(edges.effect)),
                impossible=_impossible(predictors, name, kind),
            )
        )
    return pd.DataFrame(rows).sort_values("within", ascending=False, ignore_index=True)


def lead(
    predictors: Predictors, effects: EdgeEffects, metric: str, kind: str, names: tuple[str, str], seed: int = 0
) -> tuple[float, Interval]:
    """By how much the first predictor's correlation within pairs of layers exceeds the second's, with its interval.

    The same sources and destinations are drawn for both: two intervals that overlap may still differ for sure.

    Raises:
        CourseError: as in ``scoreboard``.
    """
    first, second = (pick(predictors, effects, metric, kind, name) for name in names)
    gaps = [within_layers(a) - within_layers(b) for a, b in zip(_drawn(first, seed), _drawn(second, seed), strict=True)]
    return within_layers(first) - within_layers(second), middle(gaps)


def reliability(predictors: Predictors, effects: EdgeEffects, metric: str, kind: str) -> float:
    """Spearman's correlation between the effects on the even and on the odd prompts: no predictor can do better.

    Raises:
        CourseError: as in ``scoreboard``.
    """
    cells = np.ix_(*_places(predictors, kind))
    values = np.abs(effects.prompts(metric)[cells][predictors.can[cells]])
    return rank_correlation(*(np.nanmean(values[:, half::2], axis=-1) for half in (0, 1)))


def pick(predictors: Predictors, effects: EdgeEffects, metric: str, kind: str, name: str) -> Edges:
    """One predictor and the size of one effect on the edges that ``scoreboard`` compares.

    Raises:
        CourseError: the effects and predictors are of other edges, or none is of that kind.
    """
    if [part.name for part in predictors.sources] != effects.sources or [
        part.name for part in predictors.destinations
    ] != effects.destinations:
        raise CourseError("expected effects of all edges, got those of others: measure without naming parts")
    rows, columns = _places(predictors, kind)
    cells = np.ix_(rows, columns)
    source_layer = np.array([predictors.sources[i].layer for i in rows])
    block = source_layer[:, None] * len(predictors.sources) + [predictors.destinations[i].layer for i in columns]
    effect = np.where(predictors.can[cells], np.abs(effects.effect(metric)[cells]), np.nan)
    return Edges(effect, predictors.of(name)[cells], block)


def within_layers(edges: Edges) -> float:
    """Mean over pairs of layers of the correlation within each; pairs with fewer than four edges are left out."""
    found = []
    for block in np.unique(edges.block):
        here = (edges.block == block) & ~np.isnan(edges.effect) & ~np.isnan(edges.value)
        if here.sum() >= 4:
            found.append(rank_correlation(edges.value[here], edges.effect[here]))
    found = [each for each in found if not np.isnan(each)]
    return float(np.mean(found)) if found else float("nan")


def precision(value: Float[np.ndarray, "*edges"], effect: Float[np.ndarray, "*edges"], k: int = FIRST) -> float:
    """Share of the ``k`` edges with the largest ``value`` that are among the ``k`` with the largest ``effect``.

    >>> precision(np.array([3.0, 2.0, 1.0, 0.0]), np.array([1.0, 0.0, 2.0, 0.0]), k=2)
    0.5
    """
    both = ~(np.isnan(value) | np.isnan(effect))
    value, effect = value[both], effect[both]
    k = min(k, len(value))
    first, best = (set(np.argsort(-each, kind="stable")[:k]) for each in (value, effect))
    return len(first & best) / k if k else float("nan")


def auc(
    value: Float[np.ndarray, "*edges"], positive: Bool[np.ndarray, "*edges"], there: Bool[np.ndarray, "*edges"]
) -> float:
    """Chance that a positive edge has the larger value of two; NaN where all are positive or none.

    >>> auc(np.array([3.0, 1.0, 2.0]), np.array([True, False, False]), np.array([True, True, True]))
    1.0
    """
    there = there & ~np.isnan(value)
    value, positive = value[there], positive[there]
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    places = pd.Series(value).rank().to_numpy()
    return float((places[positive].sum() - n * (n + 1) / 2) / (n * m))


def _drawn(edges: Edges, seed: int) -> list[Edges]:
    """The edges of sources and destinations drawn again, both with replacement."""
    rng, (n, m) = np.random.default_rng(seed), edges.effect.shape
    cells = [np.ix_(rng.integers(n, size=n), rng.integers(m, size=m)) for _ in range(DRAWS)]
    return [Edges(*(each[cell] for each in edges)) for cell in cells]


def _impossible(predictors: Predictors, name: str, kind: str) -> float:
    cells = np.ix_(*_places(predictors, kind))
    value, can = predictors.of(name)[cells].ravel(), predictors.can[cells].ravel()
    if np.isnan(value[~can]).all():  # it says nothing of edges that cannot exist
        return float("nan")
    value = np.where(np.isnan(value), -np.inf, value)
    return float((~can[np.argsort(-value, kind="stable")[:FIRST]]).mean())


def _places(predictors: Predictors, kind: str) -> tuple[list[int], list[int]]:
    """Rows of the heads (for Q, K and V) or MLPs, and columns of the readers of one kind."""
    writer_kind = "head" if kind in MODES else "mlp"
    rows = [i for i, part in enumerate(predictors.sources) if part.kind == writer_kind]
    columns = [i for i, part in enumerate(predictors.destinations) if part.kind == kind]
    if not columns:
        kinds = ", ".join(dict.fromkeys(part.kind for part in predictors.destinations))
        raise CourseError(f"expected a kind of reader among {kinds}, got {kind!r}: choose one of these")
    return rows, columns
