"""What directions that have nothing to do with each other would give: the null of every comparison of weights."""

import torch
from jaxtyping import Float
from torch import Tensor

from rsutils.errors import CourseError


def rotated_reader(
    B: Float[Tensor, "d_model destination"], n_directions: int, seed: int = 0
) -> Float[Tensor, "d_model destination"]:
    """``R @ B`` with R a uniformly random rotation of the directions that readers see: the spectrum-matched null.

    Singular values, and so every size, stay; which direction is read is left to chance. In a LayerNorm model
    (``n_directions = d_model - 1``) R leaves the all-ones direction alone, as nothing is written or read there.

    Raises:
        CourseError: ``n_directions`` is neither ``d_model`` nor one fewer.
    """
    d_model, d = B.shape[0], n_directions
    if not max(1, d_model - 1) <= d <= d_model:
        raise CourseError(
            f"expected n_directions of {d_model} or one fewer, the width of this reader, got {d!r}: take "
            "rsutils.models.n_directions(model)"
        )
    R = torch.nn.init.orthogonal_(torch.empty(d, d).double(), generator=torch.Generator().manual_seed(seed))
    seen = torch.eye(d_model).double()
    if d < d_model:  # the reflection that swaps e0 and all-ones, less its first column, spans the rest
        normal = torch.full((d_model,), d_model**-0.5).double() - seen[0]
        seen = (seen - 2 * torch.outer(normal, normal) / (normal @ normal))[:, 1:]
    return (seen @ (R @ (seen.T @ B.double()))).to(B.dtype)


def null_deviation(width: int, write_spread: Tensor, read_spread: Tensor) -> Tensor:
    """Standard deviation of score**2 when a uniformly random rotation of ``width`` dimensions stands between.

    Both spectra stay as they are. The mean is ``1 / width``. A spread is ``sum(s**4) / sum(s**2)**2`` of a
    circuit's singular values: 1 for one direction, ``1 / d_head`` for ``d_head`` equal ones.
    """
    return (2 * (write_spread - 1 / width) * (read_spread - 1 / width) / ((width - 1) * (width + 2))).sqrt()
