"""What directions that have nothing to do with each other would give: the null of every comparison of weights.


The null keeps the singular values of a writer and of a reader and puts a uniformly random rotation between them, of
the ``n_directions`` of the stream that readers can see (``models.n_directions``).
"""

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from rsutils.errors import CourseError

Values = TypeVar("Values", np.ndarray, Tensor)


def check_n_directions(n_directions: int, d_model: int) -> None:
    """Refuse a number of directions that no stream of this width offers.

    Raises:
        CourseError: it is neither ``d_model`` nor, where writers are centred, one less, or below two.
    """
    if n_directions not in (d_model, d_model - 1) or n_directions < 2:
        raise CourseError(
            f"expected readers to see {d_model} directions, or {d_model - 1} where writers are centred, "
            f"got {n_directions}: use models.n_directions(model)"
        )


def null_deviation(n_directions: int, write_spread: Values, read_spread: Values) -> Values:
    """Standard deviation of ``score**2`` under the null; its mean is ``1 / n_directions``.

    A spread is ``sum(s**4) / sum(s**2)**2`` of a factor's singular values: 1 for one direction, ``1 / k`` for ``k``
    equal ones. In Grams, ``norm(G)_F**2 / trace(G)**2``.

    Raises:
        CourseError: there are fewer than two directions, so nothing can be rotated.
    """
    if n_directions < 2:
        raise CourseError(f"expected two directions or more, got {n_directions}: use models.n_directions(model)")
    chance = 1 / n_directions
    freedom = (n_directions - 1) * (n_directions + 2)
    return (2 * (write_spread - chance) * (read_spread - chance) / freedom) ** 0.5


def z_scores(share: Values, n_directions: int, write_spread: Values, read_spread: Values) -> Values:
    """By how many standard deviations ``share = score**2`` lies above its mean under the null (``null_deviation``).

    A factor that is equally large in all directions has a spread of ``1 / n_directions``: no rotation changes what
    it gives, and z means nothing.
    """
    deviation = null_deviation(n_directions, write_spread, read_spread)
    return (share - 1 / n_directions) / deviation


def random_directions(
    n: int, d_model: int, n_directions: int, generator: torch.Generator
) -> Float64[Tensor, "d_model n"]:
    """``n`` orthonormal directions, one a column, uniformly random among those that readers see.

    In a LayerNorm model (``n_directions = d_model - 1``) all are orthogonal to all-ones: nothing is written or read
    there.

    Raises:
        CourseError: readers cannot see so many directions, or ``n`` of them do not exist.
    """
    check_n_directions(n_directions, d_model)
    if not 1 <= n <= n_directions:
        raise CourseError(f"expected 1 to {n_directions} directions, got {n}: readers see no more")
    return _in_stream(torch.nn.init.orthogonal_(torch.empty(n_directions, n).double(), generator=generator), d_model)


def rotated_reader(
    B: Float[Tensor, "d_model destination"], n_directions: int, seed: int = 0
) -> Float[Tensor, "d_model destination"]:
    """``R @ B`` with R a uniformly random rotation of the directions readers see: the spectrum-matched null.

    Singular values, and so every size, stay; which direction is read is left to chance.

    Raises:
        CourseError: readers cannot see so many directions.
    """
    R = random_directions(n_directions, len(B), n_directions, torch.Generator().manual_seed(seed))
    return (R @ (_in_stream(torch.eye(n_directions).double(), len(B)).T @ B.double())).to(B.dtype)


def null_scores(
    write: Float[Tensor, "source d_model"],
    read: Float[Tensor, "d_model destination"],
    n_directions: int,
    n: int = 50,
    seed: int = 0,
) -> Float64[Tensor, " draw"]:
    """Scores of ``write @ read`` in ``n`` draws of the null: what ``z_scores`` knows in closed form.

    Only where the writer writes is drawn; its singular values stay.

    Raises:
        CourseError: there is no draw, readers cannot see so many directions, or the two are zero, not finite or not
            of one stream.
    """
    if n < 1:
        raise CourseError(f"expected one draw or more, got n={n}: use 50")
    if write.shape[1] != len(read):
        raise CourseError(
            f"expected [source, d_model] and [d_model, destination], got {list(write.shape)} and {list(read.shape)}: "
            "take the writer's rows and the reader's columns"
        )
    for factor in (write, read):
        if not 0 < factor.abs().sum() < torch.inf:
            raise CourseError("expected a writer and a reader that are finite and not zero, got others: mend them")
    if read.shape[1] > len(read):  # a square factor with the same left singular vectors and values
        squares, vectors = torch.linalg.eigh(_gram(read))
        read = vectors * squares.clamp(min=0).sqrt()
    smaller = write if len(write) < write.shape[1] else write.T
    sizes = torch.linalg.eigvalsh(_gram(smaller)).flip(0).clamp(min=0).sqrt()[:n_directions]
    read = read.double()
    generator = torch.Generator().manual_seed(seed)
    norms = [
        torch.linalg.norm(sizes[:, None] * (random_directions(len(sizes), len(read), n_directions, generator).T @ read))
        for _ in range(n)
    ]
    return torch.stack(norms) / (torch.linalg.norm(sizes) * torch.linalg.norm(read))


def _gram(W: Float[Tensor, "rows columns"]) -> Float64[Tensor, "rows rows"]:
    """``W @ W.T`` in float64, some columns at a time: to decompose a whole vocabulary takes 250 MB."""
    return sum((block.double() @ block.double().T for block in W.split(4096, dim=1)), torch.zeros(()).double())


def cannot_communicate(
    write_layer: Int[np.ndarray, " source"],
    read_layer: Int[np.ndarray, " destination"],
    within_block: bool = False,
) -> Bool[np.ndarray, "source destination"]:
    """Which pairs have their writer at or after their reader, so that whatever they share is no communication.

    ``within_block``: whether a writer reaches the readers of its own block, as attention reaches the MLP where the
    two do not run in parallel. Heads never reach heads of their block, nor an MLP itself.

    >>> cannot_communicate(np.array([-1, 0, 1]), np.array([0, 1])).tolist()
    [[False, False], [True, False], [True, True]]
    """
    later = read_layer >= write_layer[:, None] if within_block else read_layer > write_layer[:, None]
    return ~later


def lead(values: Float64[np.ndarray, "*pairs"], can: Bool[np.ndarray, "*pairs"]) -> float:
    """By how much the median over the pairs that ``can`` communicate exceeds that over those that cannot.

    NaN where one of the two kinds is missing; pairs without a value (NaN) are left out.

    >>> lead(np.array([[1.0, 4.0], [2.0, np.nan]]), np.array([[False, True], [False, True]]))
    2.5
    """
    there = ~np.isnan(values)
    able, silent = values[there & can], values[there & ~can]
    return float(np.median(able) - np.median(silent)) if len(able) and len(silent) else float("nan")


def _in_stream(coordinates: Float64[Tensor, "n_directions n"], d_model: int) -> Float64[Tensor, "d_model n"]:
    """Vectors of the stream from their coordinates in an orthonormal basis of the directions that readers see."""
    if len(coordinates) == d_model:
        return coordinates
    # The reflection that swaps e0 and all-ones takes what is orthogonal to one to what is orthogonal to the other.
    normal = torch.full((d_model,), d_model**-0.5, dtype=torch.float64)
    normal[0] -= 1
    raised = torch.cat([torch.zeros(1, coordinates.shape[1]).double(), coordinates])
    return raised - 2 * torch.outer(normal, normal @ raised) / (normal @ normal)
