"""Inside the Residual Stream: the support package of the course."""

from rsutils.checks import check, exercise
from rsutils.errors import CourseError
from rsutils.models import load_model
from rsutils.questions import predict
from rsutils.quizzes import quiz
from rsutils.sources import checkpoints
from rsutils.widgets import Explorer

__all__ = ["CourseError", "Explorer", "check", "checkpoints", "exercise", "load_model", "predict", "quiz"]
