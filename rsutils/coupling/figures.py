"""Chapter 04 in pictures: the map of pairs and one source's row, size, rankings and chance, the band, neurons."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor

from rsutils.compare import PairScores, ScoredPair, rank_correlation
from rsutils.coupling.pairs import METRICS, Reader, Writer, by_distance, check_one_stream, mlps, nearness, together
from rsutils.coupling.pairs import distance as layers_apart
from rsutils.drawing import POSITIVE_IS_RED, Figure, bars, finish, heatmap, histogram, lines, log_axes, scatter
from rsutils.errors import CourseError
from rsutils.virtual.products import strongest

WHOLE = ("all", "MLPs only")


def map(scores: PairScores, metric: str, beside: Sequence[PairScores] = ()) -> Figure:
    """The matrix of one metric, row = source, column = destination; pairs that do not exist are grey.

    With ``beside``, the colour scale covers those maps too, so that they can be compared by eye.

    Raises:
        CourseError: there is no such metric, or no pair at all.
    """
    values, best = scores.metric(metric), _largest(scores, metric)
    fig = heatmap(
        values,
        title=f"{scores.model}: {metric} is largest from {best.source} to {best.destination} "
        f"({best.value:.3g}{_chance(scores, metric)})",
        x="destination (reads)",
        y="source (writes)",
        x_labels=scores.destinations,
        y_labels=scores.sources,
        unit=_unit(metric),
        alt=f"One row for each of {len(scores.sources)} sources, one column for each of {len(scores.destinations)} "
        f"destinations; {np.isfinite(values).sum()} cells have a value, the others are grey because "
        f"the source writes too late. {_range(values)}",
    )
    if beside:
        together = np.concatenate([each.metric(metric).ravel() for each in (scores, *beside)])
        low, high = np.nanmin(together), np.nanmax(together)
        signed = dict(zmin=-max(-low, high), zmax=max(-low, high), colorscale=POSITIVE_IS_RED)
        fig.data[0].update(signed if low < 0 < high else dict(zmin=low, zmax=high, colorscale="Cividis"))
    return fig


def row(scores: PairScores, metric: str, source: str) -> Figure:
    """One row of the map as bars: this source to everything that reads after it.

    Raises:
        CourseError: there is no such source or metric, or nothing reads after the source.
    """
    own = scores.among([source], scores.destinations)
    best, values = _largest(own, metric), own.metric(metric)[0]
    there = [j for j in range(len(values)) if np.isfinite(values[j])]
    return bars(
        values[there],
        title=f"{scores.model}: {metric} of {source} is largest to {best.destination} "
        f"({best.value:.3g}{_chance(scores, metric)})",
        x="destination (reads)",
        y=_unit(metric),
        labels=[scores.destinations[j] for j in there],
        alt=f"{len(there)} bars, one for each later destination. {_range(values)}",
    )


def pairs(scores: PairScores, metric: str, source: str = "all") -> Figure:
    """The whole map, the map of the MLPs alone, or one source's row of it; see ``map`` and ``row``."""
    if source in WHOLE:
        return map(scores if source == "all" else mlps(scores), metric)
    return row(scores, metric, source)


def sizes(scores: PairScores) -> Figure:
    """Is a norm more than the sizes of its two factors? One point a pair.

    Raises:
        CourseError: these scores have no sizes.
    """
    size, norm = scores.metric("size")[scores.there], scores.norm[scores.there]
    fig = scatter(
        size,
        norm,
        title=f"Size and norm rank the pairs with correlation {rank_correlation(size, norm):.2f}",
        x="size: norm of writer x norm of reader",
        y="norm of the product",
        labels=[f"{scores.sources[i]} to {scores.destinations[j]}" for i, j in np.argwhere(scores.there)],
        alt=f"One point a pair, {len(norm)} points; both axes are logarithmic.",
    )
    # The two ends are as large as the vocabulary and would leave the others one corner.
    return log_axes(fig, "xy")


def rankings(scores: PairScores) -> Figure:
    """Do two metrics put the same pairs first? The rank correlation of each with each."""
    values = {name: scores.metric(name) for name in scores.metrics}
    alike = {(a, b): rank_correlation(values[a], values[b]) for a in values for b in values}
    return heatmap(
        np.array([[alike[a, b] for b in values] for a in values]),
        title=f"Norm and score rank the pairs with correlation {alike['norm', 'score']:.2f}",
        x="metric",
        y="metric",
        x_labels=list(values),
        y_labels=list(values),
        unit="rank correlation",
        alt="; ".join(f"{a} and {b} {alike[a, b]:.2f}" for a, b in combinations(values, 2)),
    )


def null(scores: PairScores, source: str, destination: str, drawn: Float[Tensor, " draw"]) -> Figure:
    """One pair's score beside what random rotations gave (``compare.null_scores``).

    Raises:
        CourseError: there is no such pair, or nothing was drawn.
    """
    own = scores.score[scores.place(source, destination)]
    if not drawn.numel() or not drawn.isfinite().all():
        raise CourseError("expected finite scores of random rotations, got none or others: draw compare.null_scores")
    return histogram(
        {"random rotations": drawn, "this model": [own]},
        title=f"{source} to {destination} has {own:.4f}; chance gives {drawn.mean():.4f}, "
        f"closed form {scores.chance:.4f}",
        x="score",
        alt=f"{len(drawn)} draws between {drawn.min():.4f} and {drawn.max():.4f}; the model's own value is {own:.4f}.",
        bins=60,
    )


def controls(scores: PairScores, controls: PairScores, metric: str = "score") -> Figure:
    """Do MLPs that can communicate share more than those that cannot? One point a pair, by the layers between.

    Right of zero the writer comes first. At zero an MLP meets itself, left of it the writer comes later: nothing
    that it writes reaches the reader (``pairs.controls``).

    Raises:
        CourseError: there is no such metric, no pair that can communicate, or the controls are not of these scores.
    """
    _largest(mlps(scores), metric)
    values, can = together(scores, controls, metric)
    apart = np.where(can, layers_apart(scores), layers_apart(controls))
    groups = np.select([can, apart == 0], ["can communicate", "cannot: itself"], "cannot: later")
    order = np.argsort(~can, axis=None, kind="stable")  # the groups in one order, and so in the same colours
    names = [f"{source} to {destination}" for source in controls.sources for destination in controls.destinations]
    medians = {kind: np.nanmedian(values[which]) for kind, which in (("can", can), ("cannot", ~can))}
    return scatter(
        apart.ravel()[order],
        values.ravel()[order],
        title=f"{scores.model}: MLPs that can communicate have a median {metric} of {medians['can']:.3g}, "
        f"those that cannot {medians['cannot']:.3g}{_chance(scores, metric)}",
        x="layers from writer to reader (0 and below: it cannot communicate)",
        y=_unit(metric),
        labels=[names[i] for i in order],
        groups=groups.ravel()[order].tolist(),
        alt=f"One point a pair, {can.sum()} that can communicate and {(~can).sum()} that cannot. "
        f"They can: {_range(values[can])} They cannot: {_range(values[~can])}",
    )


def distance(scores: PairScores, controls: PairScores, metric: str = "score") -> Figure:
    """Is there a diagonal band? The mean over pairs of MLPs at each distance, beside chance and beside the controls.

    Raises:
        CourseError: there is no such metric, no pairs of MLPs at two distances, or the controls are not of these
            scores.
    """
    means = by_distance(scores, metric)
    if len(means) < 2:
        raise CourseError(
            f"expected pairs of MLPs at two distances or more, got {len(means)}: choose a model of three layers or more"
        )
    together(scores, controls, metric)
    backwards = by_distance(controls, metric)
    series = {
        "can communicate": list(means.values()),
        "cannot: the writer is later": [backwards[-apart] for apart in means],
    }
    if metric == "score":
        series["chance"] = [scores.chance] * len(means)
    near, back = (
        nearness(of.metric(metric), sign * layers_apart(of)) for of, sign in ((mlps(scores), 1), (controls, -1))
    )
    return lines(
        series,
        labels=list(means),
        title=f"Neighbouring MLPs have {near:.2f} times the {metric} of distant ones; where the writer is later and "
        f"nothing can be sent, {back:.2f} times",
        x="distance (layers)",
        y=_unit(metric),
        alt=f"Mean {metric} of MLP pairs by distance: "
        + "; ".join(f"{apart} {means[apart]:.3g}, backwards {backwards[-apart]:.3g}" for apart in means)
        + (f"; a level line at chance, {scores.chance:.3g}." if metric == "score" else "."),
    )


def two(left: PairScores, right: PairScores, metric: str) -> Figure:
    """Two maps side by side on one colour scale: two checkpoints, two models, two states of the weights."""
    both = make_subplots(cols=2, subplot_titles=[left.model, right.model], horizontal_spacing=0.15)
    for column, (shown, other) in enumerate(((left, right), (right, left)), 1):
        single = map(shown, metric, beside=[other])
        both.add_trace(single.data[0].update(showscale=column == 2), 1, column)
        both.update_xaxes(single.layout.xaxis, tickangle=-45, row=1, col=column)
        both.update_yaxes(single.layout.yaxis, row=1, col=column)
    both.update_layout(plot_bgcolor=single.layout.plot_bgcolor)
    alike = ""
    if left.metric(metric).shape == right.metric(metric).shape:
        order = rank_correlation(left.metric(metric), right.metric(metric))
        alike = f"; the two rank their pairs with correlation {order:.2f}"
    peaks = [f"{best.source} to {best.destination} ({s.model})" for s in (left, right) for best in s.top(metric, 1)]
    fig = finish(
        both,
        title=f"The largest {metric}: {', '.join(peaks)}{alike}",
        x="destination (reads)",
        y="source (writes)",
        alt=f"Two maps of {metric} on one scale, left {left.model}, right {right.model}. "
        f"{_range(left.metric(metric))} {_range(right.metric(metric))}",
        height=480,
    )
    fig.layout.yaxis2.title.text = None  # it would stand in the left map
    return fig


def neurons(writer: Writer, reader: Reader, n: int = 20) -> Figure:
    """Virtual weights between the neurons of two MLPs that hold the ``n`` strongest of them, source neurons as rows.

    Raises:
        CourseError: the reader does not come later, the two are not of one stream, or ``n`` is below one.
    """
    if writer.layer >= reader.layer:
        raise CourseError(f"expected a reader later than {writer.name}, got {reader.name}: choose a later one")
    if n < 1:
        raise CourseError(f"expected one virtual weight or more, got n={n}: use 20")
    check_one_stream([writer], [reader])
    best = strongest(writer.weight, reader.weight, n)
    rows, columns = sorted({pair.source for pair in best}), sorted({pair.destination for pair in best})
    shown = writer.weight[rows] @ reader.weight[:, columns]
    return heatmap(
        shown,
        title=f"{writer.name} neuron {best[0].source} to {reader.name} neuron {best[0].destination} is the strongest "
        f"of {len(writer.weight) * reader.weight.shape[1]:,} virtual weights ({best[0].weight:.3g})",
        x=f"neuron of {reader.name} (reads)",
        y=f"neuron of {writer.name} (writes)",
        x_labels=columns,
        y_labels=rows,
        unit="virtual weight",
        alt=f"The {len(rows)} source and {len(columns)} destination neurons that hold the {n} largest virtual weights. "
        f"{_range(shown.numpy())}",
    )


def _largest(scores: PairScores, metric: str) -> ScoredPair:
    best = scores.top(metric, 1)
    if not best:
        raise CourseError("expected a writer before a reader, got no such pair: choose a model or a source with one")
    return best[0]


def _unit(metric: str) -> str:
    return f"{metric}: {METRICS[metric]}" if metric in METRICS else metric


def _chance(scores: PairScores, metric: str) -> str:
    return f"; chance {scores.chance:.3g}" if metric == "score" else ""


def _range(values: np.ndarray) -> str:
    return f"Values from {np.nanmin(values):.3g} to {np.nanmax(values):.3g}."
