"""What is found a few rows at a time is what the whole product holds."""

import pytest
import torch

from rsutils import virtual
from rsutils.virtual import products


@pytest.mark.parametrize("cells", [1, 30, 10_000])
def test_strongest_equals_sorting_the_whole_matrix(monkeypatch, cells):
    monkeypatch.setattr(products, "BLOCK", cells)
    generator = torch.Generator().manual_seed(0)
    A, B = torch.randn(17, 13, generator=generator), torch.randn(13, 11, generator=generator)
    V = A @ B
    found = virtual.strongest(A, B, k=23)
    expected = V.abs().flatten().sort(descending=True).values[:23]
    torch.testing.assert_close(torch.tensor([abs(pair.weight) for pair in found]), expected)
    for pair in found:
        torch.testing.assert_close(torch.tensor(pair.weight), V[pair.source, pair.destination])
        cosine = torch.cosine_similarity(A[pair.source], B[:, pair.destination], dim=0)
        torch.testing.assert_close(torch.tensor(pair.cosine), cosine)
