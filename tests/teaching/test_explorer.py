"""Controls move the one figure in place, and errors stand beside it."""

import sys

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from rsutils import drawing
from rsutils.errors import CourseError
from rsutils.teaching import Explorer

WEIGHTS = torch.randn(5, 11, 13, generator=torch.Generator().manual_seed(0))
TEXTS = dict(x="token", y="neuron", alt="A test matrix.")


def draw(layer=0, text="a b c", position=0):
    if len(text) > 40:
        raise ValueError("Expected at most 40 characters: shorten it.\nA second line.")
    z = WEIGHTS[layer, :, : len(text.split())]
    title = f"layer {layer}, {text}, {position}"
    return drawing.heatmap(z, title=title, unit="weight", x_labels=text.split(), **TEXTS)


def words_of(text):
    return text.split()


@pytest.fixture
def explorer():
    return Explorer(draw, layer=range(5), text="a b c", position=words_of)


def same_picture(shown, drawn):
    """Whether two figures hold the same data and layout, apart from what a widget adds."""
    plain = [go.Figure(figure).to_plotly_json() for figure in (shown, drawn)]
    for figure in plain:
        for trace in figure["data"]:
            trace.pop("uid", None)
    np.testing.assert_equal(*plain)
    return True


def test_the_first_figure_is_that_of_the_controls(explorer):
    assert explorer.values == {"layer": 0, "text": "a b c", "position": 0}
    assert same_picture(explorer.figure, draw(**explorer.values))


def test_moving_a_control_redraws_the_same_figure_in_place(explorer):
    figure, trace = explorer.figure, explorer.figure.data[0]
    assert explorer.set(layer=3) is explorer
    explorer.controls["text"].value = "one two three four"
    assert explorer.figure is figure is explorer.children[2]
    assert explorer.figure.data[0] is trace
    assert np.array_equal(trace.z, WEIGHTS[3, :, :4])
    assert same_picture(figure, draw(3, "one two three four"))
    assert same_picture(explorer.static(), draw(3, "one two three four"))


def test_a_dependent_dropdown_follows_and_keeps_its_place_where_it_can(explorer):
    position = explorer.controls["position"]
    explorer.set(text="one two three four five", position=4)
    assert position.options[4] == ("4: five", 4)
    explorer.set(text="six seven")
    assert position.options == (("0: six", 0), ("1: seven", 1))
    assert position.value == 1
    explorer.set(text="six seven eight")
    assert position.value == 1
    assert explorer.figure.layout.title.text == "layer 0, six seven eight, 1"


def test_one_move_draws_once():
    states = []

    def recorded(**values):
        states.append(values)
        return draw(**values)

    explorer = Explorer(recorded, text="a b c", position=words_of)
    explorer.set(position=2)
    states.clear()
    explorer.set(text="d e")
    assert states == [{"text": "d e", "position": 1}]


@pytest.mark.parametrize("strict", ["0", "1"])
@pytest.mark.parametrize("text, message", [
    ("x" * 41, "Expected at most 40 characters: shorten it."),
    ("", "expected something to choose from for position, got nothing: change what it depends on"),
])  # fmt: skip
def test_bad_input_is_told_in_one_line_and_the_last_figure_stays(explorer, monkeypatch, strict, text, message):
    monkeypatch.setenv("RSUTILS_STRICT", strict)
    explorer.set(layer=2, text=text)
    assert message in explorer.error.value and "second line" not in explorer.error.value
    assert 'role="alert"' in explorer.error.value
    assert same_picture(explorer.figure, draw(2))
    assert same_picture(explorer.static(), draw(2))
    explorer.set(text="back again")
    assert explorer.error.value == ""
    assert same_picture(explorer.figure, draw(2, "back again"))


def test_emoji_and_markup_are_drawn(explorer):
    explorer.set(text="🦊 <b> &amp;")
    assert explorer.error.value == ""
    assert explorer.figure.data[0].x[0] == "🦊"


def test_a_fault_in_draw_is_named_to_the_learner_and_raised_in_strict_mode(monkeypatch):
    def faulty(layer):
        return draw(layer) if layer < 2 else {}["<lost>"]

    explorer = Explorer(faulty, layer=range(5)).set(layer=1)
    monkeypatch.delenv("RSUTILS_STRICT", raising=False)
    explorer.set(layer=2)
    assert "KeyError: &#x27;&lt;lost&gt;&#x27;" in explorer.error.value
    assert same_picture(explorer.figure, draw(1))
    monkeypatch.setenv("RSUTILS_STRICT", "1")
    with pytest.raises(KeyError):
        explorer.set(layer=3)


def test_a_first_figure_that_fails_is_an_error_at_once():
    with pytest.raises(ValueError, match="40 characters"):
        Explorer(draw, text="x" * 41)
    with pytest.raises(CourseError, match="got dict"):
        Explorer(lambda layer: {}, layer=range(5))


@pytest.mark.parametrize("nothing", [range(0), [], {}, ()])
def test_a_control_must_offer_something(nothing):
    with pytest.raises(CourseError, match=r"expected something to choose from for layer=, got .*: give it one value"):
        Explorer(draw, layer=nothing)


def test_what_draws_must_be_a_function():
    with pytest.raises(CourseError, match="expected a function that draws, got Figure: leave out its brackets"):
        Explorer(draw(), layer=range(5))


def test_the_figure_follows_the_width_of_the_page(explorer):
    assert explorer.figure._config["responsive"] and explorer.figure.layout.width is None
    assert explorer.layout.width == "100%"


def test_set_refuses_what_the_learner_could_not_do(explorer):
    with pytest.raises(CourseError, match="controls layer, text, position, got 'head'"):
        explorer.set(head=1)
    for bad in ({"layer": 5}, {"position": 3}):
        with pytest.raises(CourseError, match="expected a value that the control"):
            explorer.set(**bad)


def test_kinds_of_controls():
    def two(metric, gain, layer, only, alpha):
        return draw(layer)

    ready = ipywidgets.FloatLogSlider()
    explorer = Explorer(
        two,
        metric=["raw", "normalised"],
        gain={"low": 1, "high": 2},
        layer=range(1, 5, 3),
        only=range(1),
        alpha=ready,
    )
    assert explorer.values == {"metric": "raw", "gain": 1, "layer": 1, "only": 0, "alpha": 1}
    kinds = [type(control).__name__ for control in explorer.controls.values()]
    assert kinds == ["Dropdown", "Dropdown", "IntSlider", "Dropdown", "FloatLogSlider"]
    assert explorer.set(layer=4).values["layer"] == 4
    assert not Explorer(draw, text="a").controls["text"].continuous_update
    with pytest.raises(CourseError, match="for layer="):
        Explorer(draw, layer=object())


def test_figures_may_change_their_traces_and_layout():
    def shapes(kind):
        if kind == "heatmap":
            return draw()
        series = {name: [1.0, 2.0, 4.0] for name in kind}
        fig = drawing.lines(series, title=kind, labels=["x", "y", "z"], **TEXTS)
        return fig.add_hline(y=3, annotation_text="chance") if kind == "ab" else fig

    explorer = Explorer(shapes, kind=["heatmap", "a", "ab", "abc"])
    for kind in ("a", "ab", "abc", "ab", "heatmap", "abc", "a", "heatmap"):
        explorer.set(kind=kind)
        assert same_picture(explorer.figure, shapes(kind)), kind


def test_a_zoom_survives_a_redraw_unless_the_axis_changed(explorer):
    explorer.figure.layout.yaxis.range = [4, 2]
    explorer.figure.layout.xaxis.range = [0.5, 1.5]
    explorer.set(layer=4)
    assert explorer.figure.layout.yaxis.range == (4, 2)
    assert explorer.figure.layout.xaxis.range == (0.5, 1.5)
    explorer.set(text="a b c d e")
    assert explorer.figure.layout.xaxis.range == (-0.5, 4.5)
    assert explorer.figure.layout.yaxis.range == (4, 2)


def test_the_saved_words_and_the_description_follow_the_figure(explorer):
    explorer.set(layer=2)
    words = "layer 2, a b c, 0\nA test matrix."
    assert explorer._repr_mimebundle_()["text/plain"] == (f"Explorer(layer=2, text='a b c', position=0)\n{words}")
    assert words in explorer.description.value


def test_colab_is_asked_for_its_widget_manager(monkeypatch):
    asked = []
    output = type("output", (), {"enable_custom_widget_manager": lambda: asked.append(True)})
    monkeypatch.setitem(sys.modules, "google.colab", type("colab", (), {"output": output}))
    Explorer(draw, layer=range(5))
    assert asked
