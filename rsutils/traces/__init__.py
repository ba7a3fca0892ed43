"""Chapter 02: what each component writes into the residual stream, and what becomes of it."""

from rsutils.traces import attribution, figures
from rsutils.traces.writes import (
    Growth,
    Measures,
    Trace,
    contrast,
    growth,
    measure,
    read_streams,
    readings,
    rebuild,
    trace,
    without,
)

__all__ = [
    "Growth",
    "Measures",
    "Trace",
    "attribution",
    "contrast",
    "figures",
    "growth",
    "measure",
    "read_streams",
    "readings",
    "rebuild",
    "trace",
    "without",
]
