"""Chapter 00 in pictures: the next token, one head's attention, and what each component writes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rsutils.drawing import Figure, bars, component_colours, heatmap
from rsutils.errors import CourseError


def next_tokens(probabilities: Float[Tensor, "n"], words: Sequence[str]) -> Figure:
    """The likeliest next tokens as bars, likeliest first: ``words`` names the token of each probability.

    Raises:
        CourseError: there is not one word for each probability, or they are not finite or not sorted.
    """
    _check(probabilities, [len(words)], "one word for each probability")
    if (probabilities.diff() > 0).any():
        raise CourseError("expected the likeliest token first, got unsorted probabilities: take them from topk")
    listed = ", ".join(f"{word.strip()} {p:.2f}" for word, p in zip(words, probabilities, strict=True))
    return bars(
        probabilities,
        title=f"After the prompt, the model expects “{words[0].strip()}” most, with probability {probabilities[0]:.2f}",
        x="next token",
        y="probability",
        labels=words,
        alt=f"Bars of the {len(words)} likeliest next tokens: {listed}",
    )


def pattern(attention: Float[Tensor, "query key"], words: Sequence[str], layer: int, head: int) -> Figure:
    """One head's attention, row = query, column = key; what the causal mask hides is grey.

    Raises:
        CourseError: there is not one row and one column for each word, values are not finite, or layer or head is
            negative.
    """
    _check(attention, [len(words)] * 2, "one row and one column for each word")
    if layer < 0 or head < 0:
        raise CourseError(f"expected layer and head counted from 0, got {layer} and {head}: count from the first")
    most = words[int(attention[-1].argmax())]
    return heatmap(
        attention.masked_fill(torch.ones_like(attention).triu(1).bool(), torch.nan),
        title=f"Layer {layer} head {head}: the last token looks most at “{most.strip()}”",
        x="looked at (key)",
        y="looks (query)",
        x_labels=words,
        y_labels=words,
        unit="attention",
        alt=f"Attention pattern, the future in grey; the last row peaks at {most} with {attention[-1].max():.2f}.",
    )


def write_norms(norms: Float[Tensor, "component"], labels: Sequence[str]) -> Figure:
    """How long a vector each component writes at the last token.

    Raises:
        CourseError: there is not one label for each norm, or they are not finite.
    """
    _check(norms, [len(labels)], "one label for each norm")
    return bars(
        norms,
        title=f"At the last token, {labels[int(norms.argmax())]} writes the longest vector",
        x="component",
        y="norm of what it writes",
        labels=labels,
        colours=component_colours(labels),
        alt=f"Bars of the norm of each of {len(labels)} parts; the shortest is {labels[int(norms.argmin())]}.",
    )


def _check(values: Tensor, shape: list[int], what: str) -> None:
    """Raise CourseError unless the values are finite, not empty and of this shape, which ``what`` says in words."""
    if list(values.shape) != shape or not values.numel():
        raise CourseError(f"expected {what}, got shape {list(values.shape)} for {shape[0]}: pass both of one text")
    if not values.is_floating_point():
        raise CourseError(f"expected floating-point numbers, got {values.dtype}: call float() first")
    if not values.isfinite().all():
        raise CourseError("expected finite numbers, got NaN or infinity: see where they were computed")
