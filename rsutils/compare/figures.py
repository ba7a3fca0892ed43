"""Maps of several models beside each other, at relative depth, and how their values fall with distance."""

from collections.abc import Sequence
from html import escape
from math import ceil

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from rsutils.compare.depth import DepthMap, by_distance, likeness
from rsutils.compare.ranks import rank_correlation
from rsutils.drawing import GAP, INK, POSITIVE_IS_RED, Figure, finish, lines
from rsutils.errors import CourseError


def maps(maps: Sequence[DepthMap], what: str) -> Figure:
    """The maps side by side at relative depth, row = source, on one scale of colours: white is chance.

    Twice chance is as red as half of it is blue. The scale reaches 10% to each side at least, so that the noise of
    a model that has learned nothing looks like nothing.

    Raises:
        CourseError: fewer than two maps, or two of one name.
    """
    _comparable(maps)
    columns, rows = min(3, len(maps)), ceil(len(maps) / 3)
    names = [f"{escape(each.model, quote=False)}, {len(each.values)} layers" for each in maps]
    fig = make_subplots(rows, columns, subplot_titles=names, horizontal_spacing=0.09, vertical_spacing=0.3 / rows)
    for k, each in enumerate(maps):
        cells = each.values.astype(np.float32).astype(object)
        cells[np.isnan(each.values)] = None  # drawn as a gap
        trace = go.Heatmap(
            z=cells,
            x=each.middles,
            y=each.middles,
            coloraxis="coloraxis",
            hovertemplate="source at %{y:.2f}<br>destination at %{x:.2f}<br>%{z:.3f} times chance<extra></extra>",
            hoverongaps=False,
        )
        fig.add_trace(trace, k // columns + 1, k % columns + 1)
    fig.update_xaxes(range=[0, 1], showgrid=False, zeroline=False)
    fig.update_yaxes(range=[1, 0], showgrid=False, zeroline=False)
    fig.update_layout(plot_bgcolor=GAP, coloraxis=_colours(maps))
    fig.update_annotations(font_size=13)
    first, *rest = maps
    fig = finish(
        fig,
        title=f"{what}, in times chance, reaches "
        + ", ".join(f"{each.pairs.max():.2f} in {each.model}" for each in maps)
        + f"; rank correlation with the map of {first.model}: "
        + ", ".join(f"{likeness(first, each)} for {each.model}" for each in rest),
        x="destination, relative depth",
        y="source, relative depth",
        alt=f"{len(maps)} maps on one scale, white at chance, red above it; grey where the source writes too late. "
        + " ".join(map(_in_words, maps)),
        height=360 * rows,
    )
    for k in range(len(maps)):
        if k % columns:  # it would stand in the map on its left
            fig.layout[f"yaxis{k + 1}"].title.text = None
    return fig


def distance(maps: Sequence[DepthMap], what: str) -> Figure:
    """Mean over pairs of layers against the share of the depth that lies between them, a line a model.

    The further apart, the fewer pairs there are: at the largest distance one.

    Raises:
        CourseError: fewer than two maps, or two of one name.
    """
    _comparable(maps)
    means = {each.model: by_distance(each) for each in maps}
    at = sorted({distance for mean in means.values() for distance in mean})
    series = {model: [mean.get(distance, np.nan) for distance in at] for model, mean in means.items()}
    fig = lines(
        series | {"chance": [1.0] * len(at)},
        at=at,
        title=f"{what} against distance, rank correlation: "
        + ", ".join(f"{_trend(each)} in {each.model}" for each in maps),
        x="distance, relative depth",
        y="mean over pairs, times chance",
        alt="A line a model and a level line at chance, 1. "
        + " ".join(
            f"{model}: {mean[min(mean)]:.2f} between neighbours, {mean[max(mean)]:.2f} end to end."
            for model, mean in means.items()
        ),
    )
    fig.update_traces(connectgaps=True)  # each model has distances of its own
    fig.data[-1].update(mode="lines", line=dict(color=INK, dash="dot", width=2))
    return fig


def _comparable(maps: Sequence[DepthMap]) -> None:
    names = [each.model for each in maps]
    if len(names) < 2:
        raise CourseError(f"expected two models or more to compare, got {len(names)}: add another one's map")
    if len(set(names)) < len(names):
        raise CourseError(f"expected models of different names, got {names}: use dataclasses.replace(map, model=...)")


def _colours(maps: Sequence[DepthMap]) -> dict:
    most = max(1.1, *(each.pairs.max() for each in maps), *(1 / each.pairs.min() for each in maps))
    at = (most ** np.linspace(-1, 1, len(POSITIVE_IS_RED)) - 1 / most) / (most - 1 / most)
    scale = [[abs(round(float(place), 6)), colour] for place, colour in zip(at, POSITIVE_IS_RED, strict=True)]
    bar = dict(title=dict(text="times chance", side="right"), thickness=16)
    return dict(colorscale=scale, cmin=1 / most, cmax=most, colorbar=bar)


def _trend(shown: DepthMap) -> str:
    source, destination = np.nonzero(~np.isnan(shown.values))
    if len(source) < 2:
        return "none (one pair)"
    return f"{rank_correlation(destination - source, shown.pairs):.2f} ({len(source)} pairs)"


def _in_words(shown: DepthMap) -> str:
    i, j = np.unravel_index(np.nanargmax(shown.values), shown.values.shape)
    low, high = shown.pairs.min(), shown.pairs.max()
    return (
        f"{shown.model}: {len(shown.pairs)} cells from {low:.2f} to {high:.2f} times chance; "
        f"the strongest leads from depth {shown.middles[i]:.2f} to {shown.middles[j]:.2f}."
    )
