"""Chapter 00 in pictures: the next token, one head's attention, and what each component writes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rsutils.drawing import Figure, bars, heatmap


def next_tokens(probabilities: Float[Tensor, "n"], words: Sequence[str]) -> Figure:
    """The likeliest next tokens as bars, likeliest first: ``words`` names the token of each probability."""
    listed = ", ".join(f"{word.strip()} {p:.2f}" for word, p in zip(words, probabilities, strict=True))
    return bars(
        probabilities,
        title=f"After the prompt, the model expects “{words[0].strip()}” most, with probability {probabilities[0]:.2f}",
        x="next token",
        y="probability",
        labels=words,
        alt=f"Bars of the {len(words)} likeliest next tokens: {listed}",
    )


def pattern(found: Float[Tensor, "query key"], words: Sequence[str], layer: int, head: int) -> Figure:
    """One head's attention, row = query, column = key; what the causal mask hides is grey."""
    most = words[found[-1].argmax()]
    return heatmap(
        found.masked_fill(torch.ones_like(found).triu(1).bool(), torch.nan),
        title=f"Layer {layer} head {head}: the last token looks most at “{most.strip()}”",
        x="looked at (key)",
        y="looks (query)",
        x_labels=words,
        y_labels=words,
        unit="attention",
        alt=f"Attention pattern, the future in grey; the last row peaks at {most} with {found[-1].max():.2f}.",
    )


def sizes(norms: Float[Tensor, "component"], labels: Sequence[str]) -> Figure:
    """How long a vector each component writes at the last token."""
    return bars(
        norms,
        title=f"At the last token, {labels[norms.argmax()]} writes the longest vector",
        x="component",
        y="norm of what it writes",
        labels=labels,
        alt=f"Bars of the norm of each of {len(labels)} parts; the shortest is {labels[norms.argmin()]}.",
    )
