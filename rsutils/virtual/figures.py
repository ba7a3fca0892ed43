"""Chapter 03 in pictures: what a removed MLP changes, how connected neurons are, and which pairs beat chance."""

import re
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.drawing import Figure, bars, heatmap, histogram, lines
from rsutils.errors import CourseError
from rsutils.models import tokens
from rsutils.virtual.ledger import drivers, neuron_ledger, record
from rsutils.virtual.weights import Component, factors, name, virtual_weights
from rsutils.virtual.weights import connections as connections_of


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

    The bins run from ``-most`` to ``most``, in units of chance (``products.cosine_counts``); ``beyond`` is the
    share of pairs beyond three times chance in the model and in the null (``products.share_beyond``).
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


def draw_most_connected(
    model: TransformerBridge, source: Component, destination: Component, reader: str = "in", k: int = 100
) -> Figure:
    """Heatmap of V for the ``k`` most connected neurons of each side, most connected first, each by its own number."""
    A, B = factors(model, source, destination, reader)
    rows, columns = (norms.topk(min(k, len(norms))).indices.tolist() for norms in connections_of(A, B))
    V = virtual_weights(model, source, destination, reader=reader, rows=rows, columns=columns)
    i, j = divmod(V.abs().argmax().item(), V.shape[1])
    fig = heatmap(
        V,
        title=f"{name(source)} → {name(destination)}: the strongest weight here, {V[i, j]:+.3g}, leads from neuron "
        f"{rows[i]} to neuron {columns[j]}",
        x=f"destination neuron in {name(destination)} (most connected first)",
        y=f"source neuron in {name(source)} (most connected first)",
        alt=f"{V.shape[0]} by {V.shape[1]} virtual weights, from {V.min():.3g} to {V.max():.3g}; "
        f"{(V > 0).float().mean():.0%} are positive.",
        unit="virtual weight",
        x_labels=columns,
        y_labels=rows,
    )
    fig.layout.meta["alt"] += f" {colour_meaning(fig)}"
    return fig


def colour_meaning(fig: Figure) -> str:
    """What the two ends of a heatmap's colours stand for, read off the figure's own data."""
    trace = fig.data[0]
    ends = {}
    for end, value in ((0, trace.zmin), (-1, trace.zmax)):
        red, _, blue = (int(c) for c in re.findall(r"\d+", trace.colorscale[end][1]))
        ends["red" if red > blue else "blue"] = value
    return f"The reddest cells stand for {ends['red']:+.3g}, the bluest for {ends['blue']:+.3g}."


def draw_ledger(
    model: TransformerBridge, text: str, layer: int, neuron: int, position: int, reader: str = "in"
) -> Figure:
    """Bars: the terms of one neuron's pre-activation at one token of ``text``, bias included."""
    labels, terms, pre = neuron_ledger(model, record(model, text), layer, neuron, reader)
    at = _position(model, text, position)
    here, total = terms[:, at], pre[at].item()
    most = here.abs().argmax().item()
    return bars(
        here,
        labels=labels,
        title=f"MLP {layer} neuron {neuron} at {_token(model, text, at)}: {len(here)} terms sum to the pre-activation "
        f"{total:+.2f}; the largest is {labels[most]} with {here[most]:+.2f}",
        x="component that wrote the term",
        y="term of the pre-activation",
        alt="; ".join(f"{label} {term:+.2f}" for label, term in zip(labels, here.tolist(), strict=True)) + ".",
    )


def draw_drivers(
    model: TransformerBridge, text: str, layer: int, neuron: int, position: int, k: int = 10, reader: str = "in"
) -> Figure:
    """Bars: the earlier neurons with the largest terms in one neuron's pre-activation at one token of ``text``."""
    at = _position(model, text, position)
    found = drivers(model, record(model, text), layer, neuron, at, k, reader)
    shown = sum(driver.term for driver in found)
    return bars(
        torch.tensor([driver.term for driver in found]),
        labels=[f"{driver.layer}.{driver.neuron}" for driver in found],
        title=f"MLP {layer} neuron {neuron} at {_token(model, text, at)}: neuron {found[0].layer}.{found[0].neuron} "
        f"gives {found[0].term:+.3g}, these {len(found)} together {shown:+.3g}",
        x="earlier neuron (layer.neuron), strongest first",
        y="term of the pre-activation",
        alt="; ".join(f"{d.layer}.{d.neuron}: {d.activation:.2f} active, weight {d.weight:+.3g}" for d in found) + ".",
    )


def _position(model, text: str, position: int) -> int:
    count = tokens(model, text).shape[1]
    if not -count <= position < count:
        raise CourseError(f"this text has {count} tokens: choose a position below {count}, got {position}")
    return position % count


def _token(model, text: str, position: int) -> str:
    return f"{model.to_str_tokens(tokens(model, text))[position]!r} (token {position})"
