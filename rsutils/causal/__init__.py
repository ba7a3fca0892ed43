"""Chapter 06: do the weights predict what happens when a line is cut?"""

from rsutils.causal import figures
from rsutils.causal.ablations import WAYS, ablation_effects
from rsutils.causal.changes import in_the_way
from rsutils.causal.circuit import (
    Circuit,
    all_nodes,
    edges_among,
    judge_circuit,
    judge_pipeline,
    prune,
    random_circuits,
    single_effects,
)
from rsutils.causal.contest import Board
from rsutils.causal.edges import direct_effects, total_effects
from rsutils.causal.gradients import edge_attribution, node_attribution
from rsutils.causal.metric import Estimate, difference, logit_difference, median, normalised, share
from rsutils.causal.parts import MODES, Part, readers, writers
from rsutils.causal.predictors import Predictors, from_weights, sent
from rsutils.causal.prompts import Judged, Prompts, judge, names, offered, pronouns, repeated
from rsutils.causal.ranking import lead, reliability, scoreboard
from rsutils.causal.table import EdgeEffects, NodeEffects
from rsutils.causal.weights import read, whole_map, written
from rsutils.causal.wiring import Wiring

__all__ = [
    "MODES",
    "WAYS",
    "Board",
    "Circuit",
    "EdgeEffects",
    "Estimate",
    "Judged",
    "NodeEffects",
    "Part",
    "Predictors",
    "Prompts",
    "Wiring",
    "ablation_effects",
    "all_nodes",
    "difference",
    "direct_effects",
    "edge_attribution",
    "edges_among",
    "figures",
    "from_weights",
    "in_the_way",
    "judge",
    "judge_circuit",
    "judge_pipeline",
    "lead",
    "logit_difference",
    "median",
    "names",
    "node_attribution",
    "normalised",
    "offered",
    "pronouns",
    "prune",
    "random_circuits",
    "read",
    "readers",
    "reliability",
    "repeated",
    "scoreboard",
    "sent",
    "share",
    "single_effects",
    "total_effects",
    "whole_map",
    "writers",
    "written",
]
