"""Chapter 02 in pictures: each figure draws one table that ``traces.writes`` computes, and says what it found."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rsutils.drawing import Figure, bars, component_colours, heatmap, lines, log_axes
from rsutils.drawing.stream import Picture, draw
from rsutils.errors import CourseError
from rsutils.models import check_index, shown
from rsutils.traces.picture import numbers
from rsutils.traces.writes import Trace, by_source_position, growth, measure

Lit = str | int | Sequence[str | int] | None
MEASURES = {
    "norm": "norm of the write",
    "cosine_before": "cosine with the stream it was computed from",
    "cosine_final": "cosine with the final stream",
    "share": "share of the final stream",
}


def stream(found: Trace, position: int | None = None, lit: Lit = None) -> Picture:
    """The stream of one token (without ``position`` of the last) as a lane, and what each component wrote to it.

    With ``lit``, a part's kind (``"mlp"``), name or layer or several of them, that part stands out in a small picture
    (``drawing.stream.draw``).

    Raises:
        CourseError: there is no such position or part.
    """
    last = len(found.labels) - 1
    return draw(*numbers(found, last if position is None else check_index("position", position, last + 1)), lit=lit)


def norm_lines(found: Trace) -> Figure:
    """The stream's norm after each layer: median and range over the positions, the first position apart.

    Raises:
        CourseError: the prompt is a single token.
    """
    norms = found.streams.norm(dim=-1)
    rest = norms[:, 1:]
    if not rest.numel():
        raise CourseError("expected at least two tokens, got 1: take a longer text, the first position is drawn apart")
    median = rest.median(dim=1).values
    factor, r2 = growth(median)
    series = {"median of the other positions": median, "their smallest": rest.amin(1), "their largest": rest.amax(1)}
    ratio = (norms[-1, 0] / median[-1]).item()
    fig = lines(
        {"first position": norms[:, 0], **series},
        title=f"The median norm is multiplied by {factor:.2f} a layer (R² {r2:.2f}); the first position ends at "
        f"{ratio:.1f} times the median",
        x="after layer",
        y="norm of the stream (log scale)",
        labels=found.points,
        alt=f"Four lines on a logarithmic axis over {len(norms)} points. The median goes from {median[0]:.1f} to "
        f"{median[-1]:.1f}, the first position from {norms[0, 0]:.1f} to {norms[-1, 0]:.1f}.",
    )
    return log_axes(fig, "y")


def norm_map(found: Trace) -> Figure:
    """The stream's norm at every layer and position, as a power of ten."""
    norms = found.streams.norm(dim=-1)
    point, position = divmod(int(norms.argmax()), norms.shape[1])
    where = f"position {position} ({found.labels[position]!r}) {_after(point)}"
    return heatmap(
        norms.log10(),
        title=f"The largest norm, {norms.max():.1f}, is at {where}",
        x="position",
        y="after layer",
        unit="log10 of the norm",
        x_labels=found.labels,
        y_labels=found.points,
        alt=f"{len(norms)} points by {norms.shape[1]} positions; norms from {norms.min():.2f} to {norms.max():.1f}, "
        f"the largest at {where}.",
    )


def writes(found: Trace, position: int, kind: str = "norm") -> Figure:
    """One measure (a key of ``MEASURES``) of every write at one position.

    Raises:
        CourseError: there is no such measure or position.
    """
    if kind not in MEASURES:
        raise CourseError(f"expected one of the measures {', '.join(MEASURES)}, got {shown(kind)}: take one of these")
    position = check_index("position", position, len(found.labels))
    values = getattr(measure(found), kind)[:, position]
    # The embedding has no cosine with a stream that was there before it.
    low, high = (
        found.names[int(values.nan_to_num(torch.inf).argmin())],
        found.names[int(values.nan_to_num(-torch.inf).argmax())],
    )
    known = values[~values.isnan()]
    token = found.labels[position]
    return bars(
        values,
        title=f"{MEASURES[kind].capitalize()} at {token!r}: largest for {high} ({known.max():.2f}), "
        f"smallest for {low} ({known.min():.2f})",
        x="write",
        y=MEASURES[kind],
        labels=found.names,
        colours=component_colours(found.names),
        alt=f"One bar for each of {len(known)} writes; {(known < 0).sum()} are negative, their sum is "
        f"{known.sum():.2f}.",
    )


def cumulative_share(share: Float[Tensor, " write"], names: list[str], token: str) -> Figure:
    """How much of one position's final stream is there after each write: ``share`` is added up already.

    Raises:
        CourseError: ``share`` does not end at one, or not every write has a name.
    """
    if len(share) != len(names) or not len(share) or not abs(share[-1] - 1) < 1e-3:
        ends = f"ending at {share[-1]:.2f}" if len(share) else "none"
        raise CourseError(
            f"expected a share for each of {len(names)} writes, added up to 1, got {len(share)}, {ends}: take cumsum"
        )
    half = names[int((share >= 0.5).int().argmax())]
    return lines(
        share,
        title=f"Half of the final stream at {token!r} is there for the first time after {half}",
        x="after write",
        y="cumulative share of the final stream",
        labels=names,
        alt=f"One line over {len(share)} writes from {share[0]:.2f} to {share[-1]:.2f}; it falls at "
        f"{(share.diff() < 0).sum()} writes.",
    )


def cancellation(found: Trace, position: int) -> Figure:
    """The cosine of each pair of writes at one position: blue pairs cancel in part, red ones reinforce.

    Raises:
        CourseError: there is no such position.
    """
    position = check_index("position", position, len(found.labels))
    unit = torch.nn.functional.normalize(found.writes[:, position], dim=-1)
    cosines = unit @ unit.T
    a, b = sorted(divmod(int(cosines.argmin()), len(cosines)))
    return heatmap(
        cosines,
        title=f"At {found.labels[position]!r}, {found.names[b]} points most against {found.names[a]}: "
        f"cosine {cosines.min():.2f}",
        x="write",
        y="write",
        unit="cosine",
        x_labels=found.names,
        y_labels=found.names,
        alt=f"A symmetric matrix of {len(cosines)} writes with ones on the diagonal; "
        f"{(cosines.triu(1) < 0).sum()} of {len(cosines) * (len(cosines) - 1) // 2} pairs are negative.",
    )


def reading(found: Trace, layer: int, head: int, destination: int) -> Figure:
    """Where a head looks from one position, and how much of what it writes there comes from each source.

    Raises:
        CourseError: there is no such layer, head or position, or the head writes nothing there.
    """
    read = by_source_position(found, layer, head, destination)
    pattern = found.cache["pattern", layer][head, destination]
    total = read.sum(dim=0)
    share = read @ total / (total @ total)
    looks, most = (found.labels[int(values.argmax())] for values in (pattern, share))
    return bars(
        {"attention pattern": pattern, "share of what the head writes": share},
        title=f"From {found.labels[destination]!r}, head {head} of layer {layer} looks most at {looks!r}; "
        f"most of its write comes from {most!r}",
        x="source position",
        y="share (each sums to one)",
        labels=found.labels,
        alt=f"Two bars for each of {len(read)} positions. The largest pattern weight is {pattern.max():.2f}, the "
        f"largest share {share.max():.2f}, the smallest share {share.min():.2f}.",
    )


def remains(amount: Float[Tensor, " write"], names: list[str]) -> Figure:
    """What later writes leave of a write: the stream's component along it after the write and each later one.

    Raises:
        CourseError: ``amount`` does not begin with the write itself, 1, or not every write has a name.
    """
    if len(amount) != len(names) or not len(amount) or not abs(amount[0] - 1) < 1e-3:
        begins = f"beginning with {amount[0]:.2f}" if len(amount) else "none"
        raise CourseError(
            f"expected an amount for each of {len(names)} writes, beginning with 1, got {len(amount)}, {begins}: "
            "divide by the norm of the first write, and leave out what came before it"
        )
    return lines(
        amount,
        title=f"Of what {names[0]} wrote, {amount[-1]:.2f} is left at the end along its own direction",
        x="after write",
        y="component, in units of the write",
        labels=names,
        alt=f"A line from 1 to {amount[-1]:.2f} over {len(amount)} writes, lowest {amount.min():.2f}.",
    )


def head_component(found: Trace, layer: int, head: int, position: int) -> Figure:
    """How much of one head's write is in the stream at each point: the stream's component along it, over its norm.

    Raises:
        CourseError: there is no such layer, head or position, or the head writes nothing there.
    """
    write = by_source_position(found, layer, head, position).sum(dim=0)
    amount = found.streams[:, position] @ write / (write @ write)
    written, last = amount[layer + 1].item(), amount[-1].item()
    return lines(
        amount,
        title=f"Along the write of head {head} of layer {layer} at {found.labels[position]!r}: "
        f"{amount[layer]:.2f} before its layer, {written:.2f} after, {last:.2f} at the end",
        x="after layer",
        y="component, in units of the write",
        labels=found.points,
        alt=f"One line over {len(amount)} points. The head itself adds exactly 1 in layer {layer}; everything else is "
        "the work of other writes.",
    )


def difference(a: Trace, b: Trace) -> Figure:
    """Where the streams of two prompts of equal length differ: the norm of the difference over their mean norm.

    Raises:
        CourseError: the prompts have different numbers of tokens, or two models ran them.
    """
    if a.model is not b.model:
        raise CourseError("expected two prompts through one model, got two models: trace both with the same one")
    if len(a.labels) != len(b.labels):
        raise CourseError(
            f"expected two prompts of equal length, got {len(a.labels)} and {len(b.labels)} tokens: change one of them"
        )
    distance = (a.streams - b.streams).norm(dim=-1) / (a.streams.norm(dim=-1) + b.streams.norm(dim=-1)) * 2
    start, end = (int((row > 0).sum()) for row in (distance[0], distance[-1]))
    return heatmap(
        distance,
        title=f"The prompts differ at {start} of {len(a.labels)} positions on the way in, at {end} on the way out",
        x="position (token of the first prompt)",
        y="after layer",
        unit="difference over mean norm",
        x_labels=a.labels,
        y_labels=a.points,
        alt=f"Zero left of the first token that differs; the largest difference, {distance.max():.2f} times the mean "
        f"norm, is at position {int(distance.amax(0).argmax())}.",
    )


def _after(point: int) -> str:
    return f"after layer {point - 1}" if point else "before the first layer"
