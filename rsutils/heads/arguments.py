"""What a learner hands to this room's functions, checked and refused in one line."""

import operator

import torch
from jaxtyping import Float
from torch import Tensor

from rsutils.errors import CourseError
from rsutils.models import shown

MODES = ("Q", "K", "V")


def check_mode(mode: object) -> None:
    """Refuse what is no mode of composition.

    >>> check_mode("k")
    Traceback (most recent call last):
    rsutils.errors.CourseError: expected a mode among Q, K, V, got 'k': choose what the destination reads with
    """
    if mode not in MODES:
        raise CourseError(
            f"expected a mode among {', '.join(MODES)}, got {shown(mode)}: choose what the destination reads with"
        )


def check_whole(what: str, value: object, low: int, high: int) -> int:
    """``value`` as a plain whole number from ``low`` to ``high``; ``True`` and ``2.0`` are none.

    >>> check_whole("a number of draws", 0, 1, 100)
    Traceback (most recent call last):
    rsutils.errors.CourseError: expected a number of draws from 1 to 100, got 0: take a whole number in this range
    """
    is_bool = isinstance(value, bool) or getattr(value, "dtype", None) == torch.bool
    try:
        whole = None if is_bool else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        whole = None
    if whole is None or not low <= whole <= high:
        raise CourseError(
            f"expected {what} from {low} to {high}, got {shown(value)}: take a whole number in this range"
        )
    return whole


def head_labels(scores: dict[str, Float[Tensor, "layer head"]]) -> list[str]:
    """``"L0H0"``, ``"L0H1"``, ...: the heads that have scores by role.

    >>> head_labels({"induction": torch.tensor([[0.1, 0.9]])})
    ['L0H0', 'L0H1']
    """
    shapes = {tuple(each.shape) for each in scores.values()}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2 or 0 in shape:
        raise CourseError("expected scores [layer, head] of one shape by role, got others: take what head_scores gives")
    return [f"L{layer}H{head}" for layer in range(shape[0]) for head in range(shape[1])]
