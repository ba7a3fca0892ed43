"""Chapter 05: which head uses what an earlier head wrote, from the weights and from what heads do."""

from rsutils.heads import figures
from rsutils.heads.arguments import MODES
from rsutils.heads.attention import (
    GPT2_SMALL_HEADS,
    ablate_each_head,
    attend,
    best_role,
    head_scores,
    mean_ablated,
    patterns,
    published_heads,
    repeated_tokens,
    token_table,
    who_plays,
)
from rsutils.heads.paths import Cut, Split, cut_each_path, split_preference
from rsutils.heads.scores import (
    Circuits,
    at_random,
    by_depth,
    circuits,
    components,
    composition,
    null_scores,
    rotation,
)

__all__ = [
    "GPT2_SMALL_HEADS",
    "MODES",
    "Circuits",
    "Cut",
    "Split",
    "ablate_each_head",
    "at_random",
    "attend",
    "best_role",
    "by_depth",
    "circuits",
    "components",
    "composition",
    "cut_each_path",
    "figures",
    "head_scores",
    "mean_ablated",
    "null_scores",
    "patterns",
    "published_heads",
    "repeated_tokens",
    "rotation",
    "split_preference",
    "token_table",
    "who_plays",
]
