"""Answers to chapter 01's exercises as learners write them: right ones pass, and each slip is named."""

import pytest
import torch

from rsutils import catalogue
from rsutils.teaching import checks


def standardised(x, correction):
    return (x - x.mean(dim=1, keepdim=True)) / x.std(dim=1, keepdim=True, correction=correction)


RIGHT = {
    "a reader by its inverse": ("01.1", lambda W, R: torch.linalg.inv(R) @ W),
    "a circuit end by end": ("01.3", lambda W_OV, R: (R.T @ W_OV) @ R),
    "a norm folded by broadcasting": ("01.4", lambda gain, bias, W, b: ((W.T * gain).T, b + W.T @ bias)),
    "kurtosis of standardised coordinates": ("01.6", lambda x: (standardised(x, 0) ** 4).mean(dim=1)),
    "kurtosis from the variance": (
        "01.6",
        lambda x: ((x - x.mean(1, True)) ** 4).mean(1) / x.var(1, correction=0) ** 2,
    ),
}

SLIPS = {
    "a reader turned as a writer": ("01.1", lambda W, R: W @ R, "`W @ R` is for a writer"),
    "a reader rotated once more": ("01.1", lambda W, R: R @ W, "R is on the right side but not transposed"),
    "a writer turned as a reader": ("01.2", lambda W, R: R.T @ W, "`R.T @ W` is for a reader"),
    "column vectors": ("01.3", lambda W_OV, R: R @ W_OV @ R.T, "this is the formula for column vectors"),
    "gain over the columns": (
        "01.4",
        lambda gain, bias, W, b: (W * gain, bias @ W + b),
        "`gain * W` scales the columns",
    ),
    "torch's default deviation": (
        "01.6",
        lambda x: (standardised(x, 1) ** 4).mean(dim=1),
        "torch's `std` and `var` divide by n - 1",
    ),
    "torch's default variance": (
        "01.6",
        lambda x: ((x - x.mean(1, True)) ** 4).mean(1) / x.var(1) ** 2,
        "torch's `std` and `var` divide by n - 1",
    ),
    "sums for means": (
        "01.6",
        lambda x: ((c := x - x.mean(1, True)) ** 4).sum(1) / (c**2).sum(1) ** 2,
        "these are sums over coordinates",
    ),
    "root of the variance": (
        "01.6",
        lambda x: ((x - x.mean(1, True)) ** 4).mean(1) / x.std(1, correction=0),
        "divided by the standard deviation",
    ),
    "centred over positions": (
        "01.6",
        lambda x: ((c := x - x.mean(0)) ** 4).mean(1) / (c**2).mean(1) ** 2,
        "centred by the mean over positions",
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
