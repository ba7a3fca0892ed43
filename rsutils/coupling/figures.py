"""Chapter 04 in pictures: the map of couplings and one source's row, size, rankings and chance, the band, neurons."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float
from plotly.subplots import make_subplots

from rsutils.compare import rank_correlation
from rsutils.coupling.pairs import METRICS, Coupling, Part, by_distance
from rsutils.drawing import POSITIVE_IS_RED, Figure, bars, finish, heatmap, histogram, lines, scatter
from rsutils.errors import CourseError
from rsutils.virtual.products import strongest

WHOLE = ("all", "MLPs only")


def draw_map(found: Coupling, metric: str, beside: Sequence[Coupling] = ()) -> Figure:
    """The matrix of one metric, row = source, column = destination; pairs that do not exist are grey.

    With ``beside``, the colour scale covers those maps too, so that they can be compared by eye.
    """
    best = found.top(metric, 1)[0]
    fig = heatmap(
        found.values[metric],
        title=f"{found.model}: the strongest {metric} coupling is {best['source']} to {best['destination']} "
        f"({best['value']:.3g}{_chance(found, metric)})",
        x="destination (reads)",
        y="source (writes)",
        x_labels=found.destinations,
        y_labels=found.sources,
        unit=f"{metric}: {METRICS[metric]}",
        alt=f"One row for each of {len(found.sources)} sources, one column for each of {len(found.destinations)} "
        f"destinations; {np.isfinite(found.values[metric]).sum()} cells have a value, the others are grey because "
        f"the source writes too late. {_range(found.values[metric])}",
    )
    if beside:
        values = np.concatenate([each.values[metric].ravel() for each in (found, *beside)])
        low, high = np.nanmin(values), np.nanmax(values)
        signed = dict(zmin=-max(-low, high), zmax=max(-low, high), colorscale=POSITIVE_IS_RED)
        fig.data[0].update(signed if low < 0 < high else dict(zmin=low, zmax=high, colorscale="Cividis"))
    return fig


def draw_source(found: Coupling, metric: str, source: str) -> Figure:
    """One row of the map as bars: this source's coupling to everything that reads after it."""
    row = found.values[metric][found.sources.index(source)]
    there = [j for j in range(len(row)) if np.isfinite(row[j])]
    best = max(there, key=lambda j: row[j])
    return bars(
        row[there],
        title=f"{found.model}: the strongest {metric} coupling of {source} is to {found.destinations[best]} "
        f"({row[best]:.3g}{_chance(found, metric)})",
        x="destination (reads)",
        y=f"{metric}: {METRICS[metric]}",
        labels=[found.destinations[j] for j in there],
        alt=f"{len(there)} bars, one for each later destination. {_range(row)}",
    )


def draw(found: Coupling, metric: str, source: str = "all") -> Figure:
    """The whole map, the map of the MLPs alone, or one source's row of it."""
    if source in WHOLE:
        return draw_map(found if source == "all" else found.mlps(), metric)
    return draw_source(found, metric, source)


def draw_sizes(found: Coupling) -> Figure:
    """Is a raw norm more than the sizes of its two factors? One point a pair."""
    there = np.isfinite(found.values["raw"])
    size, raw = found.values["size"][there], found.values["raw"][there]
    fig = scatter(
        size,
        raw,
        title=f"Size alone ranks the pairs with correlation {rank_correlation(size, raw):.2f}",
        x="size: norm of writer x norm of reader",
        y="raw: norm of the product",
        labels=[f"{found.sources[i]} to {found.destinations[j]}" for i, j in np.argwhere(there)],
        alt=f"One point a pair, {len(raw)} points; both axes are logarithmic.",
    )
    # The two ends are as large as the vocabulary and would leave the others one corner.
    return fig.update_xaxes(type="log", dtick="D2").update_yaxes(type="log", dtick="D2")


def draw_rankings(found: Coupling) -> Figure:
    """Do two metrics put the same pairs first? The rank correlation of each with each."""
    metrics = list(found.values)
    alike = {(a, b): rank_correlation(found.values[a], found.values[b]) for a in metrics for b in metrics}
    return heatmap(
        np.array([[alike[a, b] for b in metrics] for a in metrics]),
        title=f"Raw and normalised coupling rank the pairs with correlation {alike['raw', 'normalised']:.2f}",
        x="metric",
        y="metric",
        x_labels=metrics,
        y_labels=metrics,
        unit="rank correlation",
        alt="; ".join(f"{a} and {b} {alike[a, b]:.2f}" for a, b in combinations(metrics, 2)),
    )


def draw_null(found: Coupling, source: str, destination: str, drawn: Float[np.ndarray, " draw"]) -> Figure:
    """One pair's normalised coupling beside what random rotations gave (``coupling.simulate``)."""
    own = found.values["normalised"][found.sources.index(source), found.destinations.index(destination)]
    return histogram(
        {"random rotations": drawn, "this model": [own]},
        title=f"{source} to {destination} has {own:.4f}; chance gives {drawn.mean():.4f}, "
        f"closed form {found.chance:.4f}",
        x="normalised coupling",
        alt=f"{len(drawn)} draws between {drawn.min():.4f} and {drawn.max():.4f}; the model's own value is {own:.4f}.",
        bins=60,
    )


def draw_distance(found: Coupling, metric: str = "normalised") -> Figure:
    """Is there a diagonal band? The mean over pairs of MLPs at each distance, beside chance."""
    means = by_distance(found, metric)
    if len(means) < 2:
        raise CourseError("expected a model of at least three layers: fewer have no pairs of MLPs at two distances")
    near, far = means[1], np.mean([value for distance, value in means.items() if distance > 1])
    series = {"mean over pairs": list(means.values())}
    if metric == "normalised":
        series["chance"] = [found.chance] * len(means)
    return lines(
        series,
        labels=list(means),
        title=f"Neighbouring MLPs have {near / far:.2f} times the {metric} coupling of distant ones",
        x="distance (layers)",
        y=f"{metric}: {METRICS[metric]}",
        alt=f"Mean {metric} coupling of MLP pairs at distances {min(means)} to {max(means)}: {near:.3g} at distance 1, "
        f"{far:.3g} on average beyond" + (f"; a level line at chance, {found.chance:.3g}." if len(series) > 1 else "."),
    )


def draw_two(left: Coupling, right: Coupling, metric: str) -> Figure:
    """Two maps side by side on one colour scale: two checkpoints, two models, two states of the weights."""
    both = make_subplots(cols=2, subplot_titles=[left.model, right.model], horizontal_spacing=0.15)
    for column, (shown, other) in enumerate(((left, right), (right, left)), 1):
        single = draw_map(shown, metric, beside=[other])
        both.add_trace(single.data[0].update(showscale=column == 2), 1, column)
        both.update_xaxes(single.layout.xaxis, tickangle=-45, row=1, col=column)
        both.update_yaxes(single.layout.yaxis, row=1, col=column)
    both.update_layout(plot_bgcolor=single.layout.plot_bgcolor)
    alike = ""
    if left.values[metric].shape == right.values[metric].shape:
        order = rank_correlation(left.values[metric], right.values[metric])
        alike = f"; the two rank their pairs with correlation {order:.2f}"
    peaks = [f"{b['source']} to {b['destination']} ({f.model})" for f in (left, right) for b in f.top(metric, 1)]
    fig = finish(
        both,
        title=f"The strongest {metric} coupling: {', '.join(peaks)}{alike}",
        x="destination (reads)",
        y="source (writes)",
        alt=f"Two maps of {metric} on one scale, left {left.model}, right {right.model}. "
        f"{_range(left.values[metric])} {_range(right.values[metric])}",
        height=480,
    )
    fig.layout.yaxis2.title.text = None  # it would stand in the left map
    return fig


def draw_neurons(source: Part, destination: Part, n: int = 20) -> Figure:
    """Virtual weights between the neurons of two MLPs that hold the ``n`` strongest of them, source neurons as rows."""
    found = strongest(source.weight, destination.weight, n)
    rows, columns = (sorted({pair[axis] for pair in found}) for axis in (0, 1))
    i, j, value, _ = found[0]
    shown = source.weight[rows] @ destination.weight[:, columns]
    return heatmap(
        shown,
        title=f"{source.name} neuron {i} to {destination.name} neuron {j} is the strongest of "
        f"{len(source.weight) * destination.weight.shape[1]:,} virtual weights ({value:.3g})",
        x=f"neuron of {destination.name} (reads)",
        y=f"neuron of {source.name} (writes)",
        x_labels=columns,
        y_labels=rows,
        unit="virtual weight",
        alt=f"The {len(rows)} source and {len(columns)} destination neurons that hold the {n} largest virtual weights. "
        f"{_range(shown.numpy())}",
    )


def _chance(found: Coupling, metric: str) -> str:
    return f"; chance {found.chance:.3g}" if metric == "normalised" else ""


def _range(values: np.ndarray) -> str:
    return f"Values from {np.nanmin(values):.3g} to {np.nanmax(values):.3g}."
