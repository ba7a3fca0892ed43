"""Answers to chapter 00's exercises as learners write them: right ones pass, and each slip is named."""

import pytest
import torch

from rsutils import catalogue
from rsutils.teaching import checks


def scores(q, k):
    return q @ k.T / q.shape[-1] ** 0.5


def added_in_place(last):
    def stream_after(embed, attn_out, mlp_out, layer):
        for i in range(layer + last):
            embed += attn_out[i]
            embed += mlp_out[i]
        return embed

    return stream_after


ROLES = {"W_E": "writes", "W_Q": "reads", "W_O": "writes", "W_in": "reads", "W_out": "writes", "W_U": "reads"}


RIGHT = {
    "a mask of positions": ("00.1", lambda n: torch.arange(n) <= torch.arange(n)[:, None]),
    "a mask row by row": ("00.1", lambda n: [[key <= query for key in range(n)] for query in range(n)]),
    "a pattern masked by -1e9": (
        "00.2",
        lambda q, k: (scores(q, k) - 1e9 * torch.ones_like(q @ k.T).triu(1)).softmax(-1),
    ),
    "a pattern normalised after the mask": (
        "00.2",
        lambda q, k: (p := scores(q, k).exp().tril()) / p.sum(-1, keepdim=True),
    ),
    "a pattern over the square root in q": (
        "00.2",
        lambda q, k: (q / q.shape[1] ** 0.5 @ k.T + torch.full((len(q), len(q)), -torch.inf).triu(1)).softmax(1),
    ),
    "a head from its OV circuit": ("00.3", lambda pattern, x, W_V, W_O: pattern @ (x @ (W_V @ W_O))),
    "a stream added in place": ("00.4", added_in_place(1)),
    "roles in another order": ("00.5", dict(sorted(ROLES.items()))),
}

SLIPS = {
    "a mask that sees all but itself": (
        "00.1",
        lambda n: torch.arange(n) < torch.arange(n)[:, None],
        "a position may also look at itself",
    ),
    "a mask of what is forbidden": (
        "00.1",
        lambda n: torch.arange(n) > torch.arange(n)[:, None],
        "this marks what is forbidden",
    ),
    "mask after softmax": (
        "00.2",
        lambda q, k: scores(q, k).softmax(-1) * torch.ones(len(q), len(q)).tril(),
        "the mask came after the softmax",
    ),
    "inverted mask": (
        "00.2",
        lambda q, k: scores(q, k).masked_fill(torch.ones(len(q), len(q)).tril() == 1, -torch.inf).softmax(-1),
        "the mask is the wrong way round",
    ),
    "inverted mask of -1e9": (
        "00.2",
        lambda q, k: scores(q, k).masked_fill(torch.ones(len(q), len(q)).tril() == 1, -1e9).softmax(-1),
        "the mask is the wrong way round",
    ),
    "inverted mask that keeps itself": (
        "00.2",
        lambda q, k: scores(q, k).masked_fill(torch.ones(len(q), len(q)).tril(-1) == 1, -torch.inf).softmax(-1),
        "the mask is the wrong way round",
    ),
    "mask times infinity": (
        "00.2",
        lambda q, k: (scores(q, k) + torch.ones(len(q), len(q)).triu(1) * -torch.inf).softmax(-1),
        "every number is nan",
    ),
    "divided by d_head": (
        "00.2",
        lambda q, k: (
            (q @ k.T / q.shape[1]).masked_fill(torch.ones(len(q), len(q)).triu(1) == 1, -torch.inf).softmax(-1)
        ),
        "the scores are divided by d_head",
    ),
    "one layer too many": (
        "00.4",
        lambda embed, attn_out, mlp_out, layer: embed + (attn_out + mlp_out)[: layer + 2].sum(0),
        "one block too many",
    ),
    "one layer too many in place": ("00.4", added_in_place(2), "one block too many"),
    "one layer too few in place": ("00.4", added_in_place(0), "the last block is missing"),
    "the class of dictionaries": (
        "00.5",
        dict,
        "expected the keys ['W_E', 'W_Q', 'W_O', 'W_in', 'W_out', 'W_U']; missing",
    ),
    "a dictionary in a tuple": (
        "00.5",
        (ROLES,),
        "expected a dictionary with the keys ['W_E', 'W_Q', 'W_O', 'W_in', 'W_out', 'W_U'], got a tuple",
    ),
    "in and out from the stream's side": (
        "00.5",
        ROLES | {"W_in": "writes", "W_out": "reads"},
        "in and out are meant from the MLP's side",
    ),
    "W_O reads": ("00.5", ROLES | {"W_O": "reads"}, "W_O has shape [d_head, d_model]"),
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
