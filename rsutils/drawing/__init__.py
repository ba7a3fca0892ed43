"""Figures that say what they show: charts, tables, and the look that every chapter shares."""

from rsutils.drawing.charts import Figure, bars, finish, heatmap, histogram, lines, log_axes, scatter
from rsutils.drawing.colours import COLOURS, GAP, INK, POSITIVE_IS_RED, component_colours
from rsutils.drawing.tables import Table, table

__all__ = [
    "COLOURS",
    "GAP",
    "INK",
    "POSITIVE_IS_RED",
    "Figure",
    "Table",
    "bars",
    "component_colours",
    "finish",
    "heatmap",
    "histogram",
    "lines",
    "log_axes",
    "scatter",
    "table",
]
