"""Exercises of chapter 02."""

import torch

from rsutils.teaching.checks import Exercise
from rsutils.teaching.questions import Question


def streams(embed, attn_outs, mlp_outs):
    return embed + (attn_outs + mlp_outs).cumsum(dim=0)


def streams_by_loop(embed, attn_outs, mlp_outs):
    found = []
    for attn_out, mlp_out in zip(attn_outs, mlp_outs, strict=True):
        embed = embed + attn_out + mlp_out
        found.append(embed)
    return torch.stack(found)


def growth_factor(norms):
    layers = torch.arange(len(norms), dtype=norms.dtype)
    layers = layers - layers.mean()
    slope = (layers * norms.log()).sum() / (layers * layers).sum()
    return slope.exp()


def growth_by_lstsq(norms):
    layers = torch.arange(len(norms), dtype=norms.dtype)
    line = torch.stack([layers, torch.ones_like(layers)], dim=1)
    return torch.linalg.lstsq(line, norms.log()[:, None]).solution[0, 0].exp()


def shares(writes):
    final = writes.sum(dim=0)
    return writes @ final / (final @ final)


def what_was_read(scores, v, W_O, destination):
    allowed = scores[destination, : destination + 1]
    pattern = torch.zeros(len(v))
    pattern[: destination + 1] = allowed.softmax(dim=-1)
    return pattern[:, None] * (v @ W_O)


def what_was_read_masked(scores, v, W_O, destination):
    mask = torch.ones_like(scores).triu(1).bool()
    pattern = scores.masked_fill(mask, float("-inf")).softmax(dim=-1)
    return (pattern[destination].diag() @ v) @ W_O


def attributions(writes, scale, W_U, right, wrong):
    direction = W_U[:, right] - W_U[:, wrong]
    return writes / scale @ direction


def what_remains(writes, source):
    write = writes[source]
    along = writes[source:] @ write / (write @ write)
    return along.cumsum(dim=0)


def what_remains_by_stream(writes, source):
    write = writes[source]
    stream = writes.cumsum(dim=0)[source:] - writes[:source].sum(dim=0)
    return stream @ write / write.norm() ** 2


def _layers(draw):
    pos, d_model, n_layers = draw.sizes(3)
    return draw.normal(pos, d_model), draw.normal(n_layers, pos, d_model), draw.normal(n_layers, pos, d_model)


def _norms(draw):
    (n_layers,) = draw.sizes(1)
    growth = draw.uniform(4.0, 8.0) ** (torch.arange(n_layers) / (n_layers - 1))
    return (2 * growth * (0.2 * draw.normal(n_layers)).exp(),)


def _head(draw):
    pos, d_head, d_model = draw.sizes(3)
    return draw.normal(pos, pos), draw.normal(pos, d_head), draw.normal(d_head, d_model), draw.integer(1, pos - 2)


def _contrast(draw):
    n_writes, d_model, d_vocab = draw.sizes(3)
    # One in three with as many tokens as directions: there rows of W_U in place of columns run, elsewhere they raise.
    d_vocab = d_model if draw.deal(True, False, False) else d_vocab
    writes = draw.normal(n_writes, d_model)
    right = draw.integer(0, d_vocab - 1)
    wrong = (right + draw.integer(1, d_vocab - 1)) % d_vocab
    return (
        writes - writes.mean(dim=-1, keepdim=True),
        draw.uniform(2.0, 4.0),
        draw.normal(d_model, d_vocab),
        right,
        wrong,
    )


def _erased(draw):
    n_writes, d_model = draw.sizes(2)
    writes, source = draw.normal(n_writes, d_model), draw.integer(1, n_writes - 3)
    # Later writes add to it and then take more than all of it away: what remains rises above 1 and ends below 0.
    writes[source + 1] += 2 * writes[source]
    writes[-1] -= (1 + what_remains(writes, source)[-1]) * writes[source]
    return writes, source


EXERCISES = [
    Exercise(
        id="02.1",
        title="The running sum",
        stars=1,
        task=(
            "Write `streams(embed, attn_outs, mlp_outs)`: the stream after each layer of a model whose MLP comes after "
            "its attention. `embed` has shape `[pos, d_model]` (positions included), the other two "
            "`[layer, pos, d_model]`. Return `[layer, pos, d_model]`: `resid_post` of every layer."
        ),
        solution=streams,
        inputs=_layers,
        returns="streams [layer, pos, d_model]",
        hints=(
            "Nothing is ever overwritten: each layer adds its two outputs to what is there.",
            "`cumsum(dim=0)` over the layers gives all the partial sums at once; the embedding is in every one of them.",
        ),
        learned="The difference of two neighbouring streams is what one layer wrote: streams and writes hold the same "
        "information.",
        mistakes={
            "the embedding is missing: the stream does not start at zero": lambda embed, attn_outs, mlp_outs: (
                attn_outs + mlp_outs
            ).cumsum(dim=0),
            "layer 0 is missing: its outputs are in the stream too": lambda embed, attn_outs, mlp_outs: (
                embed + (attn_outs + mlp_outs).cumsum(dim=0) - attn_outs[0] - mlp_outs[0]
            ),
            "each layer stands alone here: the stream keeps what earlier layers wrote": (
                lambda embed, attn_outs, mlp_outs: embed + attn_outs + mlp_outs
            ),
            "the attention outputs are missing": lambda embed, attn_outs, mlp_outs: embed + mlp_outs.cumsum(dim=0),
            "the MLP outputs are missing": lambda embed, attn_outs, mlp_outs: embed + attn_outs.cumsum(dim=0),
            "the embedding is added again at each layer: it enters once": lambda embed, attn_outs, mlp_outs: (
                embed + attn_outs + mlp_outs
            ).cumsum(dim=0),
            "all layers show the last stream: `+=` changes the tensor that you have kept already, `x = x + y` does not": (
                lambda embed, attn_outs, mlp_outs: streams(embed, attn_outs, mlp_outs)[-1:].expand_as(attn_outs)
            ),
            "the layers run backwards: layer 0 writes first": lambda embed, attn_outs, mlp_outs: streams(
                embed, attn_outs.flip(0), mlp_outs.flip(0)
            ),
            "this is the last stream alone: keep one for each layer": (
                lambda embed, attn_outs, mlp_outs: streams(embed, attn_outs, mlp_outs)[-1]
            ),
            "this is the stream before each layer (`resid_pre`); after it was asked for": (
                lambda embed, attn_outs, mlp_outs: embed + (attn_outs + mlp_outs).cumsum(dim=0) - attn_outs - mlp_outs
            ),
            "this is the stream between attention and MLP (`resid_mid`): the layer's MLP is missing": (
                lambda embed, attn_outs, mlp_outs: streams(embed, attn_outs, mlp_outs) - mlp_outs
            ),
            "the embedding stands in front: return the streams after each layer, one a layer": lambda embed, attn_outs, mlp_outs: (
                torch.cat([embed[None], streams(embed, attn_outs, mlp_outs)])
            ),
            "the sum runs over positions: it has to run over layers, axis 0": lambda embed, attn_outs, mlp_outs: (
                embed + (attn_outs + mlp_outs).cumsum(dim=1)
            ),
        },
        alternatives=(streams_by_loop,),
    ),
    Exercise(
        id="02.2",
        title="Growth a layer",
        stars=1,
        task=(
            "Write `growth_factor(norms)`: by which factor the norm is multiplied at each layer, from the straight line "
            "of least squares through the logarithm of `norms` (shape `[layer]`) against the layer's number."
        ),
        solution=growth_factor,
        inputs=_norms,
        returns="factor",
        hints=(
            "If `norm = a * f ** layer`, then `log(norm) = log(a) + layer * log(f)`: the slope of a line.",
            "Slope: `(x * y).sum() / (x * x).sum()` with `x` the layer numbers minus their mean; then take `exp`.",
        ),
        learned="Any curve has such a factor: whether the growth is exponential is another question, and rival fits "
        "have to be judged in one space.",
        mistakes={
            "this is the slope of the line, the logarithm of the factor: take exp": lambda norms: growth_factor(
                norms
            ).log(),
            "fit the logarithm of the norms, not the norms": lambda norms: growth_factor(norms.exp()).log(),
            "this is the growth over all layers together: take it a layer": lambda norms: norms[-1] / norms[0],
            "only the first and the last norm are used: fit a line through all of them": (
                lambda norms: (norms[-1] / norms[0]) ** (1 / (len(norms) - 1))
            ),
            "the layers' mean is not taken off: the slope is not that of a line through the origin": lambda norms: (
                ((k := torch.arange(len(norms))) * norms.log()).sum() / (k * k).sum()
            ).exp(),
            "the logarithm is to base 2 or 10 and the power to base e: use the same base for both": lambda norms: (
                growth_factor(norms).log2().exp()
            ),
            "this is the mean of the ratios; the line through the logarithms gives less weight to single jumps": (
                lambda norms: (norms[1:] / norms[:-1]).mean()
            ),
            "only the first and the last norm are used, and there is one step fewer than norms: fit a line through all": (
                lambda norms: (norms[-1] / norms[0]) ** (1 / len(norms))
            ),
        },
        alternatives=(growth_by_lstsq,),
    ),
    Exercise(
        id="02.3",
        title="Shares that sum to one",
        stars=2,
        task=(
            "Write `shares(writes)`: for every write at one position (`[write, d_model]`), the part of the final "
            "stream's squared norm that it accounts for (`[write]`). The shares must sum to one; some may be negative."
        ),
        solution=shares,
        inputs=lambda draw: (draw.normal(*draw.sizes(2)),),
        returns="shares [write]",
        hints=(
            "The final stream is the sum of the writes. Its squared norm is its dot product with itself: replace one "
            "of the two by that sum.",
            "`final @ final` is the sum of `write @ final` over the writes. Divide each term by the whole.",
        ),
        learned="This rule gives each of two writes half of what they share. Another rule would give other shares "
        "with the same sum: shares are a convention, the sum is not.",
        mistakes={
            "these are shares of the summed norms: two writes that cancel would both get a part": lambda writes: (
                writes.norm(dim=-1) / writes.norm(dim=-1).sum()
            ),
            "these are shares of the summed squared norms: two writes that cancel would both get a part": lambda writes: (
                writes.pow(2).sum(dim=-1) / writes.pow(2).sum()
            ),
            "this is each write's own square over the final stream's: what writes share is left out, and the sum is not one": (
                lambda writes: writes.pow(2).sum(dim=-1) / writes.sum(dim=0).pow(2).sum()
            ),
            "the final stream is the sum of all writes, not the last write": lambda writes: (
                writes @ writes[-1] / (writes[-1] @ writes[-1])
            ),
            "not divided yet: these sum to the final stream's squared norm": lambda writes: writes @ writes.sum(dim=0),
            "divide by the final stream's norm squared, not by its norm": lambda writes: (
                writes @ writes.sum(0) / writes.sum(0).norm()
            ),
            "this is the cosine with the final stream: it forgets the size of the write": lambda writes: (
                torch.cosine_similarity(writes, writes.sum(0)[None], dim=-1)
            ),
            "take the sign along: a write against the final stream has a negative share": lambda writes: shares(
                writes
            ).abs(),
            "these are lengths over the final stream's length: they know no direction, and do not sum to one": lambda writes: (
                writes.norm(dim=-1) / writes.sum(dim=0).norm()
            ),
            "compared with the last write: the final stream is the sum of all writes": lambda writes: (
                writes @ writes[-1] / writes.sum(dim=0).pow(2).sum()
            ),
            "these sum to one, and stand for the last write's direction: the final stream is the sum of all writes": (
                lambda writes: writes @ writes[-1] / (writes @ writes[-1]).sum()
            ),
            "own squares over the last write's: the final stream is the sum of all writes, and its square has cross terms": (
                lambda writes: writes.pow(2).sum(dim=-1) / writes[-1].pow(2).sum()
            ),
            "compared with the mean of the writes: the final stream is their sum": lambda writes: (
                shares(writes) * len(writes)
            ),
            "these are shares of the cosines: they forget the size of the write": lambda writes: (
                (c := torch.cosine_similarity(writes, writes.sum(0)[None], dim=-1)) / c.sum()
            ),
            "a share may be negative, and these sum to one without their signs": lambda writes: (
                shares(writes).abs() / shares(writes).abs().sum()
            ),
            "a share may be negative: do not cut it off at zero": lambda writes: shares(writes).clamp(min=0),
            "a softmax makes anything sum to one: divide by the final stream's squared norm": lambda writes: (
                writes @ writes.sum(dim=0)
            ).softmax(dim=-1),
            "these are split by coordinate: sum over d_model": lambda writes: (
                writes * writes.sum(dim=0) / writes.sum(dim=0).pow(2).sum()
            ),
            "the dot product is squared: it is the share already, once divided": lambda writes: (
                (writes @ writes.sum(dim=0)) ** 2 / writes.sum(dim=0).pow(2).sum()
            ),
        },
        alternatives=(lambda writes: (writes @ writes.T).sum(dim=1) / (writes @ writes.T).sum(),),
    ),
    Exercise(
        id="02.4",
        title="Reading from positions",
        stars=2,
        task=(
            "Write `what_was_read(scores, v, W_O, destination)`: what one head brings to position `destination` from "
            "each source position, shape `[source, d_model]`. `scores` (`[destination, source]`) are the attention "
            "scores **before** mask and softmax, `v` is `[source, d_head]`, `W_O` is `[d_head, d_model]`."
        ),
        solution=what_was_read,
        inputs=_head,
        returns="what was read [source, d_model]",
        hints=(
            "A position may read itself and what came before. Mask, softmax over the sources, then weigh each source.",
            "Row `destination` of the pattern, as a column, times `v @ W_O`; sources after `destination` weigh zero.",
        ),
        learned="A large weight on a short `v @ W_O` brings little: look at the product before you say what a head "
        "read.",
        mistakes={
            "the causal mask is missing: this position reads from the future": lambda scores, v, W_O, destination: (
                scores.softmax(dim=-1)[destination][:, None] * (v @ W_O)
            ),
            "this is a column of the pattern, who reads from this position; take its row": (
                lambda scores, v, W_O, destination: (
                    scores.masked_fill(torch.ones_like(scores).triu(1).bool(), float("-inf")).softmax(dim=-1)[
                        :, destination
                    ][:, None]
                    * (v @ W_O)
                )
            ),
            "this is the sum over the sources, the head's whole write: keep the sources apart": (
                lambda scores, v, W_O, destination: what_was_read(scores, v, W_O, destination).sum(dim=0)
            ),
            "the pattern is missing: this is what each source would bring at weight one": (
                lambda scores, v, W_O, destination: v @ W_O
            ),
            "a position may read itself: here the mask leaves it out": lambda scores, v, W_O, destination: (
                scores.masked_fill(torch.ones_like(scores).triu().bool(), -torch.inf).softmax(-1)[destination][:, None]
                * (v @ W_O)
            ),
            "the mask is the wrong way round: this position reads the future alone": lambda scores, v, W_O, destination: (
                scores.masked_fill(torch.ones_like(scores).tril().bool(), -torch.inf).softmax(-1)[destination][:, None]
                * (v @ W_O)
            ),
            "masked scores were set to 0, and exp(0) is 1: set them to minus infinity": (
                lambda scores, v, W_O, destination: scores.tril().softmax(dim=-1)[destination][:, None] * (v @ W_O)
            ),
            "the softmax is missing: scores are not weights": lambda scores, v, W_O, destination: (
                scores.tril()[destination][:, None] * (v @ W_O)
            ),
            "the softmax runs over destinations: it has to run over sources, the last axis": (
                lambda scores, v, W_O, destination: (
                    scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(dim=0)[destination][
                        :, None
                    ]
                    * (v @ W_O)
                )
            ),
            "masking after the softmax leaves weights that do not sum to one: mask before": (
                lambda scores, v, W_O, destination: (scores.softmax(dim=-1).tril()[destination])[:, None] * (v @ W_O)
            ),
            "the mask is the wrong way round: this position reads itself and the future": lambda scores, v, W_O, destination: (
                scores.masked_fill(torch.ones_like(scores).tril(-1).bool(), -torch.inf).softmax(-1)[destination][
                    :, None
                ]
                * (v @ W_O)
            ),
            "sources after the destination count too, with zeros: give back a row for every source": (
                lambda scores, v, W_O, destination: what_was_read(scores, v, W_O, destination)[: destination + 1]
            ),
            "a position may read itself, and a row for every source is asked for": lambda scores, v, W_O, destination: (
                scores[destination, :destination].softmax(-1)[:, None] * (v[:destination] @ W_O)
            ),
            "this is the head's output at every position: take one destination and keep its sources apart": (
                lambda scores, v, W_O, destination: (
                    scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(-1) @ v @ W_O
                )
            ),
            "W_O is missing: the values are still the head's own, not the stream's": lambda scores, v, W_O, destination: (
                what_was_read(scores, v, torch.eye(v.shape[1]), destination)
            ),
            "the scores are divided by the square root of d_head, and they were already": lambda scores, v, W_O, destination: (
                what_was_read(scores / v.shape[1] ** 0.5, v, W_O, destination)
            ),
        },
        alternatives=(what_was_read_masked,),
    ),
    Exercise(
        id="02.5",
        title="Direct logit attribution",
        stars=2,
        task=(
            "Write `attributions(writes, scale, W_U, right, wrong)`: what each write at the last position "
            "(`[write, d_model]`, mean zero) adds to the logit of token `right` over token `wrong`, shape `[write]`. "
            "`scale` is the number by which the final norm divided the whole stream."
        ),
        solution=attributions,
        inputs=_contrast,
        returns="attributions [write]",
        hints=(
            "With the scale held at what it was, logits are linear in the stream, so every write has its own part.",
            "The direction is `W_U[:, right] - W_U[:, wrong]`; divide the writes by `scale` and multiply.",
        ),
        learned="Together they make what the whole stream gives at this scale. What cutting a write would do is "
        "another question: the scale moves, and so does what later parts write.",
        mistakes={
            "the sign is turned: right minus wrong": lambda writes, scale, W_U, right, wrong: (
                -attributions(writes, scale, W_U, right, wrong)
            ),
            "this is the logit of the right token alone; subtract that of the wrong one": (
                lambda writes, scale, W_U, right, wrong: writes / scale @ W_U[:, right]
            ),
            "the final norm's scale is missing": lambda writes, scale, W_U, right, wrong: (
                writes @ (W_U[:, right] - W_U[:, wrong])
            ),
            "the final norm divides by its scale, and you multiplied": lambda writes, scale, W_U, right, wrong: (
                writes * scale @ (W_U[:, right] - W_U[:, wrong])
            ),
            "this is the sum over all writes: keep one number for each": lambda writes, scale, W_U, right, wrong: (
                attributions(writes, scale, W_U, right, wrong).sum()
            ),
            "the two logits are added: one token over the other is a difference": (
                lambda writes, scale, W_U, right, wrong: writes / scale @ (W_U[:, right] + W_U[:, wrong])
            ),
            "each write is normalised by itself here: all of them share the whole stream's scale": (
                lambda writes, scale, W_U, right, wrong: (
                    writes / writes.pow(2).mean(-1, keepdim=True).sqrt() @ (W_U[:, right] - W_U[:, wrong])
                )
            ),
            "`W_U` is `[d_model, d_vocab]`: a token is a column, `W_U[:, right]`; `W_U[right]` is a row, a coordinate of the stream": (
                lambda writes, scale, W_U, right, wrong: writes / scale @ (W_U[right] - W_U[wrong])
            ),
            "`W_U[right]` is a row, a coordinate of the stream: a token is a column, `W_U[:, right]` (and the wrong one is missing)": (
                lambda writes, scale, W_U, right, wrong: writes / scale @ W_U[right]
            ),
            "only one of the two logits is divided by the scale": lambda writes, scale, W_U, right, wrong: (
                writes @ W_U[:, right] / scale - writes @ W_U[:, wrong]
            ),
            "these are logits of all tokens: take that of `right` less that of `wrong`": lambda writes, scale, W_U, right, wrong: (
                writes / scale @ W_U
            ),
            "this is a difference of probabilities, and a softmax is not linear: parts of a sum need the logits": (
                lambda writes, scale, W_U, right, wrong: (
                    (p := (writes / scale @ W_U).softmax(dim=-1))[:, right] - p[:, wrong]
                )
            ),
            "each write is divided by its own length: all of them share the whole stream's scale": (
                lambda writes, scale, W_U, right, wrong: (
                    writes / writes.norm(dim=-1, keepdim=True) @ (W_U[:, right] - W_U[:, wrong])
                )
            ),
            "the direction is divided by its length: logits use `W_U` as it is": lambda writes, scale, W_U, right, wrong: (
                attributions(writes, scale, W_U, right, wrong) / (W_U[:, right] - W_U[:, wrong]).norm()
            ),
        },
        alternatives=(
            lambda writes, scale, W_U, right, wrong: (
                (writes @ W_U)[:, right] / scale - (writes @ W_U)[:, wrong] / scale
            ),
        ),
    ),
    Exercise(
        id="02.6",
        title="What remains of a write",
        stars=3,
        task=(
            "Write `what_remains(writes, source)`: how much of write number `source` is still there after it and after "
            "each later write, when later writes may point against it. `writes` is `[write, d_model]` at one position. "
            "Start from `source` itself (so the first value is 1), leave earlier writes out, and return "
            "`[write - source]` values: components along the write, in units of its own norm."
        ),
        solution=what_remains,
        inputs=_erased,
        returns="what remains [write - source]",
        hints=(
            "Only the component along `writes[source]` matters: project every later write on it and add up.",
            "`write @ w / (w @ w)` is 1 for `w` itself and negative for a write that takes some of it away; `cumsum`.",
        ),
        learned="Only what points along a write can cancel it: whatever is added at right angles leaves this number "
        "alone.",
        mistakes={
            "earlier writes are counted too: start at the source": lambda writes, source: (
                writes.cumsum(dim=0) @ writes[source] / (writes[source] @ writes[source])
            )[source:],
            "these are the single steps: add them up": lambda writes, source: (
                writes[source:] @ writes[source] / (writes[source] @ writes[source])
            ),
            "divide by the norm squared: the first value must be 1": lambda writes, source: (
                writes[source:] @ writes[source] / writes[source].norm()
            ).cumsum(dim=0),
            "a component may fall below zero, where later writes took more than there was: do not cut it off": (
                lambda writes, source: what_remains(writes, source).clamp(min=0)
            ),
            "this starts after the source: its own component, 1, comes first": lambda writes, source: what_remains(
                writes, source
            )[1:],
            "earlier writes belong left out: return values from the source on": lambda writes, source: (
                writes @ writes[source] / (writes[source] @ writes[source])
            ).cumsum(dim=0),
            "these are absolute values: a write that takes something away counts below zero": lambda writes, source: (
                (writes[source:] @ writes[source] / (writes[source] @ writes[source])).abs().cumsum(dim=0)
            ),
            "these are cosines: a large write removes more than a small one at the same angle": (
                lambda writes, source: torch.cosine_similarity(writes[source:], writes[source][None], dim=-1).cumsum(
                    dim=0
                )
            ),
            "these are lengths of the later streams: take their component along the write": lambda writes, source: (
                writes[source:].cumsum(dim=0).norm(dim=-1) / writes[source].norm()
            ),
            "these are cosines of the streams: a component also has a size": lambda writes, source: (
                torch.cosine_similarity(writes[source:].cumsum(dim=0), writes[source][None], dim=-1)
            ),
            "the source's own component, 1, is missing: start the sum at the source": lambda writes, source: (
                what_remains(writes, source)[1:] - 1
            ),
            "this is what was taken away: what remains is 1 less it": lambda writes, source: (
                1 - what_remains(writes, source)
            ),
        },
        alternatives=(what_remains_by_stream,),
    ),
]

QUIZ = [
    Question(
        "A head's direct attribution to a logit is +5. What happens to the logit when the head is cut?",
        {
            "it falls by 5": "Only if the final norm's scale and every later component stayed as they are, and they do not.",
            "it falls, by less than 5": "It can: others may make up for the loss. But they may lose more too, or the logit may rise.",
            "the attribution does not say": "The final norm's scale changes and later components read another stream: they may make up for the loss, or lose more.",
        },
        "the attribution does not say",
    ),
    Question(
        "Why does a plot of contributions have to start with the embedding and layer 0?",
        {
            "They are always the largest": "Sizes differ from model to model; where they are small, they still belong to the sum.",
            "Without them the bars do not sum to the stream": "The running sum is exact only with all writes. Whether they are large is a question for the model at hand.",
            "For symmetry": "There is nothing symmetrical about it: the reason is a sum that has to be complete.",
        },
        "Without them the bars do not sum to the stream",
    ),
    Question(
        "A source position has the largest attention weight. Does most of the head's write come from it?",
        {
            "yes": "The weight is only one factor: a position with a short `v @ W_O` brings little even at a large weight.",
            "not necessarily": "What it brings is the weight times `v @ W_O`: a source with a small value vector brings little, and others can cancel it.",
        },
        "not necessarily",
    ),
]
