"""Chapter 04: how strongly every writer of the stream is coupled to every later reader."""

from rsutils.coupling import figures
from rsutils.coupling.pairs import (
    METRICS,
    SENTENCES,
    Coupling,
    Part,
    activations,
    all_pairs,
    by_depth,
    by_distance,
    destinations,
    gram,
    measure,
    sources,
)
from rsutils.coupling.plain import by_products, simulate

__all__ = [
    "METRICS",
    "SENTENCES",
    "Coupling",
    "Part",
    "activations",
    "all_pairs",
    "by_depth",
    "by_distance",
    "by_products",
    "destinations",
    "figures",
    "gram",
    "measure",
    "simulate",
    "sources",
]
