"""Chapter 02's fifth section in pictures: who wrote the answer, by layer, by write, by head and by source."""

from html import escape

from jaxtyping import Float, Int
from torch import Tensor

from rsutils.drawing import Figure, bars, heatmap
from rsutils.errors import CourseError
from rsutils.models import check_index
from rsutils.traces.writes import Contrast, Trace


def lens(found: Trace, ids: Int[Tensor, "point pos"], probabilities: Float[Tensor, "point pos"]) -> Figure:
    """A logit lens's first guess (``ids``) and its probability at each layer and position.

    Raises:
        CourseError: there is not one id of the model's vocabulary and one probability a layer and position.
    """
    shape, d_vocab = found.streams.shape[:2], found.model.cfg.d_vocab
    if ids.shape != shape or probabilities.shape != shape:
        got = f"{list(ids.shape)} and {list(probabilities.shape)}"
        raise CourseError(f"expected ids and probabilities of shape {list(shape)}, got {got}: take top_k=1 of the lens")
    for extreme in (ids.min(), ids.max()):
        check_index("token", int(extreme), d_vocab)
    agree = (ids == ids[-1]).float().mean(dim=1)
    settled = int((agree >= 0.5).int().argmax())
    when = f"after layer {settled - 1}" if settled else "before the first layer"
    words = [[str(found.model.to_string([i])) for i in row] for row in ids.tolist()]
    fig = heatmap(
        probabilities,
        title=f"The lens agrees with the output at half of the positions for the first time {when}",
        x="position",
        y="after layer",
        unit="probability of the first guess",
        x_labels=found.labels,
        y_labels=found.points,
        alt="First guess at each layer and position. At the last position, from the first layer's input up: "
        + ", ".join(repr(row[-1]) for row in words)
        + ".",
    )
    cells = [[escape(word.replace("\n", "↵")) for word in row] for row in words]
    fig.update_traces(text=cells, hovertemplate="%{text}<br>" + fig.data[0].hovertemplate)
    # In narrower cells the words would run into each other.
    return fig.update_traces(texttemplate="%{text}", textfont_size=11) if ids.shape[1] <= 20 else fig


def writes(names: list[str], effects: dict[str, Float[Tensor, " write"]], contrast: Contrast) -> Figure:
    """What each write adds to one token's logit over another's, by one or more ways of asking (``effects``).

    Raises:
        CourseError: no way of asking is given, or one that has not a number for each write.
    """
    if not effects:
        raise CourseError("expected at least one way of asking, got none: hand over {'direct attribution': values}")
    for effect in effects.values():
        _check_numbers(effect, [len(names)], "a number for each write")
    (asked, values), *others = effects.items()
    right, wrong = contrast.words
    best, worst = (names[int(i)] for i in (values.argmax(), values.argmin()))
    finding = f"{asked}: {best} adds most to {right!r} over {wrong!r} ({values.max():+.2f}), "
    finding += f"{worst} least ({values.min():+.2f})"
    for other, effect in others[-1:]:
        most = int((effect - values).abs().argmax())
        finding = f"{asked} and {other} differ most for {names[most]}: {values[most]:+.2f} against {effect[most]:+.2f}"
    return bars(
        effects,
        title=finding[0].upper() + finding[1:],
        x="from",
        y=f"logit of {right!r} minus logit of {wrong!r}",
        labels=names,
        alt=f"{len(values)} groups of bars. "
        + " ".join(f"Those of {name!r} sum to {effect.sum():+.2f}." for name, effect in effects.items()),
    )


def heads(added: Float[Tensor, "layer head"], contrast: Contrast) -> Figure:
    """What each head adds to one token's logit over another's; the title names the layer that cancels most.

    Raises:
        CourseError: ``added`` has another shape, is empty or holds NaN.
    """
    _check_numbers(added, ["layers", "heads"], "a number for each head")
    sizes, sums = added.abs().sum(dim=1), added.sum(dim=1)
    layer = int((sizes - sums.abs()).argmax())
    right, wrong = contrast.words
    return heatmap(
        added,
        title=f"Heads of layer {layer} cancel most: their sizes sum to {sizes[layer]:.1f}, they themselves to "
        f"{sums[layer]:+.1f}",
        x="head",
        y="layer",
        unit=f"added to {right!r} over {wrong!r}",
        alt=f"{added.shape[0]} layers by {added.shape[1]} heads, from {added.min():.2f} to {added.max():.2f}.",
    )


def sources(added: Float[Tensor, " source"], tokens: list[str], layer: int, head: int, contrast: Contrast) -> Figure:
    """Where a head read what it adds to one token's logit over another's: its parts by source position.

    Raises:
        CourseError: there is not a number for each token.
    """
    _check_numbers(added, [len(tokens)], "a number for each token")
    most = int(added.argmax())
    right, wrong = contrast.words
    return bars(
        added,
        title=f"Head {head} of layer {layer} reads {right!r} at {tokens[most]!r}: {added[most]:+.2f} of "
        f"{added.sum():+.2f}",
        x="source position",
        y=f"added to {right!r} over {wrong!r}",
        labels=tokens,
        alt=f"One bar for each of {len(added)} positions; the largest at position {most}.",
    )


def _check_numbers(values: Tensor, shape: list, what: str) -> None:
    """Finite numbers of this shape, where a word stands for any size above zero."""
    fits = values.ndim == len(shape) and all(
        n == m or isinstance(m, str) for n, m in zip(values.shape, shape, strict=True)
    )
    if not fits or not values.numel() or not values.isfinite().all():
        state = "" if values.isfinite().all() else " with NaN or infinity"
        raise CourseError(
            f"expected {what}, shape [{', '.join(map(str, shape))}], got {list(values.shape)}{state}: "
            "hand over one finite number each"
        )
