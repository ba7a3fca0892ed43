"""Answers to chapter 03's exercises as learners write them: right ones pass, and each slip is named."""

import pytest
import torch

from rsutils import catalogue
from rsutils.teaching import checks

RIGHT = {
    "virtual weights by einsum": ("03.1", lambda W_out, W_in: torch.einsum("id,dj->ij", W_out, W_in)),
    "terms through the scaled reader": (
        "03.2",
        lambda activations, W_out, w, scale: activations * (W_out @ (w / scale)),
    ),
    "a ledger component by component": ("03.3", lambda written, w, b, scale: (written @ w).sum() / scale + b),
    "chance as a quotient": (
        "03.4",
        lambda W_out, W_in: (W_out @ W_in).norm() / W_out.norm() / W_in.norm() / len(W_in) ** -0.5,
    ),
}

SLIPS = {
    "the reader first": ("03.1", lambda W_out, W_in: W_in @ W_out, "`W_in @ W_out` lets the reader write"),
    "one number a component": ("03.3", lambda written, w, b, scale: written @ w / scale + b, "one number a component"),
    "multiplied by the scale": (
        "03.3",
        lambda written, w, b, scale: written.sum(0) @ w * scale + b,
        "the norm divides by its scale",
    ),
    "divided by one norm alone": (
        "03.4",
        lambda W_out, W_in: (W_out @ W_in).norm() / W_out.norm() * W_in.norm() * len(W_in) ** 0.5,
        "this divides by one norm and multiplies",
    ),
    "a deviation for a root mean square": (
        "03.6",
        lambda stream, written, W_in: (
            (stream / stream.std(-1, keepdim=True) - (left := stream - written) / left.std(-1, keepdim=True)) @ W_in
        ),
        "a standard deviation takes off the mean",
    ),
    "the root forgotten": (
        "03.6",
        lambda stream, written, W_in: (
            (stream / stream.square().mean(-1, True) - (left := stream - written) / left.square().mean(-1, True)) @ W_in
        ),
        "the root is missing",
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
