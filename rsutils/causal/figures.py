"""Figures of chapter 06: each draws what it is handed."""

import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from rsutils.causal.circuit import Circuit
from rsutils.causal.parts import owner
from rsutils.causal.predictors import Predictors
from rsutils.causal.ranking import Edges, pick, within_layers
from rsutils.causal.table import EdgeEffects, NodeEffects
from rsutils.compare import rank_correlation
from rsutils.drawing import Figure, component_colours, finish, heatmap, histogram, scatter
from rsutils.drawing.axes import Values
from rsutils.drawing.colours import SERIES
from rsutils.errors import CourseError

READ = {  # how a line is drawn, by what reads it
    "Q": ("Q", SERIES[0], "solid"),
    "K": ("K", SERIES[1], "dash"),
    "V": ("V", SERIES[2], "dot"),
    "mlp": ("MLP", SERIES[3], "dashdot"),
    "unembed": ("unembedding", SERIES[4], "longdash"),
}
ASIDE = {"Q": -0.015, "V": 0.015}  # so that three lines between the same parts are seen
UNITS = {
    "live": "change at the reader",
    "frozen": "change at the reader, norm held",
    "total": "fall of the logit difference",
    "normalised": "share of the logit difference",
}


def edges(effects: EdgeEffects, metric: str, kind: str) -> Figure:
    """The mean effect of every edge into one kind of reader (Q, K, V, mlp, unembed), row = writer, column = reader.

    Raises:
        CourseError: these edges were not measured so.
    """
    columns = [i for i, name in enumerate(effects.destinations) if kind_of(name) == kind]
    rows = [i for i in range(len(effects.sources)) if not np.isnan(effects.effect(metric)[i, columns]).all()]
    values = effects.effect(metric)[np.ix_(rows, columns)]
    sources, destinations = [effects.sources[i] for i in rows], [effects.destinations[i] for i in columns]
    row, column = np.unravel_index(np.nanargmax(np.abs(values)), values.shape)
    return heatmap(
        values,
        title=f"{effects.family}: {sources[row]} into {destinations[column]} does most, {values[row, column]:.2f}",
        x="reader",
        y="writer",
        x_labels=destinations,
        y_labels=sources,
        unit=UNITS[metric],
        alt=f"{len(sources)} writers by {len(destinations)} readers; edges whose reader does not come later are empty.",
    )


def edge(effects: EdgeEffects, source: str, destination: str, metric: str) -> Figure:
    """One edge's effect prompt by prompt.

    Raises:
        CourseError: there is no such edge or metric, or it was not measured.
    """
    mean, interval = effects.of(source, destination, metric)
    values = effects.prompts(metric)[effects.sources.index(source), effects.destinations.index(destination)]
    return histogram(
        values[~np.isnan(values)],
        title=f"{source} into {destination}: {mean:.2f} on average ({interval:.2f})",
        x=f"{UNITS[metric]}, {effects.corruption} corruption",
        y="prompts",
        alt=f"{np.isfinite(values).sum()} prompts of the {effects.family} family, from {np.nanmin(values):.2f} to "
        f"{np.nanmax(values):.2f}.",
        bins=30,
    )


def ablations(effects: NodeEffects) -> Figure:
    """What each part is worth by each way of taking it away, row = part, column = way."""
    values = np.stack([effects.effect(way) for way in effects.values], axis=1)
    spread = np.nanmax(values, axis=1) - np.nanmin(values, axis=1)
    odd = int(np.nanargmax(spread))
    return heatmap(
        values,
        title=f"{effects.family}: what {effects.parts[odd]} is worth depends most on the way, "
        f"{np.nanmin(values[odd]):.1f} to {np.nanmax(values[odd]):.1f}",
        x="replaced by",
        y="part",
        x_labels=list(effects.values),
        y_labels=effects.parts,
        unit=UNITS["total"],
        alt=f"{len(effects.parts)} parts by {len(effects.values)} ways of ablation.",
    )


def slopes(truth: Values, estimates: dict[str, Values], names: list[str]) -> Figure:
    """Effects by slope against effects by patching, a part a point; the part that the first estimate misses most."""
    truth = np.asarray(truth)
    first, estimate = next(iter(estimates.items()))
    worst = int(np.abs(np.asarray(estimate) - truth).argmax())
    return scatter(
        np.concatenate([truth] * len(estimates)),
        np.concatenate([np.asarray(each) for each in estimates.values()]),
        title=f"{names[worst]}: the {first} says {estimate[worst]:.1f}, patching says {truth[worst]:.1f}",
        x="patched: " + UNITS["total"],
        y="by slope: " + UNITS["total"],
        groups=[name for name in estimates for _ in truth],
        alt="; ".join(
            f"{name}: rank correlation {rank_correlation(np.asarray(each), truth):.2f}"
            for name, each in estimates.items()
        ),
    )


def board(table: pd.DataFrame, kind: str, reliability: float) -> Figure:
    """Every predictor's correlation with the effects, within pairs of layers and pooled, with intervals.

    ``table`` is a ``scoreboard``.
    """
    fig = go.Figure(layout=dict(showlegend=True))
    places = np.arange(len(table))[::-1]
    for column, name, symbol, above in (
        ("within", "within pairs of layers", "circle", 0.13),
        ("pooled", "pooled", "diamond-open", -0.13),
    ):
        values, ends = table[column], list(table[f"{column}_interval"])
        fig.add_scatter(
            x=values,
            y=places + above,
            name=name,
            mode="markers",
            marker=dict(symbol=symbol, size=11),
            error_x=dict(
                type="data",
                array=[end.high - value for end, value in zip(ends, values, strict=True)],
                arrayminus=[value - end.low for end, value in zip(ends, values, strict=True)],
                thickness=1.5,
            ),
        )
    fig.update_layout(
        xaxis=dict(range=[-1.05, 1.05]),
        yaxis=dict(tickvals=places, ticktext=table["predictor"], showgrid=False, zeroline=False),
    )
    measured = table.dropna(subset="within")
    best = measured.iloc[0] if len(measured) else table.sort_values("pooled", ascending=False).iloc[0]
    where = "within pairs of layers" if len(measured) else "pooled"
    value = best["within"] if len(measured) else best["pooled"]
    return finish(
        fig,
        title=f"Effects on {kind}: {best['predictor']} ranks them best {where} ({value:.2f}; the effects themselves "
        f"repeat at {reliability:.2f})",
        x="rank correlation with the effect (bars: 95% over writers and readers)",
        y="predictor",
        alt="; ".join(
            f"{row.predictor}: within {row.within:.2f}, pooled {row.pooled:.2f}" for row in table.itertuples()
        ),
        height=120 + 40 * len(table),
    )


def by_layers(predictors: Predictors, effects: EdgeEffects, metric: str, kind: str, name: str) -> Figure:
    """One predictor against the effect, an edge a point, pairs of layers told apart.

    Raises:
        CourseError: as in ``scoreboard``.
    """
    found: Edges = pick(predictors, effects, metric, kind, name)
    there = ~(np.isnan(found.effect) | np.isnan(found.value))
    width = len(predictors.sources)
    return scatter(
        found.value[there],
        found.effect[there],
        title=f"{name} and the effect on {kind}: rank correlation {rank_correlation(found.value, found.effect):.2f} "
        f"pooled, {within_layers(found):.2f} within pairs of layers",
        x=name,
        y=UNITS[metric],
        groups=[f"layer {block // width} to {block % width}" for block in found.block[there]],
        alt=f"{there.sum()} edges in {len(np.unique(found.block[there]))} pairs of layers.",
    )


def circuit(found: Circuit) -> Figure:
    """A circuit of edges, from the prompt at the bottom to the unembedding on top; a line tells how it is read.

    Raises:
        CourseError: the circuit has nodes and no edges.
    """
    if found.kind != "edges" or not found.members:
        raise CourseError(
            "expected a circuit of edges, got one of nodes: take prune(wiring, edges_among(wiring, nodes))"
        )
    places = _places(found.nodes())
    fig, named = go.Figure(layout=dict(showlegend=True)), set()
    for source, reader in sorted(found.members, key=lambda edge: [*READ].index(kind_of(edge[1]))):
        kind, (x, y) = kind_of(reader), places[source]
        to_x, to_y = places[owner(reader)]
        words, colour, dash = READ[kind]
        ends = dict(x=[x, to_x + ASIDE.get(kind, 0.0)], y=[y, to_y])
        line, shown = dict(color=colour, dash=dash, width=2), words not in named
        fig.add_scatter(**ends, mode="lines", line=line, name=words, legendgroup=words, showlegend=shown)
        named.add(words)
    fig.add_scatter(
        x=[x for x, _ in places.values()],
        y=[y for _, y in places.values()],
        mode="markers+text",
        marker=dict(size=18, color=component_colours(places), symbol="square"),
        text=list(places),
        textposition="bottom right",
        showlegend=False,
    )
    fig = finish(
        fig,
        title=f"{len(found)} edges between {len(places)} parts",
        x="heads by number, MLPs to the right",
        y="layer",
        alt="; ".join(f"{source} into {reader}" for source, reader in found.members) + ".",
        height=520,
    )
    fig.update_xaxes(range=[-0.1, 1.3], showticklabels=False, showgrid=False, zeroline=False)
    heights = sorted({y for _, y in places.values()})
    ticks = ["in" if y < 0 else f"{y:g}" if y == int(y) else "" for y in heights]
    if "unembed" in places:
        ticks[-1] = "out"
    return fig.update_yaxes(tickvals=heights, ticktext=ticks, showgrid=False, zeroline=False)


def _places(names: list[str]) -> dict[str, tuple[float, float]]:
    """Where parts stand, from below: heads of one number in a column that leans, the MLP half a layer above them."""
    layers = [int(number) for name in names for number in re.findall(r"\d+", name)[:1]]
    heads = sorted({int(name.split("H")[1]) for name in names if name.startswith("L")})
    found = {"embed": (0.4, -1.0), "pos_embed": (0.8, -1.0), "unembed": (0.5, 1.0 + max(layers, default=0))}
    for name in names:
        if name.startswith("mlp"):
            found[name] = (1.0, int(name.split()[1]) + 0.5)
        elif name.startswith("L"):
            layer, head = map(int, name[1:].split("H"))
            found[name] = (0.8 * heads.index(head) / len(heads) + 0.04 * layer, float(layer))
    return dict(sorted(((name, found[name]) for name in names), key=lambda item: item[1][::-1]))


def kind_of(reader: str) -> str:
    """Of a reader's name: Q, K or V of a head, mlp (its gate included) or unembed.

    >>> [kind_of(name) for name in ("L1H0 K", "mlp 2 gate", "unembed")]
    ['K', 'mlp', 'unembed']
    """
    return reader.split()[-1] if reader.startswith("L") else reader.split()[0]
