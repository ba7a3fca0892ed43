"""Chapter 02's fifth section in pictures: who wrote the answer, by layer, by write, by head and by source."""

from html import escape

from jaxtyping import Float
from torch import Tensor

from rsutils.drawing import Figure, bars, heatmap
from rsutils.traces.writes import Trace


def lens(found: Trace, ids: Tensor, probabilities: Float[Tensor, "point pos"]) -> Figure:
    """A logit lens's first guess (``ids``, shape [point, pos]) and its probability at each layer and position."""
    agree = (ids == ids[-1]).float().mean(dim=1)
    settled = (agree >= 0.5).int().argmax().item()
    when = f"after layer {settled - 1}" if settled else "before the first layer"
    fig = heatmap(
        probabilities,
        title=f"The lens agrees with the output at half of the positions for the first time {when}",
        x="position",
        y="after layer",
        unit="probability of the first guess",
        x_labels=found.labels,
        y_labels=found.points,
        alt="First guess at each layer and position. At the last position, from the first layer's input up: "
        + ", ".join(repr(found.model.to_string([i])) for i in ids[:, -1].tolist())
        + ".",
    )
    cells = [[escape(found.model.to_string([i]).replace("\n", "↵")) for i in row] for row in ids.tolist()]
    fig.update_traces(text=cells, hovertemplate="%{text}<br>" + fig.data[0].hovertemplate)
    # In narrower cells the words would run into each other.
    return fig.update_traces(texttemplate="%{text}", textfont_size=11) if ids.shape[1] <= 20 else fig


def attribution(names: list[str], effects: dict[str, Float[Tensor, " write"]], right: str, wrong: str) -> Figure:
    """What each write adds to one token's logit over another's, by one or more ways of asking (``effects``)."""
    (asked, values), *others = effects.items()
    best, worst = (names[i] for i in (values.argmax().item(), values.argmin().item()))
    finding = f"{asked}: {best} adds most to {right!r} over {wrong!r} ({values.max():+.2f}), "
    finding += f"{worst} least ({values.min():+.2f})"
    for other, effect in others[-1:]:
        most = (effect - values).abs().argmax().item()
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


def heads(added: Float[Tensor, "layer head"], right: str, wrong: str) -> Figure:
    """What each head adds to one token's logit over another's; the title names the layer that cancels most."""
    sizes, sums = added.abs().sum(dim=1), added.sum(dim=1)
    layer = (sizes - sums.abs()).argmax()
    return heatmap(
        added,
        title=f"Heads of layer {layer} cancel most: their sizes sum to {sizes[layer]:.1f}, they themselves to "
        f"{sums[layer]:+.1f}",
        x="head",
        y="layer",
        unit=f"added to {right!r} over {wrong!r}",
        alt=f"{added.shape[0]} layers by {added.shape[1]} heads, from {added.min():.2f} to {added.max():.2f}.",
    )


def sources(
    added: Float[Tensor, " source"], tokens: list[str], layer: int, head: int, right: str, wrong: str
) -> Figure:
    """Where a head read what it adds to one token's logit over another's: its parts by source position."""
    most = added.argmax().item()
    return bars(
        added,
        title=f"Head {head} of layer {layer} reads {right!r} at {tokens[most]!r}: {added[most]:+.2f} of "
        f"{added.sum():+.2f}",
        x="source position",
        y=f"added to {right!r} over {wrong!r}",
        labels=tokens,
        alt=f"One bar for each of {len(added)} positions; the largest at position {most}.",
    )
