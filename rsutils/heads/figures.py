"""Figures of chapter 05: each draws what it is handed."""

import re

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from rsutils.compare import PairScores, rank_correlation
from rsutils.drawing import Figure, bars, component_colours, finish, heatmap, histogram, lines, scatter
from rsutils.drawing.colours import SERIES
from rsutils.errors import CourseError
from rsutils.heads.arguments import check_mode, head_labels
from rsutils.heads.attention import Effects, TokenTable
from rsutils.heads.paths import Split
from rsutils.heads.scores import Components
from rsutils.models import shown

READS = {"Q": "queries", "K": "keys", "V": "values"}
OVER = {"rms": "root mean square over pairs of heads", "max": "strongest pair of heads"}
SOURCES = 8  # of each side of a split score, the strongest, that a picture shows
DRAWN = 0.1  # of a preference: a source that is worth less to queries and keys alike is left out of a circuit
DIRECTIONS = 24  # of each head, the strongest, that a picture of components shows


def roles(scores: dict[str, Float[Tensor, "layer head"]]) -> Figure:
    """Every head's score in each role, as bars side by side."""
    labels = head_labels(scores)
    best = {role: (labels[s.argmax()], s.max().item()) for role, s in scores.items()}
    return bars(
        {role: s.flatten() for role, s in scores.items()},
        title="Most " + ", most ".join(f"{role}: {label} ({value:.2f})" for role, (label, value) in best.items()),
        x="head",
        y="mean attention (0 to 1)",
        labels=labels,
        alt=f"Three bars for each of {len(labels)} heads.",
    )


def token_table(found: TokenTable) -> Figure:
    """One circuit of one head between the tokens of a text."""
    own = (found.values.argmax(dim=1) == torch.arange(len(found.words))).float().mean().item()
    of_ov = found.circuit == "OV"
    rows, columns = ("attended token", "token whose logit changes") if of_ov else ("query", "key one behind")
    return heatmap(
        found.values,
        title=f"{found.circuit} of L{found.layer}H{found.head}: the token itself is the largest of its row for "
        f"{own:.0%} of the tokens",
        x=columns,
        y=rows,
        x_labels=found.words,
        y_labels=found.words,
        unit="change of logit" if of_ov else "attention score",
        alt=f"{len(found.words)} by {len(found.words)} tokens, from {found.values.min():.2f} to "
        f"{found.values.max():.2f}.",
    )


def composition(scores: dict[str, PairScores], mode: str, metric: str) -> Figure:
    """One mode and metric over all heads, row = source, column = destination.

    Raises:
        CourseError: there is no such mode, metric or pair.
    """
    pairs = _pairs(scores, mode)
    ((source, destination, value),) = pairs.top(metric, 1)
    return heatmap(
        pairs.metric(metric),
        title=f"{mode}-composition: {source} feeds the {READS[mode]} of {destination} most ({metric} {value:.2f})",
        x="destination head (reads)",
        y="source head (writes)",
        x_labels=pairs.destinations,
        y_labels=pairs.sources,
        unit=metric,
        alt=f"{len(pairs.sources)} heads by {len(pairs.destinations)} heads; only the {pairs.there.sum()} pairs with "
        f"the source in an earlier layer have a value. The strongest is {source} to {destination}.",
    )


def null(
    drawn: Float[Tensor, " draw"], scores: dict[str, PairScores], mode: str, source: str, destination: str
) -> Figure:
    """One pair's score beside the scores that random rotations between its two circuits give (``null_scores``).

    Raises:
        CourseError: there is no such mode or pair.
    """
    pairs = _pairs(scores, mode)
    place = pairs.place(source, destination)
    if not len(drawn) or not drawn.isfinite().all():
        raise CourseError(f"expected finite scores, one at least, got {shown(drawn.tolist())}: see null_scores")
    actual, z = float(pairs.score[place]), float(pairs.z[place])
    fig = histogram(
        {"random rotations": drawn},
        title=f"{source} to {destination}: score {actual:.3f}; {len(drawn)} random rotations reach {drawn.max():.3f} "
        f"(z {z:.1f})",
        x=f"{mode}-composition score",
        alt=f"Random scores from {drawn.min():.3f} to {drawn.max():.3f}; the pair's own is marked at {actual:.3f}.",
        bins=30,
    )
    fig.add_vline(
        x=actual, line=dict(width=3, dash="dash"), annotation_text="this pair", annotation_position="top left"
    )
    return fig


def controls(z: dict[str, Float64[np.ndarray, "*pairs"]], mode: str) -> Figure:
    """How many pairs of each kind have a z of at least so much: those that can communicate beside their controls."""
    check_mode(mode)
    z = {kind: values[~np.isnan(values)] for kind, values in z.items()}
    if not z or not all(len(each) for each in z.values()):
        raise CourseError("expected pairs of every kind, got none of some: take a model of two layers or more")
    at = np.linspace(min(each.min() for each in z.values()), max(each.max() for each in z.values()), 200)
    told = [f"{np.mean(each > 3):.0%} of the pairs that {kind}" for kind, each in z.items()]
    return lines(
        {kind: np.mean(each[:, None] >= at, axis=0) for kind, each in z.items()},
        at=at,
        title=f"{mode}-composition, z beyond 3: {', '.join(told)}",
        x="z",
        y="share of the pairs with that z or more",
        alt=" ".join(
            f"{kind}: {len(each)} pairs, z from {each.min():.1f} to {each.max():.1f}." for kind, each in z.items()
        ),
    )


def split(found: Split) -> Figure:
    """Which two writes meet in a head's preference for the induction key: the strongest sources of either side."""
    shares, n = found.shares, min(SOURCES, len(found.names))
    rows, columns = (found.worth[mode].abs().topk(n).indices.sort().values for mode in "QK")
    seen = shares[rows][:, columns]
    i, j = divmod(int(seen.argmax()), n)
    query, key = found.names[rows[i]], found.names[columns[j]]
    return heatmap(
        seen,
        title=f"{found.destination}'s preference: {query} in the query with {key} in the key makes {seen.max():.0%}",
        x="wrote what the key reads",
        y="wrote what the query reads",
        x_labels=[found.names[k] for k in columns],
        y_labels=[found.names[k] for k in rows],
        unit="part of the whole",
        alt=f"{n} by {n} of {len(found.names)} sources; those shown hold {seen.sum():.0%}.",
        mark={(i, j): f"{query} with {key}"},
    )


def circuit(found: Split) -> Figure:
    """What leads one head's attention: the heads and MLPs that its queries and its keys read most, by layer."""
    worth = {READS[mode]: dict(zip(found.names, each.tolist(), strict=True)) for mode, each in found.worth.items()}
    queries, keys = worth.values()
    sources = [name for name in found.names if max(abs(queries[name]), abs(keys[name])) >= DRAWN]
    sources.sort(key=lambda name: abs(keys[name]) - abs(queries[name]))
    places = {name: ((i + 0.5) / len(sources), _layer(name)) for i, name in enumerate(sources)}
    told = {
        name: ", ".join(f"{reads} {each[name]:.0%}" for reads, each in worth.items() if abs(each[name]) >= DRAWN)
        for name in sources
    }
    to_x, to_y = places[found.destination] = (0.5, _layer(found.destination))
    fig = go.Figure(layout=dict(showlegend=True))
    for (reads, each), colour, dash, aside in zip(
        worth.items(), SERIES, ("solid", "dash"), (-0.05, 0.05), strict=False
    ):
        named = False
        for name in (name for name in sources if abs(each[name]) >= DRAWN):
            x, y = places[name]
            line = dict(color=colour, dash=dash, width=2 + 6 * min(1.0, abs(each[name])))
            ends = dict(x=[x, to_x + aside], y=[y, to_y])
            fig.add_scatter(**ends, mode="lines", line=line, name=reads, legendgroup=reads, showlegend=not named)
            named = True
    fig.add_scatter(
        x=[x for x, _ in places.values()],
        y=[y for _, y in places.values()],
        mode="markers+text",
        marker=dict(size=18, color=component_colours(places), symbol="square"),
        text=[f"{name}<br>{told.get(name, '')}" for name in places],
        textposition=["bottom center"] * len(sources) + ["top center"],
        showlegend=False,
    )
    fig = finish(
        fig,
        title=f"{max(queries, key=lambda name: queries[name])} leads the queries of {found.destination}, "
        f"{max(keys, key=lambda name: keys[name])} its keys",
        x="sources: of queries to the left, of keys to the right",
        y="layer",
        alt="; ".join(f"{name}: {words}" for name, words in told.items())
        + f". What is worth less than {DRAWN:.0%} to both is left out.",
    )
    heights = sorted({y for _, y in places.values()})
    fig.update_xaxes(range=[-0.1, 1.1], showticklabels=False, showgrid=False, zeroline=False)
    fig.update_yaxes(
        range=[heights[0] - 0.35 * (1 + heights[-1] - heights[0]), heights[-1] + 0.5], showgrid=False, zeroline=False
    )
    return fig.update_yaxes(tickvals=heights, ticktext=["in" if y < 0 else f"{int(y)}" for y in heights])


def _layer(name: str) -> float:
    """How high in a picture a write stands: the embedding below layer 0, an MLP above its layer's heads."""
    numbers = re.findall(r"\d+", name)
    return int(numbers[0]) + 0.5 * name.startswith("MLP") if numbers else -1.0


def components(found: Components) -> Figure:
    """Between which singular directions of the two heads a pair's composition runs."""
    shares, first = found.shares, found.shares[:DIRECTIONS, :DIRECTIONS]
    i, j = divmod(int(shares.argmax()), shares.shape[1])
    return heatmap(
        first,
        title=f"{found.source} to {found.destination}, {found.mode}: direction {i} written and direction {j} read "
        f"carry {shares.max():.0%}; an even share is {1 / shares.numel():.2%}",
        x=f"direction that {found.destination} reads (by singular value)",
        y=f"direction that {found.source} writes (by singular value)",
        unit="share of the squared norm",
        alt=f"The first {len(first)} of {len(shares)} directions of each head hold {first.sum():.0%} of the pair's "
        "squared composition.",
    )


def prediction(
    scores: dict[str, PairScores], effects: Effects, mode: str, metric: str, pair: tuple[str, str] | None = None
) -> Figure:
    """What the weights say of each pair against what ablating the source does to the destination's attention.

    The ``pair`` of source and destination that the text speaks of is ringed.

    Raises:
        CourseError: there is no such mode, metric or pair.
    """
    pairs = _pairs(scores, mode)
    x, y = torch.from_numpy(pairs.metric(metric)), effects.pattern
    if x.shape != y.shape:
        raise CourseError(f"expected effects of {len(x)} heads, got {len(y)}: measure both on one model")
    rho = rank_correlation(x, y)
    source, destination = (~x.isnan()).nonzero(as_tuple=True)
    names = [f"{pairs.sources[s]} to {pairs.destinations[d]}" for s, d in zip(source, destination, strict=True)]
    spoken_of = {}
    if pair is not None:
        pairs.place(*pair)
        name = "{} to {}".format(*pair)
        spoken_of = {names.index(name): name}
    return scatter(
        x[source, destination],
        y[source, destination],
        mark=spoken_of,
        title=f"{mode}-composition ({metric}) against the effect on attention, {len(names)} pairs: "
        f"rank correlation {rho:.2f}",
        x=f"{mode}-composition, {metric}",
        y="change of the destination's attention (0 to 1)",
        labels=names,
        alt=f"One point a pair. Rank correlation {rho:.2f}. Largest effect: "
        f"{names[int(y[source, destination].argmax())]}.",
    )


def _pairs(scores: dict[str, PairScores], mode: str) -> PairScores:
    """The pairs of one mode, of which there must be some."""
    check_mode(mode)
    if mode not in scores:
        raise CourseError(f"expected scores of {mode}, got {shown(list(scores))}: take what composition gives")
    if not scores[mode].there.any():
        raise CourseError("expected heads in two layers or more, got one layer: take a model of more layers")
    return scores[mode]
