"""Answers to chapter 05's exercises as learners write them: right ones pass, and each slip is named."""

import pytest
import torch

from rsutils import catalogue
from rsutils.teaching import checks


def z_with(spread):
    def null_z(write, read):
        d = write.shape[1]
        p, q = ((W @ W.T).square().sum() / W.square().sum() ** 2 for W in (write, read))
        squared = (write @ read.T).square().sum() / (write.square().sum() * read.square().sum())
        return (squared - 1 / d) / spread(2 * (p - 1 / d) * (q - 1 / d) / ((d - 1) * (d + 2)))

    return null_z


RIGHT = {
    "queries counted from the first copy": (
        "05.1",
        lambda pattern, length: torch.stack(
            [pattern[first + length, first + 1] for first in range(1, length + 1)]
        ).mean(),
    ),
    "a query from the OV circuit": ("05.2", lambda x, W_V, W_O, W_Q: x @ (W_V @ W_O) @ W_Q),
    "a norm from a trace": ("05.4", lambda W_V, W_O: torch.trace(W_V.T @ W_V @ W_O @ W_O.T).sqrt()),
    "z with the root": ("05.5", z_with(torch.sqrt)),
}

SLIPS = {
    "BOS forgotten": (
        "05.1",
        lambda pattern, length: torch.stack([pattern[q, q - length + 1] for q in range(length, 2 * length)]).mean(),
        "BOS is forgotten",
    ),
    "BOS forgotten on the diagonal": (
        "05.1",
        lambda pattern, length: pattern.diagonal(1 - length)[1:-1].mean(),
        "BOS is forgotten",
    ),
    "a sum for the mean": (
        "05.1",
        lambda pattern, length: pattern.diagonal(1 - length)[2:].sum(),
        "this is a sum over the queries",
    ),
    "the last query missing": (
        "05.1",
        lambda pattern, length: torch.stack([pattern[q, q - length + 1] for q in range(length + 1, 2 * length)]).mean(),
        "the last query is missing",
    ),
    "divided by one norm alone": (
        "05.3",
        lambda W_V, W_O, W_Q, W_K: (W_V @ W_O @ W_K @ W_Q.T).norm() / (W_V @ W_O).norm() * (W_K @ W_Q.T).norm(),
        "`x / a * b` multiplies by b",
    ),
    "the variance for its root": ("05.5", z_with(lambda variance: variance), "that divides by the variance"),
    "the 2 forgotten": ("05.5", z_with(lambda variance: (variance / 2).sqrt()), "the 2 in the variance is missing"),
    "every head averaged": ("05.6", lambda z, head: z.mean((0, 1)).expand(z.shape), "that replaces every head"),
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
