"""Chapter 01 in pictures: coordinates that a rotation moves, and coordinates that training made stand out."""

import torch
from jaxtyping import Float
from torch import Tensor

from rsutils.drawing import Figure, bars, lines, scatter

SHOWN = 40


def turned(before: Float[Tensor, "d_model"], after: Float[Tensor, "d_model"], amount: float, moved: float) -> Figure:
    """Every coordinate of one stream vector before and after a turn by ``amount`` of the way.

    ``moved`` is the largest change of a log-probability that came with it.
    """
    correlation = torch.corrcoef(torch.stack([before, after]))[0, 1]
    return scatter(
        before,
        after,
        title=f"Turned by {amount:.1f}: coordinates move by up to {(after - before).abs().max():.1f}, "
        f"log-probabilities by less than 0.001: {moved < 1e-3}",
        x="coordinate before",
        y="the same coordinate, turned",
        alt=f"One point a coordinate of the last token's stream; correlation {correlation:.2f}, "
        f"norms {before.norm():.2f} and {after.norm():.2f}.",
    )


def kurtosis(where: str, own: Float[Tensor, "point"], rotated: Float[Tensor, "point"]) -> Figure:
    """Kurtosis of the embedding and of the stream after each layer, in the model's own basis and in a rotated one.

    ``where`` says of which positions, as the title begins.
    """
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
    """Which share of the squared norm each of the largest coordinates holds; ``where`` begins the title."""
    top = shares.argmax().item()
    largest = shares.sort(descending=True).values[:SHOWN]
    return bars(
        largest,
        title=f"{where}: coordinate {top} holds {shares[top]:.1%} of the squared norm "
        f"(an even share is {1 / len(shares):.1%})",
        x="coordinate, largest first",
        y="share of the squared norm",
        alt=f"Bars of the {len(largest)} largest shares; the ten largest sum to {largest[:10].sum():.2f}.",
    )
