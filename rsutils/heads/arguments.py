"""What a learner hands to this room's functions, checked and refused in one line."""

import operator

import torch
from jaxtyping import Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

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


def check_ids(model: TransformerBridge, ids: Int[Tensor, "batch pos"]) -> None:
    """Refuse token ids that are no rows of the model's tokens, of a length that it can read."""
    n_vocab, n_ctx = model.cfg.d_vocab, model.cfg.n_ctx
    if ids.ndim != 2 or not len(ids) or not 1 <= ids.shape[1] <= n_ctx:
        raise CourseError(
            f"expected ids of shape [batch, pos] with 1 to {n_ctx} positions, got {list(ids.shape)}: see models.tokens"
        )
    if ids.min() < 0 or ids.max() >= n_vocab:
        raise CourseError(
            f"expected ids from 0 to {n_vocab - 1}, got {ids.min()} to {ids.max()}: make them with this model's tokens"
        )
