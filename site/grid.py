"""An explorer without a kernel: what it draws at every setting of its controls, as data that a page can hold."""

from collections.abc import Iterator, Mapping
from typing import Any

import ipywidgets as widgets
import numpy as np

from rsutils.drawing import Figure
from rsutils.teaching.explorer import Explorer

MOST = 300  # settings: more would make a page of a megabyte
TEXTS = ["The cat sat on the mat", "Anna gave the red ball to Tom. Anna gave the red ball to Tom."]


def figure_data(figure: Figure) -> dict[str, Any]:
    """A figure as plain JSON: its data to four digits, its layout without the template, and its words."""
    plain = figure.to_plotly_json()
    layout = {key: value for key, value in plain["layout"].items() if key != "template"}
    return {"data": _plain(plain["data"]), "layout": _plain(layout), "words": figure.words}


def settings(explorer: Explorer) -> dict[str, Any]:
    """Every setting that a page offers, what is drawn there, and where the explorer starts.

    Returns:
        ``controls``: name, kind (``"range"`` or ``"select"``) and labels of each control, the labels by the
        earlier controls' choices (``"0/2"``) where they depend on them; ``figures``: what is drawn, by the choices
        of all controls; ``start``: the choices that the explorer shows now. A text box offers its own text and two
        more; what has more settings than ``MOST`` is thinned, the longest control first.
    """
    start = explorer.values
    limits = dict.fromkeys(explorer.controls, MOST)
    while len(found := list(_walk(explorer, limits, start))) > MOST:
        sizes = [len({choice[i] for choice, _, _ in found}) for i in range(len(limits))]
        limits[list(limits)[int(np.argmax(sizes))]] = max(2, max(sizes) * 2 // 3)
    controls = [
        {"name": control.description, "kind": _kind(control), "labels": {}} for control in explorer.controls.values()
    ]
    figures = {}
    for choice, values, labels in found:
        for i, each in enumerate(controls):
            each["labels"]["/".join(map(str, choice[:i]))] = labels[i]
        try:
            figures["/".join(map(str, choice))] = figure_data(explorer.draw(**values))
        except ValueError as error:
            figures["/".join(map(str, choice))] = {"error": str(error)}
    first = next("/".join(map(str, choice)) for choice, values, _ in found if values == start)
    return {"controls": controls, "figures": figures, "start": first}


def _walk(
    explorer: Explorer, limits: dict[str, int], start: dict[str, Any]
) -> Iterator[tuple[tuple[int, ...], dict[str, Any], list[list[str]]]]:
    """Depth first over the controls: the place of each choice, the values, and the labels that were offered."""

    def below(names: list[str], choice: tuple, values: dict, labels: list) -> Iterator:
        if not names:
            yield choice, values, labels
            return
        name, *rest = names
        options = _thinned(_options(explorer, name, values), limits[name], start[name])
        for place, (_, value) in enumerate(options):
            yield from below(rest, (*choice, place), values | {name: value}, [*labels, [label for label, _ in options]])

    return below(list(explorer.controls), (), {}, [])


def _options(explorer: Explorer, name: str, earlier: dict[str, Any]) -> list[tuple[str, Any]]:
    """The labels and values that one control offers once the earlier ones are set."""
    control = explorer.controls[name]
    match control:
        case _ if name in explorer.dependent:
            return explorer.options(name, earlier)
        case widgets.Text():
            return [(text, text) for text in dict.fromkeys([control.value, *TEXTS])]
        case widgets.Checkbox():
            return [("no", False), ("yes", True)]
        case widgets.IntSlider() | widgets.FloatSlider():
            count = round((control.max - control.min) / control.step)
            values = [round(control.min + i * control.step, 10) for i in range(count + 1)]
            return [(f"{value:g}", value) for value in values]
    options = control.options.items() if isinstance(control.options, Mapping) else control.options
    return [option if isinstance(option, tuple) else (str(option), option) for option in options]


def _thinned(options: list, most: int, kept: Any) -> list:
    """At most ``most`` of the options, evenly spread, the one that the explorer starts with among them."""
    if len(options) <= most:
        return options
    places = {round(i) for i in np.linspace(0, len(options) - 1, most)}
    start = next((i for i, (_, value) in enumerate(options) if value == kept), 0)
    if start not in places:  # it takes the place of its nearest neighbour
        places = (places - {min(places, key=lambda place: abs(place - start))}) | {start}
    return [options[i] for i in sorted(places)]


def _kind(control: widgets.Widget) -> str:
    return "range" if isinstance(control, widgets.IntSlider | widgets.FloatSlider) else "select"


def _plain(value: Any) -> Any:
    """The same as lists, dicts and numbers of four digits."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return None if np.isnan(value) else float(f"{value:.4g}")
    return value.item() if isinstance(value, np.generic) else value
