"""What makes a notebook a lesson: explorers, questions to answer first, and exercises that are checked."""

from rsutils.teaching.checks import Exercise, seeded, source, verdict
from rsutils.teaching.explorer import Explorer
from rsutils.teaching.questions import Question, Quiz, predict

__all__ = [
    "Exercise",
    "Explorer",
    "Question",
    "Quiz",
    "predict",
    "seeded",
    "source",
    "verdict",
]
