"""Plotly figures that say what they show: a finding as title, labelled axes, and words for the unsighted.

Values stay float32 arrays: a saved notebook holds an array in one line, about six bytes a value, where a plain
list takes a line and about thirty bytes for every value.
"""

from html import escape, unescape
from textwrap import wrap

import numpy as np
import plotly.graph_objects as go
from plotly.colors import diverging

from rsutils.drawing.axes import Labels, Series, Values, as_array, as_parallel, as_series, places, visible
from rsutils.errors import CourseError

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "x", "star")
POSITIVE_IS_RED = diverging.RdBu[::-1]
ROW_HEIGHT, MOST_LABELS = 19, 36

_axis = dict(
    gridcolor="#e5e5e5",
    zerolinecolor="#999999",
    linecolor="#999999",
    ticks="outside",
    automargin=True,
    title_standoff=12,
)
TEMPLATE = go.layout.Template(
    layout=dict(
        font=dict(size=14, color="#1a1a1a"),
        title=dict(font=dict(size=17), x=0, xref="container", y=1, yref="container", yanchor="top"),
        colorway=OKABE_ITO,
        autosize=True,
        paper_bgcolor="white",
        plot_bgcolor="white",
        margin=dict(l=70, r=30, b=60),
        xaxis=_axis,
        yaxis=_axis,
        hoverlabel=dict(font=dict(size=14)),
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

    `height` is in pixels, without the title. Raises CourseError where a text is missing.
    """
    for name, text in dict(title=title, x=x, y=y, alt=alt).items():
        if not isinstance(text, str) or not text.strip():
            raise CourseError(f"Expected a text for {name}=, got {text!r}: put it in words.")
    wrapped = wrap(escape(title, quote=False), 72, break_on_hyphens=False)
    top = 48 + 22 * len(wrapped)
    # One construction from a plain layout: updating a figure that exists takes plotly several times as long.
    layout = {key: value for key, value in fig.layout.to_plotly_json().items() if key != "template"}
    for axis in {"xaxis", "yaxis"} | {key for key in layout if key[1:5] == "axis"}:
        layout[axis] = {
            **layout.get(axis, {}),
            "title": {"text": escape(x if axis[0] == "x" else y, quote=False)},
        }
    layout |= dict(
        template=TEMPLATE,
        title=dict(text="<br>".join(wrapped), pad=dict(l=12, t=34)),
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
) -> Figure:
    """Draw a matrix with row 0 on top; NaN cells stay grey.

    `z` has shape [y, x]; `unit` names the colours; labels name the columns and rows, tokens for example.
    Values of both signs get a diverging scale with zero white and positive red, others a sequential one.
    Raises CourseError for another shape, infinite values or a wrong number of labels.

    >>> fig = heatmap([[1.0, -2.0], [0.0, 1.0]], title="One cell is negative", x="destination",
    ...               y="source", alt="A 2 by 2 matrix.", unit="weight")
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
        raise CourseError(f"Expected a text for unit=, got {unit!r}: say what the colours measure.")
    height = int(np.clip(rows * ROW_HEIGHT, 240, 640))
    x_at, x_ticks = places(x_labels, columns, MOST_LABELS)
    y_at, y_ticks = places(y_labels, rows, height // ROW_HEIGHT)
    trace = go.Heatmap(
        # A widget sends a matrix as JSON, which has no NaN; null draws the same gap.
        z=np.where(np.isnan(z), None, z) if np.isnan(z).any() else z,
        x=x_at,
        y=y_at,
        hovertemplate=f"{escape(y)} %{{y}}<br>{escape(x)} %{{x}}<br>{escape(unit)} %{{z:.4g}}<extra></extra>",
        hoverongaps=False,
        colorbar=dict(title=dict(text=escape(unit, quote=False), side="right"), thickness=16),
        **scale,
    )
    bare = dict(showgrid=False, zeroline=False)
    layout = dict(
        plot_bgcolor="#d9d9d9",
        xaxis=dict(x_ticks, range=[-0.5, columns - 0.5], **bare),
        yaxis=dict(y_ticks, range=[rows - 0.5, -0.5], **bare),
    )
    return finish(go.Figure(trace, layout), title=title, x=x, y=y, alt=alt, height=height + 60)


def lines(
    series: Series, *, title: str, x: str, y: str, alt: str, at: Values | None = None, labels: Labels = None
) -> Figure:
    """Draw one line a series, told apart by colour, dash and marker.

    `series` is values of shape [n] or a mapping from names to such; `at` gives the x of each value, of shape
    [n], or else `labels` its name. Raises CourseError for another shape or a wrong number of labels.
    """
    named, count = as_parallel(series, "lines")
    where, ticks = places(labels, count, MOST_LABELS)
    if at is not None:
        where, ticks = as_array(at, 1, "at"), {}
        if labels is not None or len(where) != count:
            raise CourseError(f"Expected labels or {count} places at=, got {len(where)} places and {labels=}.")
    traces = []
    for i, (name, values) in enumerate(named):
        line = dict(width=2.5, dash=DASHES[i % len(DASHES)])
        marker = dict(size=7, symbol=SYMBOLS[i % len(SYMBOLS)])
        mode = "lines+markers" if count <= 60 else "lines"
        traces.append(go.Scatter(x=where, y=values, name=name, mode=mode, line=line, marker=marker))
    layout = dict(showlegend=len(traces) > 1, xaxis=ticks)
    return finish(go.Figure(traces, layout), title=title, x=x, y=y, alt=alt)


def bars(series: Series, *, title: str, x: str, y: str, alt: str, labels: Labels = None) -> Figure:
    """Draw one group of bars a value, one colour a series.

    `series` is values of shape [n] or a mapping from names to such, `labels` names the n groups. Raises
    CourseError for another shape or a wrong number of labels.
    """
    named, count = as_parallel(series, "bars")
    where, ticks = places(labels, count, MOST_LABELS)
    traces = [go.Bar(x=where, y=values, name=name) for name, values in named]
    layout = dict(showlegend=len(traces) > 1, xaxis=ticks)
    return finish(go.Figure(traces, layout), title=title, x=x, y=y, alt=alt)


def histogram(series: Series, *, title: str, x: str, y: str = "count", alt: str, bins: int = 40) -> Figure:
    """Draw how often values occur, every series on the same `bins` bins.

    `series` is values of shape [n] or a mapping from names to such. Only the counts are kept in the figure.
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
) -> Figure:
    """Draw one point for each pair of `xs` and `ys`, both of shape [n].

    `labels` are shown on hover; `groups` gives each point's group, told apart by colour and symbol. Raises
    CourseError for another shape or a wrong number of labels.
    """
    xs, ys = as_array(xs, 1, "scatter"), as_array(ys, 1, "scatter")
    for name, given in dict(ys=ys, labels=labels, groups=groups).items():
        if given is not None and len(given) != len(xs):
            raise CourseError(f"Expected {len(xs)} {name}, one for each of xs, got {len(given)}.")
    groups = [""] * len(xs) if groups is None else list(groups)
    traces = []
    for i, group in enumerate(dict.fromkeys(groups)):
        mine = [j for j, g in enumerate(groups) if g == group]
        text = None if labels is None else [visible(labels[j]) for j in mine]
        marker = dict(size=8, symbol=SYMBOLS[i % len(SYMBOLS)], opacity=0.8)
        traces.append(go.Scatter(x=xs[mine], y=ys[mine], name=visible(group), mode="markers", text=text, marker=marker))
    return finish(go.Figure(traces, dict(showlegend=len(traces) > 1)), title=title, x=x, y=y, alt=alt)
