"""What directions that have nothing to do with each other would give: the null of every comparison of weights."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Statistics(NamedTuple):
    """All virtual weights of a pair of components at once; see ``statistics``."""

    mean: float
    std: float
    score: float
    chance: float
    z: float


def statistics(A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"], d: int) -> Statistics:
    """Mean and standard deviation of ``V = A @ B``, its normalised norm beside chance, and how surprising that is.

    ``score = norm(A @ B)_F / (norm(A)_F * norm(B)_F)``. The null keeps the singular values of both factors and
    puts a uniformly random rotation of ``d`` directions (``weights.n_directions(model)``) between them: then
    ``E[score^2] = 1/d``. With the Grams ``G = A.T @ A`` and ``H = B @ B.T``, and G0 and H0 what is left of them
    when their mean eigenvalue is taken off all ``d`` directions, ``rho = cos(G0, H0)`` has mean 0 and variance
    ``2 / ((d - 1) * (d + 2))`` under the null, so ``z = rho * sqrt((d - 1) * (d + 2) / 2)``.
    Everything comes from the two Grams, in float64.
    """
    n = A.shape[0] * B.shape[1]
    A, B = A.double(), B.double()
    G, H = A.T @ A, B @ B.T
    energy, chance = (G * H).sum(), G.trace() * H.trace() / d
    spread = (G.square().sum() - G.trace() ** 2 / d) * (H.square().sum() - H.trace() ** 2 / d)
    mean = (A.sum(dim=0) @ B.sum(dim=1)) / n
    return Statistics(
        mean=mean.item(),
        std=(energy / n - mean**2).sqrt().item(),
        score=(energy / (chance * d)).sqrt().item(),
        chance=d**-0.5,
        z=((energy - chance) / spread.sqrt()).item() * ((d - 1) * (d + 2) / 2) ** 0.5,
    )


def rotated_reader(
    B: Float[Tensor, "d_model destination"], d: int, seed: int = 0
) -> Float[Tensor, "d_model destination"]:
    """``R @ B`` with R a uniformly random rotation of the ``d`` directions readers see: the spectrum-matched null.

    Singular values, and so every size, stay; which direction is read is left to chance. In a LayerNorm model
    (``d = d_model - 1``) R leaves the all-ones direction alone, as nothing is written or read there.
    """
    R = torch.nn.init.orthogonal_(torch.empty(d, d).double(), generator=torch.Generator().manual_seed(seed))
    seen = torch.eye(B.shape[0]).double()
    if d < len(seen):  # the reflection that swaps e0 and all-ones, less its first column, spans the rest
        normal = torch.full((len(seen),), len(seen) ** -0.5).double() - seen[0]
        seen = (seen - 2 * torch.outer(normal, normal) / (normal @ normal))[:, 1:]
    return (seen @ (R @ (seen.T @ B.double()))).to(B.dtype)


def null_deviation(width: int, write_spread: Tensor, read_spread: Tensor) -> Tensor:
    """Standard deviation of score**2 when a uniformly random rotation of ``width`` dimensions stands between.

    Both spectra stay as they are. The mean is ``1 / width``. A spread is ``sum(s**4) / sum(s**2)**2`` of a
    circuit's singular values: 1 for one direction, ``1 / d_head`` for ``d_head`` equal ones.
    """
    return (2 * (write_spread - 1 / width) * (read_spread - 1 / width) / ((width - 1) * (width + 2))).sqrt()
