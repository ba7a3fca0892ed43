"""Chapter 03 in pictures: what a removed MLP changes, how connected neurons are, and which pairs beat chance."""

import re
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rsutils.drawing import Figure, bars, component_colours, heatmap, histogram, lines
from rsutils.errors import CourseError
from rsutils.models import check_index
from rsutils.virtual.ledger import Driver, Ledger, Neuron
from rsutils.virtual.products import Connected
from rsutils.virtual.weights import Component, component_name


def removal(
    source: Component,
    destinations: Sequence[int],
    error: Float[Tensor, "destination text"],
    cosine: Float[Tensor, "destination text"],
) -> Figure:
    """What a ledger cannot say of a source that is removed: medians over texts, one point a later MLP.

    ``error`` is how far the ledger's term, with its frozen scale, is from the direct effect, as a fraction of
    the term; ``cosine`` is that of the direct and the total effect (``patching.path_patching``), one column a text.
    Bars hold the middle 80% of the texts.
    """
    if not len(destinations) == len(error) == len(cosine) > 0 or not error.numel() == cosine.numel() > 0:
        raise CourseError(
            f"expected a row of errors and one of cosines for each later MLP, got {len(destinations)} MLPs, "
            f"{list(error.shape)} and {list(cosine.shape)}: measure each destination on the same texts"
        )
    if not (error.isfinite() & cosine.isfinite()).all():
        raise CourseError("expected finite errors and cosines, got others: look for where the weights were changed")
    low, e, high = error.double().quantile(torch.tensor([0.1, 0.5, 0.9]).double(), dim=1)
    least, c, most = cosine.double().quantile(torch.tensor([0.1, 0.5, 0.9]).double(), dim=1)
    fig = lines(
        {"error of the frozen scale": e, "cosine of direct and total effect": c},
        title=f"{component_name(source)} into later MLPs, medians of {error.shape[1]} texts: the frozen scale is off "
        f"by {e.min():.0%} to {e.max():.0%}, direct and total effect have cosines from {c.min():.2f} to {c.max():.2f}",
        x="destination layer",
        y="fraction, cosine",
        labels=list(destinations),
        alt="; ".join(
            f"MLP {j}: error {e[k]:.2f} ({low[k]:.2f} to {high[k]:.2f} in the middle 80% of the texts), "
            f"cosine {c[k]:.2f} ({least[k]:.2f} to {most[k]:.2f})"
            for k, j in enumerate(destinations)
        ),
    )
    for line, middle, (bottom, top) in zip(fig.data, (e, c), ((low, high), (least, most)), strict=True):
        line.error_y = dict(array=top - middle, arrayminus=middle - bottom, thickness=1.5)
    return fig


def connections(
    source: Component,
    destination: Component,
    by_source: Float[Tensor, " source"],
    by_destination: Float[Tensor, " destination"],
) -> Figure:
    """How many neurons of each side are how connected: the two norms of ``virtual.connections``."""
    for norms in (by_source, by_destination):
        if not len(norms) or not norms.isfinite().all() or not norms.median() > 0:
            raise CourseError(
                f"expected finite norms with a median above 0, got {norms.tolist()[:5]}: take those of "
                "virtual.connections()"
            )
    rows, columns = (norms.max() / norms.median() for norms in (by_source, by_destination))
    return histogram(
        {
            f"source: rows, {component_name(source)}": by_source,
            f"destination: columns, {component_name(destination)}": by_destination,
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
    if not shares or not 0 < most < float("inf") or len(beyond) != 2:
        raise CourseError(
            f"expected curves, a positive most= and two shares beyond, got {len(shares)} curves, {most} and "
            f"{beyond.tolist()}: hand over the model's first and the null's second"
        )
    bins = len(next(iter(shares.values())))
    model, null = beyond.tolist()
    return lines(
        {label: share.log10().clamp(min=-7) for label, share in shares.items()},
        at=(torch.arange(bins) + 0.5) * (2 * most / bins) - most,
        title=f"{model:.2%} of the pairs are more than three times as aligned as chance; with random directions "
        f"{null:.2%}",
        x="cosine of a pair, in units of chance 1/√d (outer bins: everything beyond)",
        y="share of pairs in the bin (log10, empty bins at −7)",
        alt=f"{len(shares)} curves over the cosine. Beyond three times chance: {model:.2%} of the model's pairs, "
        f"{null:.2%} of the null's.",
    )


def most_connected(source: Component, destination: Component, found: Connected) -> Figure:
    """Heatmap of V between the most connected neurons of each side (``virtual.most_connected``), by their numbers."""
    V, rows, columns = found.weights, found.rows, found.columns
    i, j = divmod(int(V.abs().argmax()), V.shape[1])
    writer, reader = component_name(source), component_name(destination)
    fig = heatmap(
        V,
        title=f"{writer} → {reader}: the strongest weight here, {V[i, j]:+.3g}, leads from neuron {rows[i]} to neuron "
        f"{columns[j]}",
        x=f"destination neuron in {reader} (most connected first)",
        y=f"source neuron in {writer} (most connected first)",
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
    if not trace.zmin < 0 < trace.zmax:  # one sign: a scale from dark to bright
        return f"The darkest cells stand for {trace.zmin:+.3g}, the brightest for {trace.zmax:+.3g}."
    ends = {}
    for end, value in ((0, trace.zmin), (-1, trace.zmax)):
        red, _, blue = (int(c) for c in re.findall(r"\d+", trace.colorscale[end][1]))
        ends["red" if red > blue else "blue"] = value
    return f"The reddest cells stand for {ends['red']:+.3g}, the bluest for {ends['blue']:+.3g}."


def ledger(found: Ledger, neuron: Neuron, tokens: list[str], position: int) -> Figure:
    """Bars: the terms of one neuron's pre-activation at one token, bias included; see ``virtual.neuron_ledger``."""
    at = check_index("position", position, len(tokens))
    here, total = found.terms[:, at], found.pre[at].item()
    most = int(here.abs().argmax())
    return bars(
        here,
        labels=found.labels,
        colours=component_colours(found.labels),
        title=f"{neuron} at {_token(tokens, at)}: {len(here)} terms sum to the pre-activation {total:+.2f}; the "
        f"largest is {found.labels[most]} with {here[most]:+.2f}",
        x="component that wrote the term",
        y="term of the pre-activation",
        alt="; ".join(f"{label} {term:+.2f}" for label, term in zip(found.labels, here.tolist(), strict=True)) + ".",
    )


def drivers(found: list[Driver], neuron: Neuron, tokens: list[str], position: int) -> Figure:
    """Bars: the earlier neurons with the largest terms in one neuron's pre-activation; see ``virtual.drivers``."""
    if not found:
        raise CourseError("expected at least one driver, got none: ask virtual.drivers() for them")
    at = check_index("position", position, len(tokens))
    names = [f"{driver.source.layer}.{driver.source.index}" for driver in found]
    shown = sum(driver.term for driver in found)
    each = zip(names, found, strict=True)
    return bars(
        torch.tensor([driver.term for driver in found]),
        labels=names,
        title=f"{neuron} at {_token(tokens, at)}: neuron {names[0]} gives {found[0].term:+.3g}, "
        f"these {len(found)} together {shown:+.3g}",
        x="earlier neuron (layer.neuron), strongest first",
        y="term of the pre-activation",
        alt="; ".join(f"{name}: {d.activation:.2f} active, weight {d.weight:+.3g}" for name, d in each) + ".",
    )


def _token(tokens: list[str], at: int) -> str:
    return f"{tokens[at]!r} (token {at})"
