"""All virtual weights of a pair at once, beside what directions that have nothing to do with each other would give."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from rsutils.compare import check_n_directions, z_scores
from rsutils.errors import CourseError
from rsutils.virtual.products import check_factors


class VirtualWeightStats(NamedTuple):
    """All virtual weights of a pair of components at once; see ``virtual_weight_stats``."""

    mean: float
    std: float
    norm: float
    score: float
    chance: float
    z: float


def virtual_weight_stats(
    A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"], n_directions: int
) -> VirtualWeightStats:
    """Mean and standard deviation of ``V = A @ B``, its norm and score beside chance, and how surprising that is.

    ``score = norm(A @ B)_F / (norm(A)_F * norm(B)_F)``. The null keeps the singular values of both factors and
    puts a uniformly random rotation of the ``n_directions`` (``models.n_directions(model)``) that readers see
    between them: then ``E[score^2] = 1 / n_directions``, and ``z`` is that of ``compare.z_scores``. Everything
    comes from the two Grams ``A.T @ A`` and ``B @ B.T``, in float64.

    Raises:
        CourseError: a factor is empty, holds NaN or infinity, or looks alike from all directions (zeros, or equal
            singular values), or readers cannot see ``n_directions``.
    """
    check_factors(A, B)
    d = n_directions
    check_n_directions(d, A.shape[1])
    n = A.shape[0] * B.shape[1]
    A, B = A.double(), B.double()
    G, H = A.T @ A, B @ B.T
    sizes = G.trace() * H.trace()
    write_spread, read_spread = (gram.square().sum() / gram.trace() ** 2 for gram in (G, H))
    if not all(spread > (1 + 1e-9) / d for spread in (write_spread, read_spread)):  # zeros have a spread of NaN
        raise CourseError(
            "expected factors that write and read some directions more than others, got one that does not: no "
            "rotation changes its score, so chance says nothing"
        )
    squares, mean = (G * H).sum(), (A.sum(dim=0) @ B.sum(dim=1)) / n
    share = squares / sizes
    return VirtualWeightStats(
        mean=mean.item(),
        std=(squares / n - mean**2).clamp(min=0).sqrt().item(),
        norm=squares.clamp(min=0).sqrt().item(),
        score=share.clamp(min=0).sqrt().item(),
        chance=d**-0.5,
        z=z_scores(share, d, write_spread, read_spread).item(),
    )
