"""Chapter 03 in pictures: what a removed MLP changes, how connected neurons are, and which pairs beat chance."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rsutils.figures import Figure, histogram, lines
from rsutils.virtual import Component, name


def removal(
    source: Component,
    destinations: Sequence[int],
    error: Float[Tensor, " destination"],
    cosine: Float[Tensor, " destination"],
) -> Figure:
    """What a ledger cannot say of a source that is removed, one point a later MLP.

    ``error`` is how far the ledger's term, with its frozen scale, is from the direct effect, as a fraction of
    the term; ``cosine`` is that of the direct and the total effect. See ``effects.effect``.
    """
    each = zip(destinations, error, cosine, strict=True)
    return lines(
        {"error of the frozen scale": error, "cosine of direct and total effect": cosine},
        title=f"{name(source)} into later MLPs: the frozen scale is off by {error.min():.0%} to {error.max():.0%}, "
        f"direct and total effect have cosines from {cosine.min():.2f} to {cosine.max():.2f}",
        x="destination layer",
        y="fraction, cosine",
        labels=list(destinations),
        alt="; ".join(f"MLP {j}: error {e:.2f}, cosine {c:.2f}" for j, e, c in each),
    )


def connections(
    source: Component,
    destination: Component,
    by_source: Float[Tensor, " source"],
    by_destination: Float[Tensor, " destination"],
) -> Figure:
    """How many neurons of each side are how connected: the two norms of ``virtual.connections``."""
    rows, columns = (norms.max() / norms.median() for norms in (by_source, by_destination))
    return histogram(
        {
            f"source: rows, {name(source)}": by_source,
            f"destination: columns, {name(destination)}": by_destination,
        },
        title=f"The most connected source neuron has {rows:.1f} times the median connection, the most connected "
        f"destination {columns:.1f} times",
        x="norm of a neuron's row or column of V",
        y="neurons",
        alt=f"Source neurons from {by_source.min():.2f} to {by_source.max():.2f}, destinations from "
        f"{by_destination.min():.2f} to {by_destination.max():.2f}.",
    )


def cosines(shares: dict[str, Float[Tensor, " bins"]], most: float, beyond: Float[Tensor, "2"]) -> Figure:
    """Which share of the pairs of neurons has which cosine, in the model (first of ``shares``) and in its null.

    The bins run from ``-most`` to ``most``, in units of chance (``chance.cosine_counts``); ``beyond`` is the
    share of pairs beyond three times chance in the model and in the null (``chance.share_beyond``).
    """
    bins = len(next(iter(shares.values())))
    model, null = beyond.tolist()
    return lines(
        {label: share.log10().clamp(min=-7) for label, share in shares.items()},
        at=(torch.arange(bins) + 0.5) * (2 * most / bins) - most,
        title=f"{model:.2%} of the pairs are more than three times as aligned as chance; with random directions "
        f"{null:.2%}",
        x="cosine of a pair, in units of chance 1/√d (outer bins: everything beyond)",
        y="share of pairs in the bin (log10, empty bins at −7)",
        alt=f"Two curves over the cosine. Beyond three times chance: {model:.2%} of the model's pairs, {null:.2%} of "
        "the null's.",
    )
