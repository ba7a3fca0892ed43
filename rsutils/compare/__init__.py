"""What every comparison needs: chance, ranks, and models beside each other at relative depth."""

from rsutils.compare import figures
from rsutils.compare.chance import null_deviation, rotated_reader
from rsutils.compare.depth import DepthMap, Likeness, beside, by_distance, likeness
from rsutils.compare.ranks import rank_correlation
from rsutils.compare.scores import PairScores, ScoredPair

__all__ = [
    "DepthMap",
    "Likeness",
    "PairScores",
    "ScoredPair",
    "beside",
    "by_distance",
    "figures",
    "likeness",
    "null_deviation",
    "rank_correlation",
    "rotated_reader",
]
