"""Chapter 04 the plain way: the products and the rotations that the closed forms of ``coupling.pairs`` stand for."""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float, Float64

from rsutils.coupling.pairs import Part, gram


def simulate(source: Part, destination: Part, dimensions: int, n: int = 50, seed: int = 0) -> Float[np.ndarray, " n"]:
    """Normalised coupling of one pair in ``n`` draws of the null: a random rotation stands between the two.

    Both keep their singular values. With ``dimensions = d_model - 1`` the rotation leaves all-ones where it is.
    """
    A, B = torch.from_numpy(gram(source.weight.T)), torch.from_numpy(gram(destination.weight))
    d_model = len(A)
    ones_first = torch.eye(d_model)
    ones_first[:, 0] = 1.0
    kept = torch.linalg.qr(ones_first).Q[:, d_model - dimensions :] if dimensions < d_model else torch.eye(d_model)
    A, B = kept.T @ A @ kept, kept.T @ B @ kept
    generator, R = torch.Generator().manual_seed(seed), torch.empty(dimensions, dimensions)
    squares = []
    for _ in range(n):
        torch.nn.init.orthogonal_(R, generator=generator)
        squares.append((A * (R @ B @ R.T)).sum() / (A.trace() * B.trace()))
    return torch.stack(squares).sqrt().numpy()


def by_products(sources: Iterable[Part], destinations: list[Part]) -> Float64[np.ndarray, "source destination"]:
    """The raw coupling the plain way: one product ``[rows, columns]`` a pair, and its norm. NaN where there is none."""
    return np.array(
        [
            [torch.linalg.norm(s.weight @ d.weight).item() if s.layer < d.layer else np.nan for d in destinations]
            for s in sources
        ]
    )
