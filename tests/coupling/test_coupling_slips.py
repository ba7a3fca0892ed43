"""Answers to chapter 04's exercises as learners write them: right ones pass, and each slip is named."""

import pytest
import torch

from rsutils import catalogue
from rsutils.teaching import checks


def centred_ranks(x):
    ranks = x.argsort().argsort().float()
    return ranks - ranks.mean()


RIGHT = {
    "a score one norm after the other": (
        "04.1",
        lambda W_out, W_in: (W_out @ W_in).norm() / W_out.norm() / W_in.norm(),
    ),
    "a correlation from deviations": (
        "04.5",
        lambda x, y: (
            (centred_ranks(x) * centred_ranks(y)).mean()
            / (centred_ranks(x).std(correction=0) * centred_ranks(y).std(correction=0))
        ),
    ),
    "what is sent from population variances": (
        "04.6",
        lambda out, W_in, scale: (out @ W_in).var(0, correction=0).sum().sqrt() / scale,
    ),
    "what is sent token by token": (
        "04.6",
        lambda out, W_in, scale: ((out - out.mean(0)) @ W_in).square().sum(1).mean().sqrt() / scale,
    ),
}

SLIPS = {
    "x / a * b": (
        "04.1",
        lambda W_out, W_in: (W_out @ W_in).norm() / W_out.norm() * W_in.norm(),
        "`x / a * b` multiplies by b",
    ),
    "the reader first": (
        "04.1",
        lambda W_out, W_in: (W_in @ W_out).norm() / (W_in.norm() * W_out.norm()),
        "`W_in @ W_out` lets the reader write",
    ),
    "root of the variance": (
        "04.4",
        lambda A, B: (
            ((A * B).sum() - A.trace() * B.trace() / (d := len(A)))
            / (
                2
                * (A - A.trace() / d * torch.eye(d)).norm() ** 2
                * (B - B.trace() / d * torch.eye(d)).norm() ** 2
                / ((d - 1) * (d + 2))
            )
        ),
        "you divided by the variance",
    ),
    "torch's default deviation of ranks": (
        "04.5",
        lambda x, y: (centred_ranks(x) * centred_ranks(y)).mean() / (centred_ranks(x).std() * centred_ranks(y).std()),
        "torch's `std` divides by n - 1",
    ),
    "torch's default variance": (
        "04.6",
        lambda out, W_in, scale: (out @ W_in).var(0).sum().sqrt() / scale,
        "torch's `var` and `std` divide by n - 1",
    ),
    "torch's default covariance": (
        "04.6",
        lambda out, W_in, scale: ((out @ W_in).T.cov().trace()) ** 0.5 / scale,
        "torch's `var` and `std` divide by n - 1",
    ),
    "a sum over tokens": (
        "04.6",
        lambda out, W_in, scale: ((out - out.mean(0)) @ W_in).norm() / scale,
        "this is a sum over tokens",
    ),
    "deviations summed": (
        "04.6",
        lambda out, W_in, scale: (out @ W_in).std(0, correction=0).sum() / scale,
        "these are standard deviations, summed",
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
