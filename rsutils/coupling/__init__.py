"""Chapter 04: how strongly every writer of the stream is coupled to every later reader."""

from rsutils.coupling import figures
from rsutils.coupling.pairs import (
    METRICS,
    SENTENCES,
    Reader,
    Writer,
    activations,
    all_pairs,
    by_depth,
    by_distance,
    controls,
    destinations,
    distance,
    measure,
    mlps,
    nearness,
    sources,
    together,
)
from rsutils.coupling.plain import by_products

__all__ = [
    "METRICS",
    "SENTENCES",
    "Reader",
    "Writer",
    "activations",
    "all_pairs",
    "by_depth",
    "by_distance",
    "by_products",
    "controls",
    "destinations",
    "distance",
    "figures",
    "measure",
    "mlps",
    "nearness",
    "sources",
    "together",
]
