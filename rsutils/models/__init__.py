"""What a model is, where its readers and writers are, and how it is loaded."""

from rsutils.models.files import checkpoints, free_memory
from rsutils.models.load import CHOICES, ModelInfo, describe, load_model, tokens
from rsutils.models.weights import (
    attention_readers,
    fold_and_centre,
    mlp_readers,
    n_directions,
    norms,
    parts,
    readers,
    writers,
)

__all__ = [
    "CHOICES",
    "ModelInfo",
    "attention_readers",
    "checkpoints",
    "describe",
    "fold_and_centre",
    "free_memory",
    "load_model",
    "mlp_readers",
    "n_directions",
    "norms",
    "parts",
    "readers",
    "tokens",
    "writers",
]
