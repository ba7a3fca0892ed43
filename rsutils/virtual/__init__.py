"""Chapter 03: virtual weights, what one component writes as another reads it."""

from rsutils.virtual import figures
from rsutils.virtual.ledger import Neuron, activation_weighted, drivers, neuron_ledger, neuron_terms, record
from rsutils.virtual.patching import measured_weights, path_patching
from rsutils.virtual.products import connections, cosine_counts, most_connected, share_beyond, strongest
from rsutils.virtual.stats import virtual_weight_stats
from rsutils.virtual.weights import (
    component_name,
    factors,
    read_weights,
    reader_names,
    virtual_weights,
    write_weights,
)

__all__ = [
    "Neuron",
    "activation_weighted",
    "component_name",
    "connections",
    "cosine_counts",
    "drivers",
    "factors",
    "figures",
    "measured_weights",
    "most_connected",
    "neuron_ledger",
    "neuron_terms",
    "path_patching",
    "read_weights",
    "reader_names",
    "record",
    "share_beyond",
    "strongest",
    "virtual_weight_stats",
    "virtual_weights",
    "write_weights",
]
