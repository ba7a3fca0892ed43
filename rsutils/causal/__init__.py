"""Chapter 06: do the weights predict what happens when a line is cut?"""

from rsutils.causal.ablations import WAYS, ablation_effects
from rsutils.causal.edges import direct_effects, total_effects
from rsutils.causal.gradients import edge_attribution, node_attribution
from rsutils.causal.metric import Median, difference, logit_difference, median, normalised
from rsutils.causal.parts import MODES, Part, readers, writers
from rsutils.causal.prompts import Judged, Prompts, judge, names, offered, repeated
from rsutils.causal.table import EdgeEffects, NodeEffects

__all__ = [
    "MODES",
    "WAYS",
    "EdgeEffects",
    "Judged",
    "Median",
    "NodeEffects",
    "Part",
    "Prompts",
    "ablation_effects",
    "difference",
    "direct_effects",
    "edge_attribution",
    "judge",
    "logit_difference",
    "median",
    "names",
    "node_attribution",
    "normalised",
    "offered",
    "readers",
    "repeated",
    "total_effects",
    "writers",
]
