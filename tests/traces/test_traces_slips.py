"""Answers to chapter 02's exercises as learners write them: right ones pass, and each slip is named."""

import pytest
import torch

from rsutils import catalogue
from rsutils.teaching import checks


def collected(stack, copy):
    def streams(embed, attn_outs, mlp_outs):
        found = []
        for attn_out, mlp_out in zip(attn_outs, mlp_outs, strict=True):
            embed += attn_out
            embed += mlp_out
            found.append(embed.clone() if copy else embed)
        return torch.stack(found) if stack else found

    return streams


def read_with(hidden, fill=-torch.inf):
    def what_was_read(scores, v, W_O, destination):
        pattern = scores.masked_fill(hidden(torch.ones_like(scores)) == 1, fill).softmax(dim=-1)
        return pattern[destination].unsqueeze(-1) * (v @ W_O)

    return what_was_read


def rows_of_the_unembedding(writes, scale, W_U, right, wrong):
    direction = W_U[right] - W_U[wrong]
    return (writes / scale) @ direction


RIGHT = {
    "streams copied from one that grows": ("02.1", collected(stack=True, copy=True)),
    "streams in a list": ("02.1", collected(stack=False, copy=True)),
    "shares by a sum of products": (
        "02.3",
        lambda writes: (writes * writes.sum(0)).sum(-1) / writes.sum(0).pow(2).sum(),
    ),
    "a read masked by -1e9": ("02.4", read_with(lambda ones: ones.triu(1), fill=-1e9)),
    "log probabilities for logits": (
        "02.5",
        lambda writes, scale, W_U, right, wrong: (
            (logs := (writes / scale @ W_U).log_softmax(-1))[:, right] - logs[:, wrong]
        ),
    ),
}

SLIPS = {
    "a stream that grows in place": (
        "02.1",
        collected(stack=True, copy=False),
        "all layers show the last stream: `+=`",
    ),
    "a list of one stream that grows": (
        "02.1",
        collected(stack=False, copy=False),
        "all layers show the last stream: `+=`",
    ),
    "own squares": (
        "02.3",
        lambda writes: writes.norm(dim=-1) ** 2 / writes.sum(0).norm() ** 2,
        "this is each write's own square",
    ),
    "shares of squared norms": (
        "02.3",
        lambda writes: (n := writes.norm(dim=1) ** 2) / n.sum(),
        "these are shares of the summed squared norms",
    ),
    "shares of norms": (
        "02.3",
        lambda writes: (n := writes.norm(dim=1)) / n.sum(),
        "these are shares of the summed norms",
    ),
    "the last write for the final stream": (
        "02.3",
        lambda writes: writes @ writes[-1] / writes[-1].norm() ** 2,
        "the final stream is the sum of all writes",
    ),
    "the last write over its own sum": (
        "02.3",
        lambda writes: (p := writes @ writes[-1]) / p.sum(),
        "these sum to one, and stand for the last write",
    ),
    "the mean for the final stream": (
        "02.3",
        lambda writes: writes @ (m := writes.mean(0)) / (m @ m),
        "compared with the mean of the writes",
    ),
    "a mask without itself": ("02.4", read_with(lambda ones: ones.triu()), "a position may read itself"),
    "an inverted mask": ("02.4", read_with(lambda ones: ones.tril()), "the mask is the wrong way round"),
    "an inverted mask that keeps itself": (
        "02.4",
        read_with(lambda ones: ones.tril(-1)),
        "the mask is the wrong way round",
    ),
    "a mask of zeros": ("02.4", read_with(lambda ones: ones.triu(1), fill=0), "masked scores were set to 0"),
    "rows of W_U": ("02.5", rows_of_the_unembedding, "`W_U` is `[d_model, d_vocab]`: a token is a column"),
    "one row of W_U": (
        "02.5",
        lambda writes, scale, W_U, right, wrong: writes @ W_U[right] / scale,
        "`W_U[right]` is a row",
    ),
}


@pytest.mark.parametrize("id, answer", RIGHT.values(), ids=RIGHT)
def test_a_right_answer_passes(id, answer):
    for seed in range(4):
        exercise = catalogue.find(id)
        assert checks.verdict(exercise, answer, seed) == (True, f"correct. {exercise.learned}")


@pytest.mark.parametrize("id, answer, said", SLIPS.values(), ids=SLIPS)
def test_a_slip_is_named(id, answer, said):
    for seed in range(4):
        right, message = checks.verdict(catalogue.find(id), answer, seed)
        assert right is False
        assert message.startswith(said)
