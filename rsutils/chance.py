"""Chapter 03: how strong virtual weights would be by chance, and how far a model's own are from that."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from rsutils.products import row_blocks


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
    puts a uniformly random rotation of ``d`` directions (``weights.directions(model)``) between them: then
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
