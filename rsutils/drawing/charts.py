"""Plotly figures that say what they show: a finding as title, labelled axes, and words for the unsighted.

Values stay float32 arrays: a saved notebook holds an array in one line, about six bytes a value, where a plain
list takes a line and about thirty bytes for every value.
"""

from collections.abc import Mapping, Sequence
from html import escape, unescape
from math import ceil

import numpy as np
import plotly.graph_objects as go

from rsutils.drawing.axes import Labels, Series, Values, as_array, as_parallel, as_series, log_ticks, places, visible
from rsutils.drawing.colours import COLOURS, FAINT, GAP, INK, MARK, POSITIVE_IS_RED, SERIES
from rsutils.drawing.svg import FONT, text_width, wrap
from rsutils.errors import CourseError

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "x", "star")
FILLS = ("", "/", ".", "x", "-")
ROW_HEIGHT, MOST_LABELS = 19, 36
NARROWEST = 560  # pixels in which everything must fit: a notebook beside its file list on a small screen
TEXT, TITLE = 14, 16  # the two sizes
TOOLBAR, LINE = 41, 21  # pixels: plotly shows its buttons above the baseline of the title's first line

_axis = dict(
    gridcolor=FAINT,
    zerolinecolor=INK,
    linecolor=INK,
    tickcolor=INK,
    ticks="outside",
    automargin=True,
    title=dict(standoff=12, font=dict(size=TEXT)),
)
TEMPLATE = go.layout.Template(
    layout=dict(
        font=dict(size=TEXT, color=INK, family=FONT),
        title=dict(font=dict(size=TITLE), x=0, xref="container", y=1, yref="container", yanchor="top"),
        colorway=SERIES,
        autosize=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin=dict(l=70, r=30, b=60),
        xaxis=_axis,
        yaxis=_axis,
        hoverlabel=dict(font=dict(size=TEXT)),
        legend=dict(orientation="h", x=0, y=1, yanchor="bottom"),
        modebar=dict(
            bgcolor="rgba(0,0,0,0)",
            color=INK,
            activecolor=MARK,
            # A figure is a learner's own: nothing is sent anywhere.
            remove=["sendChartToCloud", "lasso2d", "select2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
        ),
    )
)


class Figure(go.Figure):
    """A plotly figure whose plain-text form is its title and its alt text, so that a notebook read without
    plotly, by a screen reader or by a comparison of outputs, still says what the figure shows."""

    @property
    def words(self) -> str:
        """Title and alt text, one a line."""
        return f"{unescape(self.layout.title.text.replace('<br>', ' '))}\n{self.layout.meta['alt']}"

    def __repr__(self) -> str:
        return self.words

    # IPython would prefer these two, which show the picture without the words.
    _ipython_display_ = None
    _repr_html_ = None


def finish(fig: go.Figure, *, title: str, x: str, y: str, alt: str, height: int = 420) -> Figure:
    """Give any plotly figure the course's look, its title, axis titles and alt text.

    Texts are wrapped to fit 560 pixels. ``height`` is in pixels, without the title. Raises CourseError where a text
    is missing.
    """
    for name, text in dict(title=title, x=x, y=y, alt=alt).items():
        if not isinstance(text, str) or not text.strip():
            raise CourseError(f"expected a text for {name}=, got {text!r}: put it in words")
    titles = wrapped(title, NARROWEST - 24, TITLE)
    top = TOOLBAR + LINE * (titles.count("<br>") + 1) + 18 + 22 * _legend_rows(fig)
    sides = {"x": wrapped(x, NARROWEST - 180), "y": wrapped(y, height - 80)}
    # One construction from a plain layout: updating a figure that exists takes plotly several times as long.
    layout = {key: value for key, value in fig.layout.to_plotly_json().items() if key != "template"}
    for axis in {"xaxis", "yaxis"} | {key for key in layout if key[1:5] == "axis"}:
        layout[axis] = {**layout.get(axis, {}), "title": {"text": sides[axis[0]]}}
    layout |= dict(
        template=TEMPLATE,
        title=dict(text=titles, pad=dict(l=12, t=TOOLBAR)),
        meta=dict(alt=" ".join(alt.split())),
        height=height + top,
        margin=dict(t=top),
    )
    return Figure(fig.data, layout)


def heatmap(
    z: Values,
    *,
    title: str,
    x: str,
    y: str,
    alt: str,
    unit: str,
    x_labels: Labels = None,
    y_labels: Labels = None,
    mark: Mapping[tuple[int, int], str] | None = None,
) -> Figure:
    """Draw a matrix with row 0 on top; NaN cells stay grey.

    ``z`` has shape [y, x]; ``unit`` names the colours; labels name the columns and rows, tokens for example. ``mark``
    rings cells, given as (row, column), and names them. Values of both signs get a diverging scale with zero white
    and positive red, others a sequential one. Raises CourseError for another shape, infinite values, a wrong number
    of labels or a cell that is not there.

    >>> fig = heatmap([[1.0, -2.0], [0.0, 1.0]], title="One cell is negative", x="destination",
    ...               y="source", alt="A 2 by 2 matrix.", unit="weight", mark={(0, 1): "this one"})
    >>> fig.data[0].zmin, fig.data[0].zmax
    (-2.0, 2.0)
    """
    z = as_array(z, 2, "heatmap")
    rows, columns = z.shape
    low, high = float(np.nanmin(z, initial=0)), float(np.nanmax(z, initial=0))
    if low < 0 < high:
        most = max(-low, high)
        scale = dict(zmin=-most, zmax=most, colorscale=POSITIVE_IS_RED)
    else:
        scale = dict(zmin=float(np.nanmin(z)), zmax=float(np.nanmax(z)), colorscale="Cividis")
    if not unit.strip():
        raise CourseError(f"expected a text for unit=, got {unit!r}: say what the colours measure")
    height = int(np.clip(rows * ROW_HEIGHT, 240, 640))
    x_at, x_ticks = places(x_labels, columns, MOST_LABELS)
    y_at, y_ticks = places(y_labels, rows, height // ROW_HEIGHT)
    trace = go.Heatmap(
        # A widget sends a matrix as JSON, which has no NaN; null draws the same gap.
        z=np.where(np.isnan(z), np.array(None), z) if np.isnan(z).any() else z,
        x=x_at,
        y=y_at,
        hovertemplate=f"{escape(y)} %{{y}}<br>{escape(x)} %{{x}}<br>{escape(unit)} %{{z:.4g}}<extra></extra>",
        hoverongaps=False,
        colorbar=dict(title=dict(text=wrapped(unit, height - 60), side="right", font=dict(size=TEXT)), thickness=16),
        **scale,
    )
    bare = dict(showgrid=False, zeroline=False)
    layout = dict(
        plot_bgcolor=GAP,
        xaxis=dict(x_ticks, range=[-0.5, columns - 0.5], **bare),
        yaxis=dict(y_ticks, range=[rows - 0.5, -0.5], **bare),
    )
    traces, notes = [trace], []
    for (row, column), name in _marked(mark, [(i, j) for i in range(rows) for j in range(columns)]):
        at = dict(x=x_at[column], y=y_at[row])
        # A dark ring in a light one is seen on every colour.
        pair = [COLOURS["paper"][0], COLOURS["ink"][0]]
        rings = dict(symbol="circle-open", size=[20, 15], color=pair, line=dict(width=3))
        traces.append(_ring(x=[at["x"]] * 2, y=[at["y"]] * 2, marker=rings))
        right, down = column < columns / 2, row < rows / 2
        notes.append(_note(name, **at, ax=36 if right else -36, ay=36 if down else -36, right=right))
    return finish(
        go.Figure(traces, layout | dict(annotations=notes, showlegend=False)),
        title=title,
        x=x,
        y=y,
        alt=_with_marks(alt, mark),
        height=height + 60,
    )


def lines(
    series: Series, *, title: str, x: str, y: str, alt: str, at: Values | None = None, labels: Labels = None
) -> Figure:
    """Draw one line a series, told apart by colour, dash and marker.

    ``series`` is values of shape [n] or a mapping from names to such; ``at`` gives the x of each value, of shape
    [n], or else ``labels`` its name. Raises CourseError for another shape or a wrong number of labels.
    """
    named, count = as_parallel(series, "lines")
    where: Values
    where, ticks = places(labels, count, MOST_LABELS)
    if at is not None:
        where, ticks = as_array(at, 1, "at"), {}
        if labels is not None or len(where) != count:
            raise CourseError(f"expected {count} places at= or labels, got {len(where)} places and {labels=}: give one")
    traces = []
    for i, (name, values) in enumerate(named):
        line = dict(width=2.5, dash=DASHES[i % len(DASHES)])
        marker = dict(size=7, symbol=SYMBOLS[i % len(SYMBOLS)])
        mode = "lines+markers" if count <= 60 else "lines"
        traces.append(go.Scatter(x=where, y=values, name=name, mode=mode, line=line, marker=marker))
    layout = dict(showlegend=len(traces) > 1, xaxis=ticks)
    return finish(go.Figure(traces, layout), title=title, x=x, y=y, alt=alt)


def bars(
    series: Series,
    *,
    title: str,
    x: str,
    y: str,
    alt: str,
    labels: Labels = None,
    colours: Sequence[str] | None = None,
    mark: Mapping[int, str] | None = None,
) -> Figure:
    """Draw one group of bars a value, series told apart by colour and pattern.

    ``series`` is values of shape [n] or a mapping from names to such, ``labels`` names the n groups. ``colours``
    gives each bar of a single series its own (``component_colours``); ``mark`` rings the end of bars, given by their
    places, and names them. Raises CourseError for another shape, a wrong number of labels or colours, or a place
    that is not there.
    """
    named, count = as_parallel(series, "bars")
    where, ticks = places(labels, count, MOST_LABELS)
    if colours is not None and (len(named) > 1 or len(colours) != count):
        raise CourseError(
            f"expected {count} colours for one series, got {len(colours)} for {len(named)}: give one each"
        )
    fills = [
        {} if i == 0 else dict(pattern=dict(shape=FILLS[i % len(FILLS)], fillmode="replace")) for i in range(len(named))
    ]
    traces = [
        go.Bar(x=where, y=values, name=name, marker=fill) for (name, values), fill in zip(named, fills, strict=True)
    ]
    if colours is not None:
        traces[0].marker.color = list(colours)
    for place, name in _marked(mark, range(count)):
        value = max((values[place] for _, values in named), key=lambda v: -np.inf if np.isnan(v) else abs(v))
        position = "bottom center" if value < 0 else "top center"
        traces.append(_named_ring(where[place], float(value), name, position))
    layout = dict(showlegend=len(named) > 1, xaxis=ticks)
    return finish(go.Figure(traces, layout), title=title, x=x, y=y, alt=_with_marks(alt, mark))


def histogram(series: Series, *, title: str, x: str, y: str = "count", alt: str, bins: int = 40) -> Figure:
    """Draw how often values occur, every series on the same ``bins`` bins.

    ``series`` is values of shape [n] or a mapping from names to such. Only the counts are kept in the figure.
    Raises CourseError for another shape.
    """
    named = as_series(series, "histogram")
    edges = np.histogram_bin_edges(np.concatenate([values for _, values in named]), bins)
    bar = dict(x=(edges[1:] + edges[:-1]) / 2, width=np.diff(edges), opacity=1 if len(named) == 1 else 0.6)
    traces = [go.Bar(y=np.histogram(values, edges)[0], name=name, **bar) for name, values in named]
    layout = dict(showlegend=len(named) > 1, barmode="overlay")
    return finish(go.Figure(traces, layout), title=title, x=x, y=y, alt=alt)


def scatter(
    xs: Values,
    ys: Values,
    *,
    title: str,
    x: str,
    y: str,
    alt: str,
    labels: Labels = None,
    groups: Labels = None,
    mark: Mapping[int, str] | None = None,
) -> Figure:
    """Draw one point for each pair of ``xs`` and ``ys``, both of shape [n].

    ``labels`` are shown on hover; ``groups`` gives each point's group, told apart by colour and symbol; ``mark``
    rings points, given by their places, and names them. Raises CourseError for another shape, a wrong number of
    labels or a point that is not there.
    """
    xs, ys = as_array(xs, 1, "scatter"), as_array(ys, 1, "scatter")
    for name, given in dict(ys=ys, labels=labels, groups=groups).items():
        if given is not None and len(given) != len(xs):
            raise CourseError(f"expected {len(xs)} {name}, got {len(given)}: give one for each of xs")
    groups = [""] * len(xs) if groups is None else list(groups)
    traces = []
    for i, group in enumerate(dict.fromkeys(groups)):
        mine = [j for j, g in enumerate(groups) if g == group]
        text = None if labels is None else [visible(labels[j]) for j in mine]
        marker = dict(size=8, symbol=SYMBOLS[i % len(SYMBOLS)], opacity=0.8)
        traces.append(go.Scatter(x=xs[mine], y=ys[mine], name=visible(group), mode="markers", text=text, marker=marker))
    shown = len(traces) > 1
    for place, name in _marked(mark, range(len(xs))):
        position = "middle right" if xs[place] < (np.nanmin(xs) + np.nanmax(xs)) / 2 else "middle left"
        traces.append(_named_ring(float(xs[place]), float(ys[place]), name, position))
    return finish(go.Figure(traces, dict(showlegend=shown)), title=title, x=x, y=y, alt=_with_marks(alt, mark))


def log_axes(fig: Figure, axes: str) -> Figure:
    """Make axes of a figure logarithmic (``axes`` is ``"x"``, ``"y"`` or ``"xy"``), with round numbers on them.

    Raises CourseError for values of which none is above zero.
    """
    for axis in axes:
        values = np.concatenate([np.asarray(trace[axis], dtype=float) for trace in fig.data])
        values = values[values > 0]
        if not len(values):
            raise CourseError(f"expected values above zero on a logarithmic {axis} axis, got none: draw it linearly")
        ticks = log_ticks(values.min() / 1.3, values.max() * 1.3)
        fig.layout[f"{axis}axis"].update(
            type="log", tickmode="array", tickvals=ticks, ticktext=[f"{tick:,.10g}" for tick in ticks]
        )
    return fig


def wrapped(text: str, room: int, size: int = TEXT) -> str:
    """A text in lines that fit so many pixels, as plotly reads it."""
    return "<br>".join(escape(line, quote=False) for line in wrap(" ".join(text.split()), room, size))


def _legend_rows(fig: go.Figure) -> int:
    """How many rows the legend takes above the plot where there is least room."""
    names = [unescape(trace.name or "") for trace in fig.data if trace.showlegend is not False]
    if not fig.layout.showlegend or not names:
        return 0
    widest = max(text_width(name, TEXT) for name in names) + 50  # the sample of the line, and gaps
    return ceil(len(names) / max(1, (NARROWEST - 100) // widest))


def _marked(mark: Mapping | None, there: Sequence) -> list[tuple]:
    for place in mark or {}:
        if place not in there:
            raise CourseError(f"expected a place to mark from {there[0]} to {there[-1]}, got {place}: count from 0")
    return list((mark or {}).items())


def _with_marks(alt: str, mark: Mapping | None) -> str:
    return f"{alt} Marked: {'; '.join(mark.values())}." if mark and alt.strip() else alt


def _ring(**place) -> go.Scatter:
    return go.Scatter(mode="markers", hoverinfo="skip", showlegend=False, cliponaxis=False, **place)


def _named_ring(x: object, y: float, name: str, position: str) -> go.Scatter:
    ring = _ring(x=[x], y=[y], marker=dict(symbol="circle-open", size=17, color=MARK, line=dict(width=3)))
    text = dict(text=[f"<b>{escape(name, quote=False)}</b>"], textposition=position, textfont=dict(color=MARK))
    return ring.update(mode="markers+text", **text)


def _note(name: str, right: bool, **place) -> dict:
    paper, ink = COLOURS["paper"][0], COLOURS["ink"][0]
    return place | dict(
        text=f"<b>{escape(name, quote=False)}</b>",
        xanchor="left" if right else "right",
        bgcolor=paper,
        bordercolor=ink,
        borderpad=3,
        font=dict(color=ink),
        arrowcolor=ink,
        arrowhead=0,
        standoff=10,
    )
