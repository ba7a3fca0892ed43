"""What a model is, where its readers and writers are, and how it is loaded."""

from rsutils.models.arguments import check_index, shown
from rsutils.models.files import checkpoints, free_memory
from rsutils.models.load import CHOICES, ModelInfo, check_ids, describe, load_model, tokens
from rsutils.models.weights import (
    attention_readers,
    fold_and_centre,
    head_norms,
    kv_heads,
    mlp_readers,
    n_directions,
    norms,
    parts,
    readers,
    writer_norms,
    writers,
)

__all__ = [
    "CHOICES",
    "ModelInfo",
    "attention_readers",
    "check_ids",
    "check_index",
    "checkpoints",
    "describe",
    "fold_and_centre",
    "free_memory",
    "head_norms",
    "kv_heads",
    "load_model",
    "mlp_readers",
    "n_directions",
    "norms",
    "parts",
    "readers",
    "shown",
    "tokens",
    "writer_norms",
    "writers",
]
