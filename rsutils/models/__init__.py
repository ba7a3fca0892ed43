"""What a model is, where its readers and writers are, and how it is loaded."""

from rsutils.models.arguments import check_index, shown
from rsutils.models.files import checkpoints, free_memory, measured
from rsutils.models.load import CHOICES, ModelInfo, check_ids, describe, load_model, tokens
from rsutils.models.properties import (
    beyond_attention,
    divide_by_writer_norms,
    rotate_halves,
    special,
    turns_halves,
    window,
    writer_scale,
)
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
    "beyond_attention",
    "check_ids",
    "check_index",
    "checkpoints",
    "describe",
    "divide_by_writer_norms",
    "fold_and_centre",
    "free_memory",
    "head_norms",
    "kv_heads",
    "load_model",
    "measured",
    "mlp_readers",
    "n_directions",
    "norms",
    "parts",
    "readers",
    "rotate_halves",
    "shown",
    "special",
    "tokens",
    "turns_halves",
    "window",
    "writer_norms",
    "writer_scale",
    "writers",
]
