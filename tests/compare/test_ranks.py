"""The rank correlation sees order alone, in torch and in NumPy; equals share a rank, what is no number is left out."""

import torch

from rsutils.compare import rank_correlation


def test_order_alone_counts():
    x = torch.randn(7, 11, generator=torch.Generator().manual_seed(0))
    x[2, 3] = torch.nan
    other = torch.randn(7, 11, generator=torch.Generator().manual_seed(1))
    for convert in (lambda values: values, lambda values: values.double().numpy()):
        assert rank_correlation(convert(x), convert(x.exp())) == 1
        assert rank_correlation(convert(x), convert(-(x**3))) == -1
        assert abs(rank_correlation(convert(x), convert(other))) < 0.3


def test_equal_values_share_their_rank_whatever_their_order():
    x, y = torch.tensor([1, 1, 1, 2, 2, 3]), torch.tensor([6.0, 1.0, 4.0, 5.0, 2.0, 3.0])
    # Spearman by hand: mean ranks 2, 2, 2, 4.5, 4.5, 6 against 6, 1, 4, 5, 2, 3, products and squares about 3.5 summed
    by_hand = -2 / (15 * 17.5) ** 0.5
    for order in (torch.arange(6), torch.tensor([2, 0, 1, 4, 3, 5]), torch.arange(5, -1, -1)):
        assert abs(rank_correlation(x[order], y[order]) - by_hand) < 1e-12
