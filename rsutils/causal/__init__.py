"""Chapter 06: do the weights predict what happens when a line is cut?"""

from rsutils.causal.edges import direct_effects, total_effects
from rsutils.causal.metric import Median, logit_difference, median, normalised
from rsutils.causal.parts import Part, readers, writers
from rsutils.causal.prompts import Judged, Prompts, judge, names, offered, repeated
from rsutils.causal.table import EdgeEffects

__all__ = [
    "EdgeEffects",
    "Judged",
    "Median",
    "Part",
    "Prompts",
    "direct_effects",
    "judge",
    "logit_difference",
    "median",
    "names",
    "normalised",
    "offered",
    "readers",
    "repeated",
    "total_effects",
    "writers",
]
