"""What a figure is drawn from: values as float32 arrays, and labels that stand at their own rows."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import torch

from rsutils.errors import CourseError

Values = torch.Tensor | np.ndarray | Sequence
Series = Mapping[str, Values] | Values
Labels = Sequence | None
Number = int | float  # beartype lets no int pass for a float


def as_array(values: Values, ndim: int, what: str) -> np.ndarray:
    """The values as float32 of shape [n] (``ndim`` 1) or [rows, columns] (``ndim`` 2).

    Raises CourseError, naming ``what`` wants them, for another shape, infinity, or nothing but NaN.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().float()
    try:
        array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise CourseError(f"expected numbers for {what}, got {type(values).__name__}: give it a tensor") from None
    if array.ndim != ndim or array.size == 0:
        want = "[rows, columns]" if ndim == 2 else "[n]"
        advice = "index or reshape them to fit" if array.size else "there is nothing to draw"
        raise CourseError(f"expected values of shape {want} for {what}, got {list(array.shape)}: {advice}")
    if np.isnan(array).all():
        raise CourseError(f"expected at least one value that is not NaN for {what}, got none: check what made them")
    if np.isinf(array).any():
        raise CourseError(f"expected finite values or NaN for {what}, got infinity: mask it with NaN first")
    return array


def as_series(series: Series, what: str) -> list[tuple[str, np.ndarray]]:
    """Name and values, of shape [n], of each series; a bare one has no name. Raises CourseError for none."""
    if not isinstance(series, Mapping):
        series = {"": series}
    if not series:
        raise CourseError(f"expected at least one series for {what}, got none: name one")
    return [(escape(str(name), quote=False), as_array(values, 1, what)) for name, values in series.items()]


def as_parallel(series: Series, what: str) -> tuple[list[tuple[str, np.ndarray]], int]:
    """The same for series of one length, and that length. Raises CourseError where lengths differ."""
    named = as_series(series, what)
    lengths = {len(values) for _, values in named}
    if len(lengths) > 1:
        raise CourseError(f"expected series of one length for {what}, got {sorted(lengths)}: pad with NaN")
    return named, lengths.pop()


def seen(token: object) -> str:
    """A token as it can be seen: its leading space as a dot, line breaks and tabs as arrows, a long name cut short.

    >>> seen(" Mary"), seen("<|endoftext|>")
    ('·Mary', '<|eot|>')
    """
    text = str(token).replace("<|endoftext|>", "<|eot|>").replace("\n", "↵").replace("\t", "⇥")
    return "·" + text[1:] if text.startswith(" ") else text


def visible(label: object) -> str:
    """A label as a figure shows it: as ``seen``, of at most 16 letters, without markup."""
    text = seen(label)
    return escape(text if len(text) <= 16 else text[:15] + "…", quote=False)


def places(labels: Labels, count: int, most: int) -> tuple[list, dict]:
    """Where ``count`` rows lie and which of them bear a label: all, or every 2nd, 5th, 10th ... one.

    >>> places([" the", " cat", " the"], 3, most=2)[1]["ticktext"]
    ['·the', '·the']
    """
    step = next(s for k in range(9) for s in (10**k, 2 * 10**k, 5 * 10**k) if count <= most * s)
    if labels is None:
        return list(range(count)), dict(tickmode="array", tickvals=list(range(0, count, step)))
    if len(labels) != count:
        raise CourseError(f"expected {count} labels, got {len(labels)}: give one for each place on the axis")
    texts = [visible(label) for label in labels]
    # Plotly merges places of one name, and a sentence has two " the": an invisible suffix keeps them apart.
    names = [text + "\u200b" * texts[:i].count(text) for i, text in enumerate(texts)]
    return names, dict(type="category", tickmode="array", tickvals=names[::step], ticktext=texts[::step])


def log_ticks(low: Number, high: Number) -> list[float]:
    """Round numbers for a logarithmic axis from ``low`` to ``high``: four to ten of them where there are any.

    >>> log_ticks(4, 1200)
    [5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
    """
    decades = np.log10(high / low)
    heads = (1, 1.5, 2, 3, 4, 5, 7) if decades < 1 else (1, 2, 5) if decades < 3 else (1,)
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    step = max(1, round(decades / 7))
    ticks = [head * 10.0**power for power in range(first, last + 1, step) for head in heads]
    return [tick for tick in ticks if low <= tick <= high]
