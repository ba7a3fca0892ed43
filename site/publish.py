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
WIDTH = 800  # pixels: what a code host gives a notebook's output


def png(figure: Figure) -> tuple[bytes, dict[str, Any]]:
    """The figure on white paper, and as metadata a hash of what it shows, to four digits.

    Who runs a notebook again keeps the old bytes where the hash is the old one: another browser draws the same
    figure with other bytes.
    """
    # One ink for two papers is pale on either; this paper is known.
    ink, white = COLOURS["ink"][0], COLOURS["paper"][0]
    paper = dict(paper_bgcolor=white, plot_bgcolor=figure.layout.plot_bgcolor or white, font_color=ink)
    with warnings.catch_warnings(action="ignore"):  # that the one browser for all was started with its own options
        image = plotly.io.to_image(figure.update_layout(**paper), "png", width=WIDTH, height=figure.layout.height)
    shown = json.dumps(figure_data(figure), sort_keys=True)
    return image, {"figure": hashlib.sha256(shown.encode()).hexdigest()[:16]}


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
