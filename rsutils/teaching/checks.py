"""Exercises: a statement with foldable hints and solution, and a checker that recognises known mistakes by name."""

import inspect
import textwrap
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Exercise:
    """One exercise. ``solution`` is the reference: the checker runs it, and its source is what "Solution" reveals.

    ``inputs`` makes the arguments both are called with (none: the answer is a plain value). ``mistakes`` maps
    what the learner is told to a wrong function with the solution's signature; ``alternatives`` are right
    answers written differently, for the tests.
    """

    id: str
    title: str
    stars: int
    task: str
    solution: Callable
    inputs: Callable[[], tuple]
    hints: tuple[str, str]
    mistakes: dict[str, Callable]
    alternatives: tuple[Callable, ...]
    tolerance: float = 1e-4


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal random numbers that are the same each time, for the inputs of exercises."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def source(e: Exercise) -> str:
    """The solution as text, as the learner would write it."""
    return textwrap.dedent(inspect.getsource(e.solution))


def verdict(e: Exercise, answer: Any) -> tuple[bool | None, str]:
    """Right, wrong or (None) not attempted, and what to tell the learner."""
    if answer is None or answer is ...:
        return None, "not attempted yet. Replace the `...` when you are ready."
    if e.inputs() and not callable(answer):
        return (
            False,
            f"expected a function like `{e.solution.__name__}{inspect.signature(e.solution)}`, got {_kind(answer)}.",
        )
    expected = e.solution(*e.inputs())
    try:
        got = answer(*deepcopy(e.inputs())) if callable(answer) else answer
    except Exception as error:  # a learner's function may raise anything; whatever it is becomes a sentence
        return (
            False,
            f"your function raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
        )
    if got is None or got is ...:
        return None, "not attempted yet. Your function returns nothing so far."
    problem = difference(got, expected, e.tolerance)
    if problem is None:
        return True, "correct."
    for name, wrong in e.mistakes.items():
        if difference(got, wrong(*e.inputs()), e.tolerance) is None:
            return False, f"{name}."
    return False, f"{problem}."


def difference(got: Any, expected: Any, tolerance: float) -> str | None:
    """What is wrong with ``got`` in a sentence, or None if it equals ``expected`` within ``tolerance`` of its size."""
    if isinstance(expected, dict):
        if not isinstance(got, dict) or got.keys() != expected.keys():
            return f"expected a dictionary with the keys {list(expected)}, got {_kind(got)}"
        return next((f"at {k!r}: {d}" for k in expected if (d := difference(got[k], expected[k], tolerance))), None)
    if isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(expected):
            return f"expected {len(expected)} values, got {_kind(got)}"
        return next(
            (
                f"value {i}: {d}"
                for i, (g, x) in enumerate(zip(got, expected, strict=True))
                if (d := difference(g, x, tolerance))
            ),
            None,
        )
    if isinstance(expected, str | bool):
        return None if type(got) is type(expected) and got == expected else f"{got!r} is not the answer"
    try:
        got, expected = (
            torch.as_tensor(np.asarray(v) if not isinstance(v, torch.Tensor) else v).double() for v in (got, expected)
        )
    except (TypeError, ValueError):
        return f"expected {_kind(expected)}, got {_kind(got)}"
    if got.shape != expected.shape:
        return f"expected shape {list(expected.shape)}, got {list(got.shape)}"
    worst = (got - expected).abs().max().item() if expected.numel() else 0.0
    bound = tolerance * max(1.0, expected.abs().max().item() if expected.numel() else 0.0)
    return None if worst <= bound else f"the shape is right, the numbers are not: the largest difference is {worst:.3g}"


def _kind(value: Any) -> str:
    return f"a tensor of shape {list(value.shape)}" if isinstance(value, torch.Tensor) else f"{type(value).__name__}"
