"""What is found a few rows at a time is what the whole product holds."""

import pytest
import torch

import rsutils
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda V: virtual.strongest(V, V, k=0), "1 or more for k=, got 0"),
        (lambda V: virtual.most_connected(V, V, k=-1), "1 or more for k=, got -1"),
        (lambda V: virtual.cosine_counts(V, V, bins=0, most=1.0), "1 or more for bins=, got 0"),
        (lambda V: virtual.cosine_counts(V, V, bins=3, most=0.0), "positive number for most=, got 0.0"),
        (lambda V: virtual.share_beyond(V, V, float("nan")), "threshold of 0 or more, got nan"),
        (lambda V: virtual.connections(V, V * torch.nan), "got NaN or infinity"),
    ],
)
def test_what_cannot_be_looked_at_gets_one_line(call, message):
    with pytest.raises(rsutils.CourseError, match=message):
        call(torch.eye(3))
