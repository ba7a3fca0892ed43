"""Chapter 03: virtual weights, what one component writes as another reads it."""

from rsutils.virtual import figures
from rsutils.virtual.effects import Effect, effect, measured_weights
from rsutils.virtual.ledger import (
    Driver,
    Ledger,
    activation_weighted,
    drivers,
    neuron_ledger,
    neuron_terms,
    reading,
    record,
)
from rsutils.virtual.products import Pair, cosine_counts, row_blocks, share_beyond, strongest
from rsutils.virtual.weights import (
    Component,
    connections,
    factors,
    name,
    read_weights,
    readers,
    virtual_weights,
    write_weights,
)

__all__ = [
    "Component",
    "Driver",
    "Effect",
    "Ledger",
    "Pair",
    "activation_weighted",
    "connections",
    "cosine_counts",
    "drivers",
    "effect",
    "factors",
    "figures",
    "measured_weights",
    "name",
    "neuron_ledger",
    "neuron_terms",
    "read_weights",
    "readers",
    "reading",
    "record",
    "row_blocks",
    "share_beyond",
    "strongest",
    "virtual_weights",
    "write_weights",
]
