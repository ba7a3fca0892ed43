"""Chapter 06: do the weights predict what happens when a line is cut?"""

<<<<<<< HEAD
from rsutils.causal.contest import Board
=======
from rsutils.causal.ablations import WAYS, ablation_effects
>>>>>>> causal
from rsutils.causal.edges import direct_effects, total_effects
from rsutils.causal.gradients import edge_attribution, node_attribution
from rsutils.causal.metric import Median, logit_difference, median, normalised
from rsutils.causal.parts import Part, readers, writers
from rsutils.causal.predictors import Predictors, from_weights, sent
from rsutils.causal.prompts import Judged, Prompts, judge, names, offered, repeated
<<<<<<< HEAD
from rsutils.causal.ranking import difference, reliability, scoreboard
from rsutils.causal.table import EdgeEffects
from rsutils.causal.weights import read, whole_map, written

__all__ = [
    "Board",
=======
from rsutils.causal.table import EdgeEffects, NodeEffects

__all__ = [
    "WAYS",
>>>>>>> causal
    "EdgeEffects",
    "Judged",
    "Median",
    "NodeEffects",
    "Part",
    "Predictors",
    "Prompts",
<<<<<<< HEAD
    "difference",
    "direct_effects",
    "from_weights",
=======
    "ablation_effects",
    "direct_effects",
    "edge_attribution",
>>>>>>> causal
    "judge",
    "logit_difference",
    "median",
    "names",
    "node_attribution",
    "normalised",
    "offered",
    "read",
    "readers",
    "reliability",
    "repeated",
    "scoreboard",
    "sent",
    "total_effects",
    "whole_map",
    "writers",
    "written",
]
