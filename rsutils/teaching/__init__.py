"""What makes a notebook a lesson: explorers, questions to answer first, and exercises that are checked."""

from rsutils.teaching.checks import Exercise, source, verdict
from rsutils.teaching.draws import Draw
from rsutils.teaching.explorer import Explorer
from rsutils.teaching.questions import Question, Quiz, predict

__all__ = [
    "Draw",
    "Exercise",
    "Explorer",
    "Question",
    "Quiz",
    "predict",
    "source",
    "verdict",
]
