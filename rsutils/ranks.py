"""Do two measures put the same pairs first? Shared by the chapters that compare a score with an effect."""

import numpy as np
import torch
from torch import Tensor


def rank_correlation(x: Tensor | np.ndarray, y: Tensor | np.ndarray) -> float:
    """Spearman's correlation of two measures of the same pairs, of any one shape, NaN left out.

    >>> rank_correlation(torch.tensor([1.0, 2.0, torch.nan, 9.0]), torch.tensor([1.0, 4.0, 0.0, 5.0]))
    1.0
    """
    x, y = torch.as_tensor(x), torch.as_tensor(y)
    both = ~(x.isnan() | y.isnan())
    ranks = torch.stack([values[both].argsort().argsort().double() for values in (x, y)])
    return round(torch.corrcoef(ranks)[0, 1].item(), 12)
