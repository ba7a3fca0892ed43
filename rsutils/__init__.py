"""Inside the Residual Stream: the support package of the course."""

from rsutils import plotly_import  # noqa: F401 (before anything else imports plotly)
from rsutils.catalogue import check, exercise, quiz
from rsutils.errors import CourseError
from rsutils.models import checkpoints, load_model
from rsutils.teaching import Explorer, predict

__all__ = ["CourseError", "Explorer", "check", "checkpoints", "exercise", "load_model", "predict", "quiz"]
