"""Figures carry words, show every number they were given, and never label a row with another row's name."""

import json

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
import torch
from IPython.core.formatters import DisplayFormatter

from rsutils import drawing
from rsutils.drawing import charts
from rsutils.errors import CourseError

TEXTS = dict(title="The finding", x="destination neuron", y="source neuron", alt="What it looks like.")
HELPERS = {
    "finish": lambda **texts: drawing.finish(go.Figure(), **texts),
    "heatmap": lambda **texts: drawing.heatmap(torch.randn(5, 7), unit="weight", **texts),
    "lines": lambda **texts: drawing.lines(torch.randn(7), **texts),
    "bars": lambda **texts: drawing.bars(torch.randn(7), **texts),
    "histogram": lambda **texts: drawing.histogram(torch.randn(101), **texts),
    "scatter": lambda **texts: drawing.scatter(torch.randn(7), torch.randn(7), **texts),
}


@pytest.mark.parametrize("missing", TEXTS)
@pytest.mark.parametrize("helper", HELPERS)
def test_no_figure_without_its_words(helper, missing):
    with pytest.raises(CourseError, match=f"text for {missing}="):
        HELPERS[helper](**{**TEXTS, missing: " "})


@pytest.mark.parametrize("helper", HELPERS)
def test_the_words_reach_the_figure_and_the_notebook(helper, monkeypatch):
    monkeypatch.setattr(pio.renderers, "default", "plotly_mimetype")
    fig = HELPERS[helper](**TEXTS)
    assert fig.layout.xaxis.title.text == TEXTS["x"]
    assert fig.layout.yaxis.title.text == TEXTS["y"]
    bundle, _ = DisplayFormatter().format(fig)
    assert bundle.keys() == {"application/vnd.plotly.v1+json", "text/plain"}
    assert bundle["text/plain"] == "The finding\nWhat it looks like."


def test_the_colours_need_a_unit():
    with pytest.raises(CourseError, match="unit="):
        drawing.heatmap(torch.randn(5, 7), unit="", **TEXTS)


def test_a_long_title_is_wrapped_and_keeps_every_word():
    title = "layer 3 writes what layer 5 reads " * 7
    fig = HELPERS["lines"](**{**TEXTS, "title": title})
    assert max(len(line) for line in fig.layout.title.text.split("<br>")) <= 72
    assert fig.words.split("\n")[0].split() == title.split()


def test_tokens_that_look_like_markup_are_shown_as_they_are():
    fig = HELPERS["bars"](**{**TEXTS, "title": "<|endoftext|> & co"}, labels=["<b>", *"abcdef"])
    assert fig.layout.title.text == "&lt;|endoftext|&gt; &amp; co"
    assert fig.words.startswith("<|endoftext|> & co\n")
    assert fig.layout.xaxis.ticktext[0] == "&lt;b&gt;"


def test_a_heatmap_shows_the_matrix_with_row_0_on_top():
    z = torch.randn(5, 7)
    fig = drawing.heatmap(z, unit="weight", **TEXTS)
    assert np.array_equal(fig.data[0].z, z.numpy())
    bottom, top = fig.layout.yaxis.range
    assert bottom == 4.5 and top == -0.5
    assert fig.data[0].colorbar.title.text == "weight"


def red_minus_blue(colour):
    red, _, blue = (int(part) for part in colour[4:-1].split(","))
    return red - blue


def test_a_diverging_scale_is_centred_at_zero_and_red_is_positive():
    trace = drawing.heatmap(torch.tensor([[-1.0, 0.0], [torch.nan, 3.0]]), unit="weight", **TEXTS).data[0]
    assert (trace.zmin, trace.zmax) == (-3, 3)
    colours = [colour for _, colour in trace.colorscale]
    assert red_minus_blue(colours[-1]) > 60
    assert red_minus_blue(colours[0]) < -60
    assert red_minus_blue(colours[len(colours) // 2]) == 0


def test_gaps_of_a_heatmap_travel_to_the_browser_as_json():
    z = drawing.heatmap(torch.tensor([[1.0, torch.nan], [2.0, 3.0]]), unit="weight", **TEXTS).data[0].z
    assert json.dumps(z.tolist(), allow_nan=False) == "[[1.0, null], [2.0, 3.0]]"


@pytest.mark.parametrize("sign", [1, -1])
def test_values_of_one_sign_get_a_sequential_scale(sign):
    trace = drawing.heatmap(sign * torch.rand(5, 7), unit="weight", **TEXTS).data[0]
    assert trace.zmin == pytest.approx(np.min(trace.z)) and trace.zmax == pytest.approx(np.max(trace.z))
    assert trace.colorscale == go.Heatmap(colorscale="Cividis").colorscale


def test_two_tokens_of_one_name_stay_two_places():
    fig = drawing.heatmap(torch.randn(2, 3), unit="weight", x_labels=[" the", " cat", " the"], **TEXTS)
    assert len(set(fig.data[0].x)) == 3
    assert fig.layout.xaxis.ticktext == ("·the", "·cat", "·the")


@pytest.mark.parametrize("rows", [3, 31, 97, 1009])
def test_thinned_labels_stand_at_their_own_rows(rows):
    labels = [f"name {i}" for i in range(rows)]
    fig = drawing.heatmap(torch.randn(rows, 2), unit="weight", y_labels=labels, **TEXTS)
    axis, places = fig.layout.yaxis, fig.data[0].y
    assert [labels[list(places).index(value)] for value in axis.tickvals] == list(axis.ticktext)
    room = fig.layout.height - fig.layout.margin.t - charts.TEMPLATE.layout.margin.b
    assert min(rows, 10) <= len(axis.tickvals) <= room / 15
    assert rows > 31 or len(axis.tickvals) == rows


def test_a_wrong_number_of_labels_is_refused():
    for helper in (drawing.lines, drawing.bars):
        with pytest.raises(CourseError, match="Expected 3 labels, one for each place on the axis, got 2"):
            helper(torch.randn(3), labels=["a", "b"], **TEXTS)
    with pytest.raises(CourseError, match="Expected 3 labels, one for each of xs, got 2"):
        drawing.scatter(torch.randn(3), torch.randn(3), labels=["a", "b"], **TEXTS)


def test_series_that_do_not_fit_together_are_refused():
    for helper in (drawing.lines, drawing.bars):
        with pytest.raises(CourseError, match=r"one length, got \[2, 3\]"):
            helper({"a": [1, 2], "b": [1, 2, 3]}, **TEXTS)
        with pytest.raises(CourseError, match="at least one series"):
            helper({}, **TEXTS)
    for wrong in (dict(at=[0, 1]), dict(at=[0, 1, 2], labels=["x", "y", "z"])):
        with pytest.raises(CourseError, match="labels or 3 places at="):
            drawing.lines([1, 2, 3], **wrong, **TEXTS)


@pytest.mark.parametrize("values, message", [
    (torch.randn(3), r"\[rows, columns\], got \[3\]"),
    (torch.randn(2, 3, 5), r"got \[2, 3, 5\]"),
    (torch.full((2, 3), torch.inf), "infinity"),
    (torch.full((2, 3), torch.nan), "not NaN"),
])  # fmt: skip
def test_values_that_cannot_be_drawn_are_refused(values, message):
    with pytest.raises(CourseError, match=message):
        drawing.heatmap(values, unit="weight", **TEXTS)


def test_lines_differ_in_dash_and_marker_too():
    fig = drawing.lines({"Q": [1, 2, 3], "K": [3, 2, 1]}, at=[0, 0.5, 1], **TEXTS)
    assert fig.layout.showlegend
    assert len({trace.line.dash for trace in fig.data}) == len({trace.marker.symbol for trace in fig.data}) == 2
    assert list(fig.data[1].x) == [0, 0.5, 1] and list(fig.data[1].y) == [3, 2, 1]
    assert len(drawing.lines([1, 2, 3], **TEXTS).data) == 1


def test_a_histogram_keeps_counts_on_common_bins_not_the_samples():
    samples = {"before": torch.randn(997), "after": 3 * torch.randn(499)}
    traces = drawing.histogram(samples, bins=29, **TEXTS).data
    everything = torch.cat([*samples.values()]).numpy()
    for trace, values in zip(traces, samples.values(), strict=True):
        assert np.array_equal(trace.x, traces[0].x) and len(trace.x) == 29
        counts, _ = np.histogram(values.numpy(), bins=29, range=(everything.min(), everything.max()))
        assert np.array_equal(trace.y, counts)


def test_scatter_keeps_each_point_in_its_group():
    xs, ys = torch.arange(5.0), 10 * torch.arange(5.0)
    fig = drawing.scatter(xs, ys, groups=["a", "b", "a", "a", "b"], labels=list("pqrst"), **TEXTS)
    a, b = fig.data
    assert (a.name, b.name) == ("a", "b")
    assert list(a.x) == [0, 2, 3] and list(b.y) == [10, 40]
    assert list(a.text) == ["p", "r", "s"]


def test_tensors_with_gradients_and_half_precision_are_drawn():
    z = torch.randn(5, 7, dtype=torch.bfloat16, requires_grad=True)
    assert np.array_equal(drawing.heatmap(z, unit="weight", **TEXTS).data[0].z, z.detach().float().numpy())
