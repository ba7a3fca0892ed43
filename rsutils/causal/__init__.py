"""Chapter 06: do the weights predict what happens when a line is cut?"""

from rsutils.causal import figures
from rsutils.causal.ablations import WAYS, ablation_effects
from rsutils.causal.changes import in_the_way
from rsutils.causal.contest import Board
from rsutils.causal.edges import direct_effects, total_effects
from rsutils.causal.gradients import edge_attribution, node_attribution
from rsutils.causal.metric import Median, difference, logit_difference, median, normalised
from rsutils.causal.parts import MODES, Part, readers, writers
from rsutils.causal.predictors import Predictors, from_weights, sent
from rsutils.causal.prompts import Judged, Prompts, judge, names, offered, repeated
from rsutils.causal.ranking import lead, reliability, scoreboard
from rsutils.causal.table import EdgeEffects, NodeEffects
from rsutils.causal.weights import read, whole_map, written

__all__ = [
    "MODES",
    "WAYS",
    "Board",
    "EdgeEffects",
    "Judged",
    "Median",
    "NodeEffects",
    "Part",
    "Predictors",
    "Prompts",
    "ablation_effects",
    "difference",
    "direct_effects",
    "edge_attribution",
    "figures",
    "from_weights",
    "in_the_way",
    "judge",
    "lead",
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
