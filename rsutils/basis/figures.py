"""Chapter 01 in pictures: coordinates that a rotation moves, and coordinates that training made stand out."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from rsutils.drawing import Figure, bars, lines, scatter
from rsutils.errors import CourseError

SHOWN = 40


def rotation(before: Float[Tensor, "d_model"], after: Float[Tensor, "d_model"], amount: float, moved: float) -> Figure:
    """Every coordinate of one stream vector before and after a turn by ``amount`` of the way.

    ``moved`` is the largest change of a log-probability that came with it.

    Raises:
        CourseError: the two are not vectors of one length, one of them has no coordinates that differ, or
            ``amount`` or ``moved`` is not a number of at least 0.
    """
    _check(before, after)
    if not (0 <= amount < math.inf and 0 <= moved < math.inf):
        raise CourseError(f"expected amount and moved from 0 up, got {amount} and {moved}: compute them anew")
    if before.min() == before.max() or after.min() == after.max():
        raise CourseError("expected coordinates that differ, got a vector of one value: pass a vector of the stream")
    correlation = torch.corrcoef(torch.stack([before.double(), after.double()]))[0, 1]
    # What moves by rounding alone moves by another number on each machine.
    by = "less than 0.001" if moved < 1e-3 else f"up to {moved:.2g}"
    return scatter(
        before,
        after,
        title=f"Turned by {amount:.1f}: coordinates move by up to {(after - before).abs().max():.1f}, "
        f"log-probabilities by {by}",
        x="coordinate before",
        y="the same coordinate, turned",
        alt=f"One point a coordinate of the last token's stream; correlation {correlation:.2f}, "
        f"norms {before.norm():.2f} and {after.norm():.2f}.",
    )


def kurtosis(where: str, own: Float[Tensor, "point"], rotated: Float[Tensor, "point"]) -> Figure:
    """Kurtosis of the embedding and of the stream after each layer, in the model's own basis and in a rotated one.

    ``where`` says of which positions, as the title begins.

    Raises:
        CourseError: the two are not of one length, or there are none.
    """
    _check(own, rotated)
    listed = [", ".join(f"{value:.1f}" for value in values) for values in (own, rotated)]
    return lines(
        {"own basis": own, "rotated": rotated},
        labels=["embedding", *(f"after {layer}" for layer in range(len(own) - 1))],
        title=f"{where}: kurtosis reaches {own.max():.1f} in the model's own basis, {rotated.max():.1f} after a "
        "random rotation",
        x="layer",
        y="kurtosis over coordinates (median)",
        alt=f"Kurtosis by layer; Gaussian coordinates give 3. Own basis: {listed[0]}. Rotated: {listed[1]}.",
    )


def coordinates(where: str, shares: Float[Tensor, "d_model"]) -> Figure:
    """Which share of the squared norm each of the largest coordinates holds; ``where`` begins the title.

    Raises:
        CourseError: there are no shares, or they do not sum to one.
    """
    _check(shares)
    if shares.min() < 0 or abs(shares.sum() - 1) > 1e-3:
        raise CourseError(f"expected shares that sum to one, got {shares.sum():.3g}: divide them by their sum")
    top = int(shares.argmax())
    largest = shares.sort(descending=True).values[:SHOWN]
    return bars(
        largest,
        title=f"{where}: coordinate {top} holds {shares[top]:.1%} of the squared norm "
        f"(an even share is {1 / len(shares):.1%})",
        x="coordinate, largest first",
        y="share of the squared norm",
        alt=f"Bars of the {len(largest)} largest shares; the ten largest sum to {largest[:10].sum():.2f}.",
    )


def _check(*vectors: Tensor) -> None:
    """Raise CourseError unless these are vectors of one length, not empty, of finite floating-point numbers."""
    shapes = [list(vector.shape) for vector in vectors]
    if vectors[0].ndim != 1 or not len(vectors[0]) or any(shape != shapes[0] for shape in shapes):
        raise CourseError(f"expected vectors of one length, got shapes {shapes}: pick one position or layer")
    if not all(vector.is_floating_point() for vector in vectors):
        got = ", ".join(str(vector.dtype) for vector in vectors)
        raise CourseError(f"expected floating-point numbers, got {got}: call float() first")
    if not all(vector.isfinite().all() for vector in vectors):
        raise CourseError("expected finite numbers, got NaN or infinity: see where they were computed")
