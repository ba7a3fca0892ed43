"""Large products ``A @ B`` looked at a few rows at a time and never held whole; shared by chapters 03 and 04.

``A`` holds what a source writes, one direction a row, ``B`` what a destination reads, one direction a column.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from rsutils.errors import CourseError
from rsutils.models import free_memory, shown

BLOCK = 2**22  # cells of A @ B held at once: 16 MB


class Pair(NamedTuple):
    """One virtual weight: from which neuron to which, how big, and the cosine of the two directions."""

    source: int
    destination: int
    weight: float
    cosine: float


class Connected(NamedTuple):
    """The part of V between the most connected neurons, which ``rows`` and ``columns`` name by their numbers."""

    rows: list[int]
    columns: list[int]
    weights: Float[Tensor, "row column"]


def product(
    A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"]
) -> Float[Tensor, "source destination"]:
    """``A @ B``.

    Raises:
        CourseError: it would not fit into memory.
    """
    n_bytes = 4 * A.shape[0] * B.shape[1]
    if n_bytes > free_memory() / 2:
        raise CourseError(
            f"expected virtual weights that fit into memory, got {A.shape[0]} x {B.shape[1]} that take "
            f"{n_bytes / 1e9:.1f} GB: ask for rows= or columns=, or for virtual.strongest(), which builds a few rows "
            "at a time"
        )
    return A @ B


def strongest(A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"], k: int = 10) -> list[Pair]:
    """The ``k`` virtual weights of largest size, largest first, found a block of rows at a time.

    Raises:
        CourseError: ``k`` is below 1, or a factor is empty or holds NaN or infinity.

    >>> [best] = strongest(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0], [-4.0]]), k=1)
    >>> best.source, best.destination, best.weight, round(best.cosine, 6)
    (1, 0, -8.0, -0.8)
    """
    check_factors(A, B)
    check_count(k, "k")
    best, where = A.new_empty(0), torch.empty(0, dtype=torch.long)
    for start, block in _row_blocks(A, B):
        values, at = block.flatten().abs().topk(min(k, block.numel()))
        best, where = torch.cat([best, values]), torch.cat([where, at + start * B.shape[1]])
        keep = best.argsort(descending=True)[:k]
        best, where = best[keep], where[keep]
    found = []
    for cell in where.tolist():
        i, j = divmod(cell, B.shape[1])
        cosine = torch.cosine_similarity(A[i], B[:, j], dim=0)
        found.append(Pair(i, j, (A[i] @ B[:, j]).item(), cosine.item()))
    return found


def cosine_counts(
    A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"], bins: int, most: float
) -> Int[Tensor, " bins"]:
    """How many pairs of neurons have which cosine: counts in bins from ``-most`` to ``most``, outer ones open.

    Raises:
        CourseError: there is no bin, ``most`` is not a positive number, or a factor is empty or holds NaN or infinity.
    """
    check_factors(A, B)
    check_count(bins, "bins")
    if not 0 < most < float("inf"):
        raise CourseError(f"expected a positive number for most=, got {most}: the outer bins begin there")
    A, B = F.normalize(A, dim=1), F.normalize(B, dim=0)
    counts = [torch.histc(block.clamp(-most, most), bins, -most, most).long() for _, block in _row_blocks(A, B)]
    return torch.stack(counts).sum(dim=0)


def share_beyond(
    A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"], threshold: float
) -> float:
    """Fraction of pairs of neurons whose cosine is larger than ``threshold`` in size.

    Raises:
        CourseError: ``threshold`` is not a number of 0 or more, or a factor is empty or holds NaN or infinity.
    """
    check_factors(A, B)
    if not threshold >= 0:
        raise CourseError(f"expected a threshold of 0 or more, got {threshold}: cosines are compared by their size")
    A, B = F.normalize(A, dim=1), F.normalize(B, dim=0)
    beyond = sum(int((block.abs() > threshold).sum()) for _, block in _row_blocks(A, B))
    return beyond / (A.shape[0] * B.shape[1])


def connections(
    A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"]
) -> tuple[Float[Tensor, " source"], Float[Tensor, " destination"]]:
    """How connected each neuron is: the norm of its row of ``A @ B`` and of its column, without building it.

    Raises:
        CourseError: a factor is empty or holds NaN or infinity.

    >>> rows, columns = connections(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0], [0.0]]))
    >>> rows.tolist(), columns.tolist()
    ([3.0, 0.0], [3.0])
    """
    check_factors(A, B)
    by_row, by_column = ((A @ (B @ B.T)) * A).sum(dim=1), (((A.T @ A) @ B) * B).sum(dim=0)
    return by_row.clamp(min=0).sqrt(), by_column.clamp(min=0).sqrt()


def most_connected(
    A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"], k: int = 100
) -> Connected:
    """``A @ B`` for the ``k`` most connected neurons of each side, most connected first.

    Raises:
        CourseError: ``k`` is below 1, the part would not fit into memory, or a factor is empty or holds NaN or
            infinity.
    """
    check_count(k, "k")
    rows, columns = (norms.topk(min(k, len(norms))).indices.tolist() for norms in connections(A, B))
    return Connected(rows, columns, product(A[rows], B[:, columns]))


def check_factors(A: Tensor, B: Tensor) -> None:
    """Whether ``A @ B`` is a product of numbers.

    Raises:
        CourseError: the shapes do not meet, or a factor is empty or holds NaN or infinity.
    """
    if A.ndim != 2 or B.ndim != 2 or A.shape[1] != B.shape[0]:
        raise CourseError(
            f"expected factors [source, d_model] and [d_model, destination], got {list(A.shape)} and {list(B.shape)}: "
            "the writer comes first, the reader second"
        )
    if not A.numel() or not B.numel():
        raise CourseError(f"expected factors with cells, got {list(A.shape)} and {list(B.shape)}: take more neurons")
    if not (A.isfinite().all() and B.isfinite().all()):
        raise CourseError("expected finite factors, got NaN or infinity: look for where the weights were changed")


def check_count(value: int, name: str) -> None:
    """Whether ``value`` counts something.

    Raises:
        CourseError: it is not a whole number of 1 or more.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CourseError(f"expected a whole number of 1 or more for {name}=, got {shown(value)}: ask for one at least")


def _row_blocks(
    A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"]
) -> Iterator[tuple[int, Float[Tensor, "rows destination"]]]:
    """``A @ B`` a block of rows at a time: the index of the first row, and the block."""
    step = max(1, BLOCK // B.shape[1])
    for start in range(0, A.shape[0], step):
        yield start, A[start : start + step] @ B
