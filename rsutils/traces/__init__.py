"""Chapter 02: what each component writes into the residual stream, and what becomes of it."""

from rsutils.traces import attribution, figures
from rsutils.traces.effects import worth
from rsutils.traces.writes import (
    Contrast,
    by_source_position,
    contrast,
    growth,
    measure,
    read_streams,
    rebuild,
    trace,
    zero_ablated,
)

__all__ = [
    "Contrast",
    "attribution",
    "by_source_position",
    "contrast",
    "figures",
    "growth",
    "measure",
    "read_streams",
    "rebuild",
    "trace",
    "worth",
    "zero_ablated",
]
