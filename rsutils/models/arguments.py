"""What a learner hands to the course's functions, checked and refused in one line."""

import operator

import torch

from rsutils.errors import CourseError


def check_index(name: str, index: object, size: int) -> int:
    """``index`` as a plain whole number, of a ``name`` (layer, head, position) that is counted from 0 to ``size - 1``.

    Raises:
        CourseError: it is negative, too large, or no whole number (``True`` and ``1.0`` are none).

    >>> check_index("layer", 3, 4)
    3
    >>> check_index("layer", -1, 4)
    Traceback (most recent call last):
    rsutils.errors.CourseError: expected a layer from 0 to 3, got -1: take one of these, counted from the first as 0
    """
    try:
        is_bool = isinstance(index, bool) or getattr(index, "dtype", None) == torch.bool
        whole = -1 if is_bool else operator.index(index)  # type: ignore[arg-type]
    except TypeError:
        whole = -1
    if not 0 <= whole < size:
        raise CourseError(
            f"expected a {name} from 0 to {size - 1}, got {shown(index)}: "
            "take one of these, counted from the first as 0"
        )
    return whole


def shown(value: object) -> str:
    """``value`` as an error quotes it: on one line, cut off where it would fill the page.

    >>> len(shown("a" * 5000))
    120
    """
    line = " ".join(repr(value).split())
    return line if len(line) <= 120 else line[:117] + "..."
