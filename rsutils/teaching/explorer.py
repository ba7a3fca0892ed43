"""Controls beside a figure that updates in place."""

from collections.abc import Callable, Mapping
from html import escape
from inspect import signature
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
from plotly.basedatatypes import BasePlotlyType
from traitlets import TraitError

from rsutils.drawing import Figure
from rsutils.drawing.colours import MARK
from rsutils.errors import CourseError, strict
from rsutils.teaching.page import Companion, enable_in_colab

LABEL = {"description_width": "initial"}
# The words have the colour of the page's own text: no red is legible on white and on a dark page.
ALERT = f"border-left:4px solid {MARK};padding-left:8px;line-height:1.4"


class Explorer(widgets.VBox):
    """Controls beside one figure, redrawn in place by ``draw(**values)``; zoom and the figure's node stay.

    Each control is a range (slider), a list or dict (dropdown), a text (text box), another ipywidgets
    abbreviation, a widget, or a function of earlier controls, named by its parameters, that returns labels: a
    dropdown whose value is the index of a label. An error that `draw` raises is shown in one line beside the
    last good figure; in strict mode (RSUTILS_STRICT=1) anything but ValueError is raised.

    Raises CourseError for a ``draw`` that is no function or returns no figure, or a control that offers nothing.
    """

    def __init__(self, draw: Any, **controls: object) -> None:
        enable_in_colab()
        if not callable(draw):
            raise CourseError(f"expected a function that draws, got {type(draw).__name__}: leave out its brackets")
        self.draw: Callable[..., Figure] = draw
        self.dependent: dict[str, Callable] = {name: spec for name, spec in controls.items() if callable(spec)}
        self._quiet = False
        self.controls: dict[str, widgets.Widget] = {}
        for name, spec in controls.items():
            self.controls[name] = self._control(name, spec)
        self.drawn = self._draw()
        self.figure = go.FigureWidget(self.drawn)
        self.figure._config = {"responsive": True, "displaylogo": False}
        self.error, self.description = widgets.HTML(), widgets.HTML()
        self._describe()
        for name, control in self.controls.items():
            control.observe(lambda change, name=name: self._changed(name), "value")
        row = widgets.HBox(list(self.controls.values()), layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__(
            [row, self.error, self.figure, self.description, Companion()], layout=widgets.Layout(width="100%")
        )

    @property
    def values(self) -> dict[str, object]:
        """What the controls say now, by name: the arguments of ``draw``."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values: object) -> "Explorer":
        """Move controls as a learner would, through the same callbacks.

        Raises CourseError for a control or a value that does not exist.
        """
        for name, value in values.items():
            if name not in self.controls:
                raise CourseError(
                    f"expected one of the controls {', '.join(self.controls)}, got {name!r}: name one of them"
                )
            try:
                self.controls[name].value = value
            except TraitError:
                value = None
            if self.controls[name].value != value:
                raise CourseError(
                    f"expected a value that the control {name} offers, got {values[name]!r}: choose another"
                )
        return self

    def static(self) -> Figure:
        """The figure as last drawn, without controls: what a reader without a kernel sees."""
        return self.drawn

    def _repr_mimebundle_(self, **kwargs) -> dict:
        state = ", ".join(f"{name}={value!r}" for name, value in self.values.items())
        return {**super()._repr_mimebundle_(**kwargs), "text/plain": f"Explorer({state})\n{self.drawn.words}"}

    def _control(self, name: str, spec: object) -> widgets.Widget:
        if isinstance(spec, range | list | tuple | dict) and not len(spec):
            raise CourseError(
                f"expected something to choose from for {name}=, got {spec!r}: give it one value at least"
            )
        if callable(spec) and not isinstance(spec, widgets.Widget):
            control = widgets.Dropdown(options=self.options(name, self.values))
        elif isinstance(spec, range) and len(spec) > 1:
            control = widgets.IntSlider(spec[0], spec[0], spec[-1], spec.step)
        else:
            control = widgets.interactive.widget_from_abbrev(list(spec) if isinstance(spec, range) else spec)
        if control is None:
            raise CourseError(f"expected a range, list, text or function for {name}=, got {spec!r}: give one of these")
        if isinstance(control, widgets.Text):
            control.continuous_update = False
        control.description = control.description or name.replace("_", " ")
        control.style = LABEL
        return control

    def options(self, name: str, values: Mapping[str, object]) -> list[tuple[str, int]]:
        """What a dropdown that depends on earlier controls offers where these have the given values."""
        make = self.dependent[name]
        labels = make(**{earlier: values[earlier] for earlier in signature(make).parameters})
        if not labels:
            raise CourseError(f"expected something to choose from for {name}, got nothing: change what it depends on")
        return [(f"{i}: {label}", i) for i, label in enumerate(labels)]

    def _draw(self) -> Figure:
        drawn = self.draw(**self.values)
        if not isinstance(drawn, Figure):
            kind = type(drawn).__name__
            raise CourseError(f"expected draw to return a figure of rsutils.drawing, got {kind}: use drawing.finish")
        return drawn

    def _changed(self, name: str) -> None:
        if self._quiet:
            return
        try:
            self._refresh(name)
            drawn = self._draw()
        except Exception as error:
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            line = (str(error).splitlines() or ["no message"])[0]
            self.error.value = f'<div role="alert" style="{ALERT}">{escape(kind + line)}</div>'
            if strict() and not isinstance(error, ValueError):
                raise
            return
        self.error.value = ""
        update(self.figure, self.drawn, drawn)
        self.drawn = drawn
        self._describe()

    def _refresh(self, changed: str) -> None:
        """Renew the dropdowns that depend on the changed control; keep an index that still exists."""
        stale = {changed}
        for name, make in self.dependent.items():
            if stale & set(signature(make).parameters):
                options, control = self.options(name, self.values), self.controls[name]
                index = min(control.value, len(options) - 1)
                self._quiet = True
                control.options, control.value = options, index
                self._quiet = False
                stale.add(name)

    def _describe(self) -> None:
        self.description.value = f"<details><summary>This figure in words</summary>{escape(self.drawn.words)}</details>"


def update(shown: go.FigureWidget, old: Figure, new: Figure) -> None:
    """Send to a shown figure what differs between the figure it was drawn from and a new one.

    Nothing else is touched: a learner's zoom stays unless the new figure has another range, and the template,
    which is slow to copy, is left alone.
    """
    pairs = [(shown.layout, old.layout, new.layout)]
    if [trace.type for trace in old.data] == [trace.type for trace in new.data]:
        pairs += zip(shown.data, old.data, new.data, strict=True)
    else:
        shown.data = ()
        shown.add_traces(new.data)
    with shown.batch_update():
        for target, before, after in pairs:
            _apply(target, before.to_plotly_json(), after.to_plotly_json())


def _apply(target: BasePlotlyType, before: dict, after: dict) -> None:
    for key in before.keys() | after.keys():
        was, now = before.get(key), after.get(key)
        if isinstance(was, dict) and isinstance(now, dict) and isinstance(target[key], BasePlotlyType):
            _apply(target[key], was, now)
        elif isinstance(was, np.ndarray) or isinstance(now, np.ndarray) or was != now:
            target[key] = now
