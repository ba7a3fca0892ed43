"""The rank correlation sees order alone, in torch and in NumPy, and leaves out what is not a number."""

import torch

from rsutils.ranks import rank_correlation


def test_order_alone_counts():
    x = torch.randn(7, 11, generator=torch.Generator().manual_seed(0))
    x[2, 3] = torch.nan
    other = torch.randn(7, 11, generator=torch.Generator().manual_seed(1))
    for convert in (lambda values: values, lambda values: values.double().numpy()):
        assert rank_correlation(convert(x), convert(x.exp())) == 1
        assert rank_correlation(convert(x), convert(-(x**3))) == -1
        assert abs(rank_correlation(convert(x), convert(other))) < 0.3
