"""What a notebook shows to a reader without a kernel: a picture beside every figure and explorer.

``run_notebooks.py`` registers these in the kernels of notebooks that are to be committed or made into pages. In a
learner's kernel they would cost a browser and hide the live figure.
"""

import hashlib
import json
import warnings
from typing import Any

import plotly.io
from grid import figure_data, settings
from IPython import get_ipython

from rsutils.drawing import COLOURS, Figure
from rsutils.teaching.explorer import Explorer

SETTINGS = "application/vnd.rsutils.explorer+json"
FIGURE = "application/vnd.rsutils.figure+json"
# One ink for two papers is pale on either; this paper is known.
INK, WHITE = COLOURS["ink"][0], COLOURS["paper"][0]
WIDTH = 800  # pixels: what a code host gives a notebook's output


def png(figure: Figure) -> tuple[bytes, dict[str, Any]]:
    """The figure on white paper, and as metadata its mark.

    Who runs a notebook again keeps the old bytes where the mark is the old one: another browser draws the same
    figure with other bytes.
    """
    paper = dict(paper_bgcolor=WHITE, plot_bgcolor=figure.layout.plot_bgcolor or WHITE, font_color=INK)
    with warnings.catch_warnings(action="ignore"):  # that the one browser for all was started with its own options
        image = plotly.io.to_image(figure.update_layout(**paper), "png", width=WIDTH, height=figure.layout.height)
    return image, {"figure": mark(figure_data(figure))}


def mark(shown: dict[str, Any]) -> str:
    """A hash of what a figure shows on white paper, to four digits; ``shown`` as ``figure_data`` gives it."""
    layout = shown["layout"]
    paper = {"paper_bgcolor": WHITE, "plot_bgcolor": layout.get("plot_bgcolor") or WHITE}
    font = {**layout.get("font", {}), "color": INK}
    text = json.dumps({**shown, "layout": {**layout, **paper, "font": font}}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def pictures() -> None:
    """From now on this kernel adds a picture to every figure and explorer that it shows."""
    import kaleido

    kaleido.start_sync_server(silence_warnings=True)  # one browser for all pictures: a quarter of a second each
    formatter = get_ipython().display_formatter.formatters["image/png"]
    formatter.for_type(Figure, lambda figure: png(Figure(figure)))
    formatter.for_type(Explorer, lambda explorer: png(Figure(explorer.drawn)))


def pages() -> None:
    """From now on this kernel adds to every figure and explorer the data with which a page can draw and move it."""
    bundles = get_ipython().display_formatter.mimebundle_formatter
    bundles.for_type(Figure, lambda figure, **_: {FIGURE: figure_data(figure), "text/plain": figure.words})
    bundles.for_type(Explorer, lambda explorer, **_: {SETTINGS: settings(explorer), "text/plain": explorer.drawn.words})
