"""What a figure is drawn from: values as float32 arrays, and labels that stand at their own rows."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import torch

from rsutils.errors import CourseError

Values = torch.Tensor | np.ndarray | Sequence
Series = Mapping[str, Values] | Values
Labels = Sequence | None


def as_array(values: Values, ndim: int, what: str) -> np.ndarray:
    """The values as float32 of shape [n] (`ndim` 1) or [rows, columns] (`ndim` 2).

    Raises CourseError, naming `what` wants them, for another shape, infinity, or nothing but NaN.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().float()
    array = np.asarray(values, dtype=np.float32)
    if array.ndim != ndim or array.size == 0:
        want = "[rows, columns]" if ndim == 2 else "[n]"
        raise CourseError(f"{what} expected values of shape {want}, got {list(array.shape)}: pick one layer.")
    if np.isnan(array).all():
        raise CourseError(f"{what} expected at least one value that is not NaN, got none.")
    if np.isinf(array).any():
        raise CourseError(f"{what} expected finite values or NaN, got infinity: mask it with NaN first.")
    return array


def as_series(series: Series, what: str) -> list[tuple[str, np.ndarray]]:
    """Name and values, of shape [n], of each series; a bare one has no name. Raises CourseError for none."""
    if not isinstance(series, Mapping):
        series = {"": series}
    if not series:
        raise CourseError(f"{what} expected at least one series, got none.")
    return [(escape(str(name), quote=False), as_array(values, 1, what)) for name, values in series.items()]


def as_parallel(series: Series, what: str) -> tuple[list[tuple[str, np.ndarray]], int]:
    """The same for series of one length, and that length. Raises CourseError where lengths differ."""
    named = as_series(series, what)
    lengths = {len(values) for _, values in named}
    if len(lengths) > 1:
        raise CourseError(f"{what} expected series of one length, got {sorted(lengths)}: pad with NaN.")
    return named, lengths.pop()


def visible(label: object) -> str:
    """A label as it can be seen: a token's leading space as a dot, its line break as an arrow, no markup."""
    text = str(label).replace("\n", "↵")
    text = "·" + text[1:] if text.startswith(" ") else text
    return escape(text if len(text) <= 16 else text[:15] + "…", quote=False)


def places(labels: Labels, count: int, most: int) -> tuple[list, dict]:
    """Where `count` rows lie and which of them bear a label: all, or every 2nd, 5th, 10th ... one.

    >>> places([" the", " cat", " the"], 3, most=2)[1]["ticktext"]
    ['·the', '·the']
    """
    step = next(s for k in range(9) for s in (10**k, 2 * 10**k, 5 * 10**k) if count <= most * s)
    if labels is None:
        return list(range(count)), dict(tickmode="array", tickvals=list(range(0, count, step)))
    if len(labels) != count:
        raise CourseError(f"Expected {count} labels, one for each place on the axis, got {len(labels)}.")
    texts = [visible(label) for label in labels]
    # Plotly merges places of one name, and a sentence has two " the": an invisible suffix keeps them apart.
    names = [text + "\u200b" * texts[:i].count(text) for i, text in enumerate(texts)]
    return names, dict(type="category", tickmode="array", tickvals=names[::step], ticktext=texts[::step])
