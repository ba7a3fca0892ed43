"""Figures carry words, show every number they were given, and never label a row with another row's name."""

import json

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
import torch
from IPython.core.formatters import DisplayFormatter

from rsutils import drawing
from rsutils.drawing import axes, charts, colours
from rsutils.drawing.svg import text_width
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
    assert max(text_width(line, 16) for line in fig.layout.title.text.split("<br>")) <= 560
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
        with pytest.raises(CourseError, match="expected 3 labels, got 2: give one for each place on the axis"):
            helper(torch.randn(3), labels=["a", "b"], **TEXTS)
    with pytest.raises(CourseError, match="expected 3 labels, got 2: give one for each of xs"):
        drawing.scatter(torch.randn(3), torch.randn(3), labels=["a", "b"], **TEXTS)


def test_series_that_do_not_fit_together_are_refused():
    for helper in (drawing.lines, drawing.bars):
        with pytest.raises(CourseError, match=r"one length for (lines|bars), got \[2, 3\]"):
            helper({"a": [1, 2], "b": [1, 2, 3]}, **TEXTS)
        with pytest.raises(CourseError, match="at least one series"):
            helper({}, **TEXTS)
    for wrong in (dict(at=[0, 1]), dict(at=[0, 1, 2], labels=["x", "y", "z"])):
        with pytest.raises(CourseError, match="3 places at= or labels"):
            drawing.lines([1, 2, 3], **wrong, **TEXTS)


@pytest.mark.parametrize("values, message", [
    (torch.randn(3), r"\[rows, columns\] for heatmap, got \[3\]: index or reshape them"),
    (torch.randn(3, 0), r"got \[3, 0\]: there is nothing to draw"),
    ("abc", "expected numbers for heatmap, got str"),
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


def test_axis_titles_and_the_colour_bar_s_title_are_no_longer_than_what_they_name():
    long = "which part of the squared norm of the product lies between these two directions"
    fig = drawing.heatmap(torch.randn(5, 7), unit=long, **{**TEXTS, "x": long, "y": long})
    plot = fig.layout.height - fig.layout.margin.t - charts.TEMPLATE.layout.margin.b
    rooms = {fig.data[0].colorbar.title.text: plot, fig.layout.yaxis.title.text: plot, fig.layout.xaxis.title.text: 400}
    for text, room in rooms.items():
        lines = text.split("<br>")
        assert " ".join(lines) == long and len(lines) > 1
        assert max(text_width(line, 14) for line in lines) <= room


@pytest.mark.parametrize("names", [["one"], ["one", "two"], [f"a rather long name, number {i}" for i in range(6)]])
def test_the_legend_stands_above_the_plot_and_has_room_there(names):
    fig = drawing.lines({name: [1, 2, 3] for name in names}, **TEXTS)
    bare = drawing.lines([1, 2, 3], **TEXTS).layout.margin.t
    widest = max(text_width(name, 14) for name in names) + 50
    rows = 0 if len(names) == 1 else -(-len(names) // int(460 // widest))
    assert fig.layout.margin.t - bare == 22 * rows
    assert charts.TEMPLATE.layout.legend.orientation == "h" and charts.TEMPLATE.layout.legend.yanchor == "bottom"


def test_the_text_s_special_tokens_are_short_and_the_same_everywhere():
    assert [axes.seen(token) for token in ("<|endoftext|>", " a", "\n", "\t")] == ["<|eot|>", "·a", "↵", "⇥"]
    assert axes.visible("<|endoftext|>") == "&lt;|eot|&gt;"
    assert axes.visible(" " + "a" * 40) == "·" + "a" * 14 + "…"


MARKED = {
    "heatmap": lambda mark: drawing.heatmap(torch.randn(5, 7), unit="weight", mark=mark, **TEXTS),
    "bars": lambda mark: drawing.bars({"a": [1.0, -2.0, 3.0], "b": [0.5, -3.0, 1.0]}, mark=mark, **TEXTS),
    "scatter": lambda mark: drawing.scatter([1.0, 2.0, 9.0], [4.0, 5.0, 6.0], labels=list("pqr"), mark=mark, **TEXTS),
}


@pytest.mark.parametrize(
    ("helper", "place", "at"), [("heatmap", (4, 6), (6, 4)), ("bars", 1, (1, -3)), ("scatter", 2, (9, 6))]
)
def test_what_the_text_speaks_of_is_ringed_and_named(helper, place, at):
    plain, fig = MARKED[helper](None), MARKED[helper]({place: "the <pair>"})
    ring = fig.data[-1]
    assert len(fig.data) == len(plain.data) + 1 and "open" in ring.marker.symbol and not ring.showlegend
    assert (ring.x[0], ring.y[0]) == at
    named = ring.text[0] if helper != "heatmap" else fig.layout.annotations[0].text
    assert named == "<b>the &lt;pair&gt;</b>"
    assert ring.textposition == {"heatmap": None, "bars": "bottom center", "scatter": "middle left"}[helper]
    assert fig.words == plain.words + " Marked: the <pair>."
    assert fig.layout.showlegend == plain.layout.showlegend or helper == "heatmap"


@pytest.mark.parametrize(("helper", "place"), [("heatmap", (5, 0)), ("bars", 3), ("scatter", -1)])
def test_a_mark_must_be_there(helper, place):
    with pytest.raises(CourseError, match="expected a place to mark from"):
        MARKED[helper]({place: "lost"})


def test_components_have_the_same_colour_under_each_of_their_names():
    names = ["embed", "pos_embed", "0_attn_out", "11_mlp_out", "mlp 3", "MLP 3", "mlp 2 gate", "L2H0", "unembed"]
    kinds = ["embed", "pos", "attn", "mlp", "mlp", "mlp", "mlp", "attn", "unembed"]
    assert drawing.component_colours(names) == [drawing.COLOURS[kind][0] for kind in kinds]
    assert drawing.component_colours(["bias", 7]) == [drawing.INK] * 2
    fig = drawing.bars([1, 2], colours=drawing.component_colours(["embed", "mlp 0"]), **TEXTS)
    assert list(fig.data[0].marker.color) == ["#009E73", "#D55E00"]
    with pytest.raises(CourseError, match="2 colours for one series, got 1"):
        drawing.bars([1, 2], colours=["red"], **TEXTS)


def luminance(colour):
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4) @ (
        0.2126,
        0.7152,
        0.0722,
    )


def contrast(one, other):
    low, high = sorted(luminance(colour) + 0.05 for colour in (one, other))
    return high / low


@pytest.mark.parametrize("paper", ["#FFFFFF", "#111111"])
def test_figures_are_legible_on_light_and_on_dark(paper):
    template = charts.TEMPLATE.layout
    assert template.paper_bgcolor == template.plot_bgcolor == "rgba(0,0,0,0)"
    # 4.35 is the most that one ink can have with both.
    assert contrast(template.font.color, paper) > 4.3
    kinds = [colours.COLOURS[kind][0] for kind in ("embed", "attn", "mlp", "unembed")]
    assert all(contrast(colour, paper) >= 3 for colour in [*kinds, *colours.SERIES, colours.MARK])


# Viénot, Brettel and Mollon 1999, on linear RGB: what protanopes and deuteranopes see.
BLIND = {
    "protanope": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deuteranope": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


@pytest.mark.parametrize("eye", BLIND)
def test_colours_that_mean_something_differ_for_the_colour_blind(eye):
    kinds = [colours.COLOURS[kind][0] for kind in ("embed", "pos", "attn", "mlp", "unembed")]
    for group in (kinds, colours.SERIES):
        seen = []
        for colour in group:
            linear = (np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])) ** 2.2
            red_green, _, blue = np.clip(np.array(BLIND[eye]) @ linear, 0, 1)
            # Perceived lightness (CIE) and what is left of hue, on about the same scale.
            seen.append((116 * red_green ** (1 / 3) - 16, 200 * (red_green ** (1 / 3) - blue ** (1 / 3))))
        for i, one in enumerate(seen):
            for other in seen[:i]:
                assert np.hypot(*np.subtract(one, other)) > 12, (group[i], seen)


@pytest.mark.parametrize("high", [3, 40, 5_000, 1e9])
def test_logarithmic_axes_have_round_numbers_in_words(high):
    fig = drawing.log_axes(drawing.lines([1.5, 0, high], **TEXTS), "y")
    axis = fig.layout.yaxis
    assert axis.type == "log" and fig.layout.xaxis.type is None
    assert 3 <= len(axis.tickvals) <= 11
    assert [float(text.replace(",", "")) for text in axis.ticktext] == list(axis.tickvals)
    assert all(f"{value:e}".split("e")[0].rstrip("0.") in ("1", "1.5", *"23457") for value in axis.tickvals)
    assert all(1 <= value <= 1.3 * high for value in axis.tickvals)
    with pytest.raises(CourseError, match="above zero on a logarithmic y axis"):
        drawing.log_axes(drawing.lines([-1, 0], **TEXTS), "y")
