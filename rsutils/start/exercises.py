"""Exercises of chapter 00: the classical block, the mask, and the stream as a sum."""

import torch

from rsutils.teaching.checks import Exercise
from rsutils.teaching.questions import Question


def causal_mask(n):
    return torch.ones(n, n, dtype=torch.bool).tril()


def attention_pattern(q, k):
    scores = q @ k.T / q.shape[-1] ** 0.5
    mask = torch.ones_like(scores, dtype=torch.bool).tril()
    return scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)


def head_output(pattern, x, W_V, W_O):
    return pattern @ (x @ W_V) @ W_O


def stream_after(embed, attn_out, mlp_out, layer):
    stream = embed
    for i in range(layer + 1):
        stream = stream + attn_out[i] + mlp_out[i]
    return stream


def who_does_what():
    return {"W_E": "writes", "W_Q": "reads", "W_O": "writes", "W_in": "reads", "W_out": "writes", "W_U": "reads"}


def _swapped():
    return {name: {"reads": "writes", "writes": "reads"}[role] for name, role in who_does_what().items()}


def _stream_inputs(draw):
    n_layers, pos, d_model = draw.sizes(3)
    layer = draw.integer(1, n_layers - 2)  # one before it and one after it, so that a sum over too few or many shows
    return draw.normal(pos, d_model), draw.normal(n_layers, pos, d_model), draw.normal(n_layers, pos, d_model), layer


def _query_key_inputs(draw):
    pos, d_head = draw.sizes(2)
    return draw.normal(pos, d_head), draw.normal(pos, d_head)


def _head_inputs(draw):
    pos, d_model, d_head = draw.sizes(3)
    return draw.pattern(pos), draw.normal(pos, d_model), draw.normal(d_model, d_head), draw.normal(d_head, d_model)


def _scores(q, k):
    return q @ k.T / q.shape[-1] ** 0.5


EXERCISES = [
    Exercise(
        id="00.1",
        title="Who may look at whom",
        stars=1,
        task="Write `causal_mask(n)`: a boolean matrix of shape `[query, key]` that is true where the query's position "
        "may look at the key's position. A position sees itself and everything before it.",
        solution=causal_mask,
        inputs=lambda draw: draw.sizes(1),
        returns="mask [query, key]",
        hints=(
            "Row = the position that looks. The last row sees everything.",
            "torch has `tril` and `triu`: which one?",
        ),
        learned="With this mask, what a position computes does not depend on what follows it: one run of a text gives "
        "a prediction at every position.",
        mistakes={
            "this lets every position look at the future: rows are queries, so the true part is the lower triangle": (
                lambda n: torch.ones(n, n, dtype=torch.bool).triu()
            ),
            "a position may also look at itself: the diagonal belongs to the mask": (
                lambda n: torch.ones(n, n, dtype=torch.bool).tril(-1)
            ),
            "everything may look at everything here: that is an encoder": (
                lambda n: torch.ones(n, n, dtype=torch.bool)
            ),
            "this marks what is forbidden: true is asked for where a position may look": lambda n: torch.ones(
                n, n, dtype=torch.bool
            ).triu(1),
            "this lets each position see the next one too: the diagonal is the last that it may see": lambda n: (
                torch.ones(n, n, dtype=torch.bool).tril(1)
            ),
            "a position sees itself alone here, and nothing of what came before": lambda n: torch.eye(
                n, dtype=torch.bool
            ),
            "these are scores to be added (0 and minus infinity): a mask of True and False was asked for": lambda n: (
                torch.full((n, n), -torch.inf).triu(1)
            ),
        },
        alternatives=(lambda n: torch.arange(n)[:, None] >= torch.arange(n)[None, :],),
    ),
    Exercise(
        id="00.2",
        title="A pattern from queries and keys",
        stars=2,
        task="Write `attention_pattern(q, k)` for one head: `q` and `k` have shape `[pos, d_head]`, the result has shape "
        "`[query, key]` and rows that sum to one. Do not forget the causal mask.",
        solution=attention_pattern,
        inputs=_query_key_inputs,
        returns="pattern [query, key]",
        hints=(
            "Scores first (a product divided by the square root of `d_head`), then the mask, then a softmax.",
            "Set the forbidden scores to minus infinity before the softmax over the last axis.",
        ),
        learned="Queries and keys meet in `q @ k.T` alone. So, without biases and rotary positions, only the product "
        "`W_Q @ W_K.T` matters: chapter 05 calls it the QK circuit.",
        mistakes={
            "the causal mask is missing: position 0 looks at the future": lambda q, k: _scores(q, k).softmax(dim=-1),
            "the scores are not divided by the square root of d_head": lambda q, k: (
                (q @ k.T).masked_fill(~causal_mask(len(q)), -torch.inf).softmax(dim=-1)
            ),
            "the softmax runs over queries: it has to run over keys, the last axis": lambda q, k: (
                _scores(q, k).masked_fill(~causal_mask(len(q)), -torch.inf).softmax(dim=0)
            ),
            "queries and keys have changed places: rows are queries, so `q` comes first": lambda q, k: (
                attention_pattern(k, q)
            ),
            "the mask came after the softmax, so rows no longer sum to one: mask the scores": lambda q, k: (
                _scores(q, k).softmax(dim=-1).tril()
            ),
            "the mask is the wrong way round: the allowed scores were set to minus infinity, and the last row is nan": (
                lambda q, k: _scores(q, k).masked_fill(causal_mask(len(q)), -torch.inf).softmax(dim=-1)
            ),
            "a position may look at itself: here the first row has nothing left, and is nan": lambda q, k: (
                _scores(q, k).masked_fill(~causal_mask(len(q)).tril(-1), -torch.inf).softmax(dim=-1)
            ),
            "masked scores were set to 0, and exp(0) is 1: set them to minus infinity": lambda q, k: (
                _scores(q, k).masked_fill(~causal_mask(len(q)), 0).softmax(dim=-1)
            ),
            "the mask is the wrong way round: the allowed scores were made very small, and each position looks ahead": (
                lambda q, k: _scores(q, k).masked_fill(causal_mask(len(q)), -1e9).softmax(dim=-1)
            ),
            "the mask is the wrong way round: a position looks at itself and at the future": lambda q, k: (
                _scores(q, k).masked_fill(causal_mask(len(q)).tril(-1), -torch.inf).softmax(dim=-1)
            ),
            "a position may look at itself: here the first row has nothing left, and spreads over all": lambda q, k: (
                _scores(q, k).masked_fill(~causal_mask(len(q)).tril(-1), -1e9).softmax(dim=-1)
            ),
            "every number is nan, as where a mask is multiplied by infinity (0 times infinity is nan): use `masked_fill`": lambda q, k: (
                (_scores(q, k) + causal_mask(len(q)).logical_not() * -torch.inf).softmax(dim=-1)
            ),
            "minus infinity came after the softmax: it belongs before, where exp makes 0 of it": lambda q, k: (
                _scores(q, k).softmax(dim=-1).masked_fill(~causal_mask(len(q)), -torch.inf)
            ),
            "the scores are divided by d_head: divide by its square root": lambda q, k: attention_pattern(
                q / q.shape[-1] ** 0.5, k
            ),
            "the scores are divided by the square root of the number of positions: d_head is the last axis": lambda q, k: (
                attention_pattern(q * (q.shape[-1] / len(q)) ** 0.5, k)
            ),
            "the scores are multiplied by the square root of d_head: divide": lambda q, k: attention_pattern(
                q * q.shape[-1], k
            ),
            "the softmax is missing: these are scores": lambda q, k: _scores(q, k).tril(),
            "the softmax is missing: these are masked scores": lambda q, k: _scores(q, k).masked_fill(
                ~causal_mask(len(q)), -torch.inf
            ),
            "the causal mask and the division by the square root of d_head are missing": lambda q, k: (q @ k.T).softmax(
                dim=-1
            ),
            "the softmax runs over queries, and the mask came after it: mask the scores, then sum over keys": lambda q, k: (
                _scores(q, k).softmax(dim=0).tril()
            ),
        },
        alternatives=(
            lambda q, k: torch.nn.functional.scaled_dot_product_attention(
                q[None], k[None], torch.eye(len(q))[None], is_causal=True
            )[0],
        ),
    ),
    Exercise(
        id="00.3",
        title="What a head writes",
        stars=2,
        task="Write `head_output(pattern, x, W_V, W_O)`: what one head adds to the stream at every position. `pattern` is "
        "`[query, key]`, `x` is `[pos, d_model]` (what the head reads), the result is `[pos, d_model]`.",
        solution=head_output,
        inputs=_head_inputs,
        returns="output [pos, d_model]",
        hints=(
            "Vectors are rows: read the formula from left to right.",
            "`x @ W_V` are the values; the pattern mixes them.",
        ),
        learned="The pattern multiplies positions, the weights multiply directions: where to look and what to move "
        "are separate. `W_V @ W_O` is the OV circuit of chapter 05.",
        mistakes={
            "the pattern is transposed: here every key collects from its queries": (
                lambda pattern, x, W_V, W_O: pattern.T @ x @ W_V @ W_O
            ),
            "the pattern is not used: nothing moves between positions": lambda pattern, x, W_V, W_O: x @ W_V @ W_O,
            "the values are missing: `pattern @ x` still has to go through W_V and W_O": (
                lambda pattern, x, W_V, W_O: pattern @ x
            ),
            "this stops at the head's own directions: W_O writes them to the stream": (
                lambda pattern, x, W_V, W_O: pattern @ x @ W_V
            ),
            "this averages all positions alike: weight them with the pattern": (
                lambda pattern, x, W_V, W_O: (x @ W_V @ W_O).mean(0, keepdim=True).expand(len(x), -1)
            ),
            "this is the stream after the head: only what the head adds is asked for": lambda pattern, x, W_V, W_O: (
                x + pattern @ x @ W_V @ W_O
            ),
            "these are the values alone: the pattern mixes them, and W_O writes them": lambda pattern, x, W_V, W_O: (
                x @ W_V
            ),
        },
        alternatives=(lambda pattern, x, W_V, W_O: torch.einsum("qk,km,mh,hn->qn", pattern, x, W_V, W_O),),
    ),
    Exercise(
        id="00.4",
        title="The stream is a sum",
        stars=1,
        task="Write `stream_after(embed, attn_out, mlp_out, layer)`: the stream after block `layer` (counted from 0). "
        "`embed` is `[pos, d_model]` (positions included), `attn_out` and `mlp_out` are `[n_layers, pos, d_model]`.",
        solution=stream_after,
        inputs=_stream_inputs,
        returns="stream [pos, d_model]",
        hints=(
            "Start with the embedding and add.",
            "Block 2 comes after blocks 0 and 1: three attention and three MLP outputs.",
        ),
        learned="What a part wrote is still a term of this sum at the end: that is why chapter 02 can ask who wrote "
        "what.",
        mistakes={
            "the embedding is missing: the stream does not start from zero": lambda embed, attn_out, mlp_out, layer: (
                attn_out[: layer + 1].sum(0) + mlp_out[: layer + 1].sum(0)
            ),
            "layer 0 is missing: a sum that starts at layer 1 drops two writes": lambda embed, attn_out, mlp_out, layer: (
                embed + attn_out[1 : layer + 1].sum(0) + mlp_out[1 : layer + 1].sum(0)
            ),
            "the last block is missing: `range(layer)` stops before `layer`": lambda embed, attn_out, mlp_out, layer: (
                embed + attn_out[:layer].sum(0) + mlp_out[:layer].sum(0)
            ),
            "one block too many: the stream after block `layer` has seen blocks 0 to `layer`": (
                lambda embed, attn_out, mlp_out, layer: stream_after(embed, attn_out, mlp_out, layer + 1)
            ),
            "the last MLP is missing: a block is done when both of its parts have written": (
                lambda embed, attn_out, mlp_out, layer: stream_after(embed, attn_out, mlp_out, layer) - mlp_out[layer]
            ),
            "the MLPs are missing: a block writes twice": lambda embed, attn_out, mlp_out, layer: (
                embed + attn_out[: layer + 1].sum(0)
            ),
            "the attention is missing: a block writes twice": lambda embed, attn_out, mlp_out, layer: (
                embed + mlp_out[: layer + 1].sum(0)
            ),
            "this is the whole model: stop after block `layer`": lambda embed, attn_out, mlp_out, layer: (
                embed + attn_out.sum(0) + mlp_out.sum(0)
            ),
            "the embedding is counted in every block: it enters once": lambda embed, attn_out, mlp_out, layer: (
                stream_after(embed, attn_out, mlp_out, layer) + layer * embed
            ),
            "only the last block's writes are added: the stream keeps those of the earlier ones too": (
                lambda embed, attn_out, mlp_out, layer: embed + attn_out[layer] + mlp_out[layer]
            ),
            "a block adds to the stream, it does not replace it": lambda embed, attn_out, mlp_out, layer: (
                attn_out[layer] + mlp_out[layer]
            ),
            "this is the mean over blocks: the stream is their sum": lambda embed, attn_out, mlp_out, layer: (
                embed + (attn_out + mlp_out)[: layer + 1].mean(0)
            ),
            "the blocks' writes are not summed yet: one stream is asked for": lambda embed, attn_out, mlp_out, layer: (
                embed + (attn_out + mlp_out)[: layer + 1]
            ),
            "the writes are subtracted: a block adds": lambda embed, attn_out, mlp_out, layer: (
                embed - (attn_out + mlp_out)[: layer + 1].sum(0)
            ),
        },
        alternatives=(
            lambda embed, attn_out, mlp_out, layer: embed + (attn_out + mlp_out)[: layer + 1].sum(dim=0),
            lambda embed, attn_out, mlp_out, layer: embed + attn_out.cumsum(0)[layer] + mlp_out.cumsum(0)[layer],
        ),
    ),
    Exercise(
        id="00.5",
        title="Readers and writers",
        stars=1,
        task="Fill the dictionary: for each of `W_E`, `W_Q`, `W_O`, `W_in`, `W_out`, `W_U` say whether it `'reads'` the "
        "stream or `'writes'` to it.",
        solution=who_does_what,
        inputs=lambda draw: (),
        returns="",
        hints=("Where does `d_model` stand in its shape?", "`[d_model, ...]` reads, `[..., d_model]` writes."),
        learned="A shape tells the role: where `d_model` comes first a weight reads, where it comes last it writes. "
        "Chapter 03 multiplies a writer by a later reader.",
        mistakes={
            "all six are the wrong way round: `x @ W` with x from the stream is a reading": _swapped,
            "W_E has shape [d_vocab, d_model]: it writes, a row for every token": (
                lambda: who_does_what() | {"W_E": "reads"}
            ),
            "W_U has shape [d_model, d_vocab]: the logits are its reading of the last stream": (
                lambda: who_does_what() | {"W_U": "writes"}
            ),
            "W_Q has shape [d_model, d_head]: it reads, and the query stays in the head": lambda: (
                who_does_what() | {"W_Q": "writes"}
            ),
            "W_O has shape [d_head, d_model]: it writes what the head found": lambda: (
                who_does_what() | {"W_O": "reads"}
            ),
            "W_in has shape [d_model, d_mlp]: it reads the stream into the neurons": lambda: (
                who_does_what() | {"W_in": "writes"}
            ),
            "W_out has shape [d_mlp, d_model]: it writes, a row for every neuron": lambda: (
                who_does_what() | {"W_out": "reads"}
            ),
            "in and out are meant from the MLP's side: W_in reads the stream, W_out writes to it": lambda: (
                who_does_what() | {"W_in": "writes", "W_out": "reads"}
            ),
            "W_E and W_U have changed roles: the embedding starts the stream, the unembedding reads its end": lambda: (
                who_does_what() | {"W_E": "reads", "W_U": "writes"}
            ),
            "not all of them read: where `d_model` comes last, a weight writes": lambda: dict.fromkeys(
                who_does_what(), "reads"
            ),
            "not all of them write: where `d_model` comes first, a weight reads": lambda: dict.fromkeys(
                who_does_what(), "writes"
            ),
        },
        alternatives=(lambda: dict(reversed(who_does_what().items())),),
    ),
]

QUIZ = [
    Question(
        "Which of these writes to the stream?",
        {
            "`W_in`": "Its first axis is `d_model`: it reads the stream into the neurons.",
            "`W_Q`": "It reads the stream to make queries, which stay inside the head.",
            "`W_out`": "Its last axis is `d_model`: each row is a vector of the stream.",
            "`W_U`": "It reads the final stream; what it makes are logits, which are not added to the stream.",
        },
        "`W_out`",
    ),
    Question(
        "A head in block 5 wants to use what an MLP in block 2 found. How does it get it?",
        {
            "through a wire from block 2 to block 5": "No two blocks have a connection of their own: they all share the stream.",
            "by reading the stream, where it was added": "Nothing is replaced on the way: what was added in block 2 is a term of the sum that block 5 reads.",
            "from block 4, which passes it on": "Block 4 need not know of it: the stream goes past it, and block 4 only adds to it.",
        },
        "by reading the stream, where it was added",
    ),
]
