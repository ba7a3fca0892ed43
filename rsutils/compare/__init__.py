"""What every comparison needs: chance, ranks, intervals, and models beside each other at relative depth."""

from rsutils.compare import figures
from rsutils.compare.chance import (
    cannot_communicate,
    check_n_directions,
    lead,
    null_deviation,
    null_scores,
    random_directions,
    rotated_reader,
    z_scores,
)
from rsutils.compare.depth import DepthMap, Likeness, beside, by_distance, likeness
from rsutils.compare.intervals import Interval, bootstrap, middle
from rsutils.compare.ranks import rank_correlation
from rsutils.compare.scores import PairScores, ScoredPair

__all__ = [
    "DepthMap",
    "Interval",
    "Likeness",
    "PairScores",
    "ScoredPair",
    "beside",
    "bootstrap",
    "by_distance",
    "cannot_communicate",
    "check_n_directions",
    "figures",
    "lead",
    "likeness",
    "middle",
    "null_deviation",
    "null_scores",
    "random_directions",
    "rank_correlation",
    "rotated_reader",
    "z_scores",
]
