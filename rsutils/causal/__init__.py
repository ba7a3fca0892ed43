"""Chapter 06: do the weights predict what happens when a line is cut?"""

from rsutils.causal.contest import Board
from rsutils.causal.edges import direct_effects, total_effects
from rsutils.causal.metric import Median, logit_difference, median, normalised
from rsutils.causal.parts import Part, readers, writers
from rsutils.causal.predictors import Predictors, from_weights, sent
from rsutils.causal.prompts import Judged, Prompts, judge, names, offered, repeated
from rsutils.causal.ranking import difference, reliability, scoreboard
from rsutils.causal.table import EdgeEffects
from rsutils.causal.weights import read, whole_map, written

__all__ = [
    "Board",
    "EdgeEffects",
    "Judged",
    "Median",
    "Part",
    "Predictors",
    "Prompts",
    "difference",
    "direct_effects",
    "from_weights",
    "judge",
    "logit_difference",
    "median",
    "names",
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
