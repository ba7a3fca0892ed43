"""Chapter 05: which head uses what an earlier head wrote, from the weights and from what heads do."""

from rsutils.heads import figures
from rsutils.heads.attention import (
    GPT2_SMALL_HEADS,
    Effects,
    attend,
    best_role,
    effects,
    head_scores,
    published_heads,
    repeated_tokens,
    token_table,
    without,
)
from rsutils.heads.scores import (
    METRICS,
    MODES,
    Circuits,
    Composition,
    by_depth,
    circuits,
    components,
    composition,
    null_scores,
    rotation,
)

__all__ = [
    "GPT2_SMALL_HEADS",
    "METRICS",
    "MODES",
    "Circuits",
    "Composition",
    "Effects",
    "attend",
    "best_role",
    "by_depth",
    "circuits",
    "components",
    "composition",
    "effects",
    "figures",
    "head_scores",
    "null_scores",
    "published_heads",
    "repeated_tokens",
    "rotation",
    "token_table",
    "without",
]
