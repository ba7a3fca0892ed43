"""Figures of chapter 05: each is a pure function of what its controls choose."""

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.compare import rank_correlation
from rsutils.drawing import Figure, bars, heatmap, histogram, scatter
from rsutils.heads import attention
from rsutils.heads import scores as heads
from rsutils.models import tokens

READS = {"Q": "queries", "K": "keys", "V": "values"}
OVER = {"rms": "root mean square over pairs of heads", "max": "strongest pair of heads"}


def pattern(model: TransformerBridge, text: str, layer: int, head: int) -> Figure:
    """One head's attention on ``text``, row = query, column = key."""
    ids = tokens(model, text)
    found = attention.attend(model, ids)[0][layer, 0, head]
    words = model.to_str_tokens(ids[0], prepend_bos=False)
    first, before = found[1:, 0].mean().item(), found.diagonal(-1)[1:].mean().item()
    return heatmap(
        found.masked_fill(torch.ones_like(found).triu(1).bool(), torch.nan),
        title=f"L{layer}H{head}: {first:.0%} of attention to the first token, {before:.0%} to the one before",
        x="key (attended to)",
        y="query (attends)",
        x_labels=words,
        y_labels=words,
        unit="attention",
        alt=f"{len(words)} by {len(words)} tokens, lower triangle; each row sums to one. The share to the token before "
        "leaves out the second token, whose token before is the first.",
    )


def roles(scores: dict[str, Float[Tensor, "layer head"]]) -> Figure:
    """Every head's score in each role, as bars side by side."""
    labels = [f"L{i}H{j}" for i in range(len(scores["induction"])) for j in range(scores["induction"].shape[1])]
    best = {role: (labels[s.argmax()], s.max().item()) for role, s in scores.items()}
    return bars(
        {role: s.flatten() for role, s in scores.items()},
        title="Most " + ", most ".join(f"{role}: {label} ({value:.2f})" for role, (label, value) in best.items()),
        x="head",
        y="mean attention (0 to 1)",
        labels=labels,
        alt=f"Three bars for each of {len(labels)} heads.",
    )


def token_table(model: TransformerBridge, text: str, layer: int, head: int, circuit: str) -> Figure:
    """One circuit of one head between the tokens of ``text`` (see ``attention.token_table``)."""
    words, table = attention.token_table(model, text, layer, head, circuit)
    own = (table.argmax(dim=1) == torch.arange(len(words))).float().mean().item()
    rows, columns = ("attended token", "token whose logit changes") if circuit == "OV" else ("query", "key one behind")
    return heatmap(
        table,
        title=f"{circuit} of L{layer}H{head}: the token itself is the largest of its row for {own:.0%} of the tokens",
        x=columns,
        y=rows,
        x_labels=words,
        y_labels=words,
        unit="change of logit" if circuit == "OV" else "attention score",
        alt=f"{len(words)} by {len(words)} tokens, from {table.min():.2f} to {table.max():.2f}.",
    )


def composition(scores: heads.Composition, mode: str, metric: str) -> Figure:
    """One mode and metric over all heads, row = source, column = destination."""
    source, destination, value = scores.top(mode, 1, metric)[0]
    return heatmap(
        getattr(scores, metric)[mode],
        title=f"{mode}-composition: {source} feeds the {READS[mode]} of {destination} most ({metric} {value:.2f})",
        x="destination head (reads)",
        y="source head (writes)",
        x_labels=scores.labels,
        y_labels=scores.labels,
        unit=metric,
        alt=f"{len(scores.labels)} heads by {len(scores.labels)} heads; only the {scores.n_pairs} pairs with the "
        f"source in an earlier layer have a value. The strongest is {source} to {destination}.",
    )


def null(c: heads.Circuits, scores: heads.Composition, mode: str, pair: tuple[str, str]) -> Figure:
    """One pair's score beside what random rotations between its two circuits give."""
    source, destination = (c.index(label) for label in pair)
    drawn = heads.null_scores(c, mode, source, destination)
    actual, z = (getattr(scores, metric)[mode][source, destination].item() for metric in ("score", "z"))
    fig = histogram(
        {"random rotations": drawn},
        title=f"{pair[0]} to {pair[1]}: score {actual:.3f}; {len(drawn)} random rotations reach {drawn.max():.3f} "
        f"(z {z:.1f})",
        x=f"{mode}-composition score",
        alt=f"Random scores from {drawn.min():.3f} to {drawn.max():.3f}; the pair's own is marked at {actual:.3f}.",
        bins=30,
    )
    fig.add_vline(
        x=actual, line=dict(width=3, dash="dash"), annotation_text="this pair", annotation_position="top left"
    )
    return fig


def components(c: heads.Circuits, mode: str, pair: tuple[str, str], most: int = 24) -> Figure:
    """Between which singular directions of the two heads a pair's composition runs."""
    shares = heads.components(c, mode, *(c.index(label) for label in pair))
    i, j = divmod(shares.argmax().item(), shares.shape[1])
    return heatmap(
        shares[:most, :most],
        title=f"{pair[0]} to {pair[1]}, {mode}: direction {i} written and direction {j} read carry "
        f"{shares.max():.0%}; an even share is {1 / shares.numel():.2%}",
        x=f"direction that {pair[1]} reads (by singular value)",
        y=f"direction that {pair[0]} writes (by singular value)",
        unit="share of the squared norm",
        alt=f"The first {min(most, len(shares))} of {len(shares)} directions of each head hold "
        f"{shares[:most, :most].sum():.0%} of the pair's squared composition.",
    )


def prediction(scores: heads.Composition, effects: attention.Effects, mode: str, metric: str) -> Figure:
    """What the weights say of each pair against what ablating the source does to the destination's attention."""
    x, y = getattr(scores, metric)[mode], effects.pattern
    rho = rank_correlation(x, y)
    source, destination = (~x.isnan()).nonzero(as_tuple=True)
    names = [f"{scores.labels[s]} to {scores.labels[d]}" for s, d in zip(source, destination, strict=True)]
    return scatter(
        x[source, destination],
        y[source, destination],
        title=f"{mode}-composition ({metric}) against the effect on attention, {len(names)} pairs: "
        f"rank correlation {rho:.2f}",
        x=f"{mode}-composition, {metric}",
        y="change of the destination's attention (0 to 1)",
        labels=names,
        alt=f"One point a pair. Spearman {rho:.2f}. Largest effect: {names[y[source, destination].argmax()]}.",
    )
