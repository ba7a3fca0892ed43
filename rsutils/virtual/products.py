"""Large products ``A @ B`` looked at a few rows at a time and never held whole; shared by chapters 03 and 04."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 2**22  # cells of A @ B held at once: 16 MB


class Pair(NamedTuple):
    """One virtual weight: from which neuron to which, how big, and the cosine of the two directions."""

    source: int
    destination: int
    weight: float
    cosine: float


def row_blocks(
    A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"]
) -> Iterator[tuple[int, Float[Tensor, "rows destination"]]]:
    """``V = A @ B`` a block of rows at a time: the index of the first row, and the block."""
    step = max(1, BLOCK // B.shape[1])
    for start in range(0, A.shape[0], step):
        yield start, A[start : start + step] @ B


def strongest(A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"], k: int = 10) -> list[Pair]:
    """The ``k`` virtual weights of largest size, largest first, found a block of rows at a time.

    >>> [best] = strongest(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0], [-4.0]]), k=1)
    >>> best.source, best.destination, best.weight, round(best.cosine, 6)
    (1, 0, -8.0, -0.8)
    """
    best, where = torch.empty(0), torch.empty(0, dtype=torch.long)
    for start, block in row_blocks(A, B):
        values, at = block.flatten().abs().topk(min(k, block.numel()))
        best, where = torch.cat([best, values]), torch.cat([where, at + start * B.shape[1]])
        keep = best.argsort(descending=True)[:k]
        best, where = best[keep], where[keep]
    found = []
    for cell in where.tolist():
        i, j = divmod(cell, B.shape[1])
        weight = (A[i] @ B[:, j]).item()
        found.append(Pair(i, j, weight, weight / (A[i].norm() * B[:, j].norm()).item()))
    return found


def cosine_counts(
    A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"], bins: int, most: float
) -> Int[Tensor, " bins"]:
    """How many pairs of neurons have which cosine: counts in bins from ``-most`` to ``most``, outer ones open."""
    A, B = F.normalize(A, dim=1), F.normalize(B, dim=0)
    return sum(torch.histc(block.clamp(-most, most), bins, -most, most).long() for _, block in row_blocks(A, B))


def share_beyond(
    A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"], threshold: float
) -> float:
    """Fraction of pairs of neurons whose cosine is larger than ``threshold`` in size."""
    A, B = F.normalize(A, dim=1), F.normalize(B, dim=0)
    return sum((block.abs() > threshold).sum().item() for _, block in row_blocks(A, B)) / (A.shape[0] * B.shape[1])
