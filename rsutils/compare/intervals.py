"""How far a mean, a median or a correlation would move had other prompts, layers or heads been drawn."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from rsutils.errors import CourseError


class Interval(NamedTuple):
    """Two ends, printed as a person would say them, in the format of one number.

    >>> f"{Interval(0.072, 0.708):.2f} and {Interval(0.072, 0.708):.0%}"
    '0.07 to 0.71 and 7% to 71%'
    """

    low: float
    high: float

    def __format__(self, spec: str) -> str:
        return f"{self.low:{spec}} to {self.high:{spec}}"


def bootstrap(
    statistic: Callable[..., Tensor | np.ndarray | float],
    *values: Tensor | np.ndarray,
    level: float = 0.95,
    n: int = 1000,
    seed: int = 0,
) -> Interval:
    """Where ``statistic(*values)`` lies when the units, the first axis of all values, are drawn again.

    Draws as many units with replacement ``n`` times, the same ones from each of the values, and takes the percentiles
    that hold the middle ``level`` of what the statistic gives: Efron 1979, "Bootstrap Methods: Another Look at the
    Jackknife" (doi:10.1214/aos/1176344552). Draws of which the statistic makes NaN are left out. NaN where it means
    nothing: fewer than two units. What is drawn must be what varies: prompts rather than their tokens, heads rather
    than their pairs.

    Raises:
        CourseError: the values differ in the number of units or there are none, the level is not between 0 and 1, or
            there is no draw.

    >>> bootstrap(np.mean, np.arange(100.0))
    Interval(low=43.81..., high=54.95...)
    """
    units = {len(value) for value in values}
    if len(units) != 1:
        raise CourseError(
            f"expected values of the same units, got {sorted(units) or 'none'}: give each value a row a unit"
        )
    if not 0 < level < 1 or n < 1:
        raise CourseError(f"expected a level between 0 and 1 and a draw, got {level} and n={n}: use 0.95 and 1000")
    (n_units,) = units
    if n_units < 2:
        return Interval(float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).integers(n_units, size=(n, n_units))
    return middle([float(statistic(*(value[units] for value in values))) for units in drawn], level)


def middle(draws: Sequence[float], level: float = 0.95) -> Interval:
    """The percentiles that hold the middle ``level`` of some draws; NaN among them is left out, NaN if all are.

    >>> middle([0.0, 1.0, 2.0, float("nan")], level=0.5)
    Interval(low=0.5, high=1.5)
    """
    found = np.array(draws)[~np.isnan(draws)]
    if not len(found):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
