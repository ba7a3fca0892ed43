"""Do two measures put the same pairs first? Shared by the chapters that compare a score with an effect."""

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from rsutils.errors import CourseError


def rank_correlation(x: Tensor | np.ndarray, y: Tensor | np.ndarray) -> float:
    """Spearman's correlation of two measures of the same pairs, of any one shape, NaN left out.

    NaN where it means nothing: fewer than two pairs, or all of one value.

    Raises:
        CourseError: the two are not of one shape.

    >>> rank_correlation(torch.tensor([1.0, 2.0, torch.nan, 9.0]), torch.tensor([1.0, 4.0, 0.0, 5.0]))
    1.0
    """
    x, y = torch.as_tensor(x), torch.as_tensor(y)
    if x.shape != y.shape:
        raise CourseError(
            f"expected two measures of one shape, got {list(x.shape)} and {list(y.shape)}: same pairs only"
        )
    both = ~(x.isnan() | y.isnan())
    if both.sum() < 2:
        return float("nan")
    return round(torch.corrcoef(torch.stack([ranks(x[both]), ranks(y[both])]))[0, 1].item(), 12)


def ranks(values: Tensor) -> Float64[Tensor, " n"]:
    """Places from 1, lowest first; equal values share the mean of theirs, as distances in whole layers do.

    >>> ranks(torch.tensor([3.0, 1.0, 3.0, 7.0])).tolist()
    [2.5, 1.0, 2.5, 4.0]
    """
    _, group, size = values.unique(return_inverse=True, return_counts=True)
    return (size.cumsum(dim=0) - (size.double() - 1) / 2)[group]
