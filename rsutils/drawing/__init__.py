"""Figures that say what they show: charts, and the look that every chapter shares."""

from rsutils.drawing.charts import OKABE_ITO, POSITIVE_IS_RED, Figure, bars, finish, heatmap, histogram, lines, scatter
from rsutils.drawing.tables import Table, table

__all__ = [
    "OKABE_ITO",
    "POSITIVE_IS_RED",
    "Figure",
    "Table",
    "bars",
    "finish",
    "heatmap",
    "histogram",
    "lines",
    "scatter",
    "table",
]
