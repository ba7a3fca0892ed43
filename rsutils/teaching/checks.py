"""Exercises, and a checker that tries an answer on fresh inputs and recognises known mistakes by name."""

import inspect
import reprlib
import textwrap
import traceback
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from IPython.core.getipython import get_ipython

from rsutils.errors import CourseError
from rsutils.teaching.draws import Draw

CASES = 3


@dataclass(frozen=True)
class Exercise:
    """One exercise. ``solution`` is the reference: the checker runs it, and its source is what "Solution" reveals.

    ``inputs`` draws the arguments of one case (none: the answer is a plain value); a check tries several, each with
    other sizes. ``returns`` says what comes back, with the names of its axes: one text, or one for each of several
    values. ``learned`` is what solving it tells. ``mistakes`` maps what the learner is told to a wrong function with
    the solution's signature; ``alternatives`` are right answers written differently, for the tests. ``forbids`` says
    of a function whose numbers are right what it did that the task rules out, or None.
    """

    id: str
    title: str
    stars: int
    task: str
    solution: Callable
    inputs: Callable[[Draw], tuple]
    returns: str | tuple[str, ...]
    hints: tuple[str, str]
    learned: str
    mistakes: dict[str, Callable]
    alternatives: tuple[Callable, ...]
    forbids: Callable[[Callable, tuple], str | None] = lambda answer, inputs: None
    tolerance: float = 1e-4

    @property
    def is_function(self) -> bool:
        """Whether a function is asked for, not a value."""
        return bool(inspect.signature(self.solution).parameters)


class Run(NamedTuple):
    """What a function gave back or raised, and its arguments afterwards."""

    value: Any
    error: BaseException | None
    arguments: tuple


def run(function: Callable, inputs: tuple) -> Run:
    """Call a function on a copy of ``inputs``; only Ctrl-C gets through."""
    arguments = deepcopy(inputs)
    try:
        return Run(function(*arguments), None, arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a learner's function may raise anything, SystemExit included
        return Run(None, error, arguments)


def source(e: Exercise) -> str:
    """The solution as text, as the learner would write it."""
    return textwrap.dedent(inspect.getsource(e.solution))


def verdict(e: Exercise, answer: Any, seed: int | None = None) -> tuple[bool | None, str]:
    """Right, wrong or (None) not attempted, and what to tell the learner in a line; ``seed`` repeats a check."""
    if answer is None or answer is ...:
        return None, "not attempted yet. Replace the `...` when you are ready."
    judged = run(lambda: _judge(e, answer, Draw(seed)), ())
    if judged.error:
        return False, f"this answer cannot be compared: doing so raised {type(judged.error).__name__}."
    right, message = judged.value
    return right, textwrap.shorten(message, 500, placeholder=" ...")


def _judge(e: Exercise, answer: Any, draw: Draw) -> tuple[bool | None, str]:
    if e.is_function and (not callable(answer) or inspect.isclass(answer)):
        return False, f"expected a function like `{_head(e.solution)}`, got {_kind(answer)}."
    cases = [e.inputs(draw) for _ in range(CASES if e.is_function else 1)]
    expected = [e.solution(*deepcopy(inputs)) for inputs in cases]
    runs = [run(answer if callable(answer) else lambda: answer, inputs) for inputs in cases]
    if all(r.error is None and (r.value is None or r.value is ...) for r in runs):
        return None, "not attempted yet. Your function returns nothing so far."
    for inputs, ran, right in zip(cases, runs, expected, strict=True):
        if ran.error:
            problem: str | None = _raised(answer, ran.error)
        else:
            problem = difference(ran.value, right, e.tolerance, e.returns)
        if problem:
            changed = None if ran.error or not inputs else changes_arguments(answer, inputs)
            return False, f"{_mistake(e, cases, runs) or changed or problem + _arguments(e, inputs)}."
    forbidden = next((found for inputs in cases if (found := e.forbids(answer, inputs))), None)
    return (False, f"{forbidden}.") if forbidden else (True, f"correct. {e.learned}")


def _mistake(e: Exercise, cases: list[tuple], runs: list[Run]) -> str | None:
    """The known mistake that does in every case what the answer did: the same values, or an error of the same type."""

    def same(ran: Run, wrong: Run) -> bool:
        if ran.error or wrong.error:
            return type(ran.error) is type(wrong.error)
        return difference(ran.value, wrong.value, e.tolerance, e.returns) is None

    if all(ran.error for ran in runs):
        return None
    for name, wrong in e.mistakes.items():
        if all(same(ran, run(wrong, inputs)) for inputs, ran in zip(cases, runs, strict=True)):
            return name
    return None


def changes_arguments(answer: Callable, inputs: tuple) -> str | None:
    """Which argument a function changes in place, in a sentence, or None."""
    names = _parameters(answer)
    for i, (before, after) in enumerate(zip(inputs, run(answer, inputs).arguments, strict=True)):
        if not torch.equal(before, after) if isinstance(before, torch.Tensor) else before != after:
            name = f"`{names[i]}`" if i < len(names) else f"number {i + 1}"
            return (
                f"your function changes its argument {name} in place, and so everything else that uses it: "
                "work on a copy (`x = x + y` makes one, `x += y` does not)"
            )
    return None


def difference(got: Any, expected: Any, tolerance: float, names: str | tuple[str, ...] = "") -> str | None:
    """What is wrong with ``got`` in a sentence, or None if it equals ``expected`` within ``tolerance`` of its size."""
    try:
        if isinstance(expected, dict):
            _same_dict(got, expected)
        elif isinstance(expected, tuple):
            assert isinstance(names, tuple)
            _same_parts(got, expected, tolerance, names)
        elif isinstance(expected, str):
            if not isinstance(got, str) or str(got) != expected:
                raise CourseError(f"{reprlib.repr(got) if isinstance(got, str) else _kind(got)} is not the answer")
        else:
            _same_numbers(got, expected, tolerance)
    except CourseError as problem:
        return f"{names}: {problem}" if names and isinstance(names, str) else str(problem)
    return None


def _same_dict(got: Any, expected: dict[str, str]) -> None:
    if not isinstance(got, dict):
        raise CourseError(f"expected a dictionary with the keys {list(expected)}, got {_kind(got)}")
    for said, keys in (("missing", expected.keys() - got.keys()), ("not asked for", got.keys() - expected.keys())):
        if keys:
            raise CourseError(f"expected the keys {list(expected)}; {said}: {', '.join(sorted(map(repr, keys)))}")
    options = sorted(set(expected.values()))
    for key, value in got.items():
        if value not in options:
            raise CourseError(f"at {key!r}: expected one of {options}, got {reprlib.repr(value)}")
        if value != expected[key]:
            raise CourseError(f"at {key!r}: {value!r} is not the answer")


def _same_parts(got: Any, expected: tuple, tolerance: float, names: tuple[str, ...]) -> None:
    several = isinstance(got, list | tuple) or (isinstance(got, torch.Tensor | np.ndarray) and got.ndim > 0)
    if not several or len(got) != len(expected):
        raise CourseError(f"expected {len(expected)} values ({', '.join(names)}), got {_kind(got)}")
    for part, right, name in zip(got, expected, names, strict=True):
        if problem := difference(part, right, tolerance, name):
            raise CourseError(problem)


def _same_numbers(got: Any, expected: Any, tolerance: float) -> None:
    right = torch.as_tensor(expected)
    numbers = _numbers(got, right.shape)
    if (numbers.dtype is torch.bool) != (right.dtype is torch.bool):
        wanted = "only True and False" if right.dtype is torch.bool else "numbers"
        raise CourseError(f"expected {wanted}, got {str(numbers.dtype).removeprefix('torch.')}")
    numbers, right = numbers.double(), right.double()
    if numbers.isnan().any() and not right.isnan().any():
        raise CourseError("the shape is right, and it holds nan, what 0 / 0 or a softmax over minus infinities gives")
    gap = (numbers - right).abs().masked_fill((numbers == right) | (numbers.isnan() & right.isnan()), 0)
    size = right[right.isfinite()].abs().max().item() if right.isfinite().any() else 0.0
    if not gap.max().item() <= tolerance * (size or 1.0):
        at = [int(i) for i in np.unravel_index(int(gap.argmax()), right.shape)]
        here = f" at {at}" if at else ""
        raise CourseError(
            f"the shape is right, the numbers are not: expected {right[tuple(at)]:.4g}{here}, "
            f"got {numbers[tuple(at)]:.4g}" + _resembles(numbers, right, tolerance)
        )


def _resembles(numbers: torch.Tensor, right: torch.Tensor, tolerance: float) -> str:
    """How the right numbers, changed in a familiar way, make these; nothing where none of the ways does."""
    ways = {
        "the sign is turned": -right,
        "signs are lost": right.abs(),
        "these are the squares of what was asked for": right**2,
        "these are the roots of what was asked for": right.sqrt(),
        "these are the logarithms of what was asked for": right.log(),
        "these are 1 over what was asked for": 1 / right,
    }
    found = (f"; {way}" for way, made in ways.items() if torch.allclose(numbers, made, rtol=tolerance, atol=0))
    return next(found, "")


def _numbers(value: Any, shape: torch.Size) -> torch.Tensor:
    """Real numbers of this shape: from a tensor, an array, a number or nested lists of these, and nothing else."""
    wanted = f"shape {list(shape)}" if shape else "one number"
    if isinstance(value, list) and len(value) == (shape[0] if shape else -1):
        return torch.stack([_numbers(part, shape[1:]) for part in value])
    if isinstance(value, Real) and not isinstance(value, np.generic):
        value = torch.tensor(value) if isinstance(value, bool) else torch.tensor(float(value), dtype=torch.float64)
    elif hasattr(type(value), "__array__") and not isinstance(value, torch.Tensor) and np.shape(value) == tuple(shape):
        array = np.array(value)  # a copy: torch takes no negative strides
        if array.dtype.kind not in "biufc":
            raise CourseError(f"expected numbers, got an array of {array.dtype}")
        value = torch.as_tensor(array)
    if not isinstance(value, torch.Tensor) or value.shape != shape:
        raise CourseError(f"expected {wanted}, got {_kind(value)}")
    if value.is_complex():
        raise CourseError("expected real numbers, got complex ones")
    return value.detach().cpu().to_dense()


def _kind(value: Any) -> str:
    if hasattr(type(value), "__array__"):
        shape = list(value.shape)
        return f"shape {shape}" if shape else "one number"
    if isinstance(value, list | tuple | dict):
        comma = " (a comma at the end of the line makes one)" if isinstance(value, tuple) and len(value) == 1 else ""
        return f"a {type(value).__name__} of {len(value)}{comma}"
    if inspect.isclass(value) or inspect.ismodule(value):
        return f"the {'class' if inspect.isclass(value) else 'module'} {value.__name__}"
    if inspect.isgenerator(value):
        return "a generator: give the values back with `return`, not with `yield`"
    if inspect.iscoroutine(value):
        value.close()  # or Python warns that nobody waited for it
        return "a coroutine: write `def`, not `async def`"
    return type(value).__name__


def _raised(answer: Any, error: BaseException) -> str:
    """The error's type and message, and the last line of the learner's code that it went through."""
    code = getattr(answer, "__code__", None)
    passed = traceback.extract_tb(error.__traceback__)
    frames = [f for f in passed if _cell(f.filename) or (code and f.filename == code.co_filename)]
    said = str(error).split("\n")[0].rstrip(".")
    where = f" in {_place(frames[-1])}" if frames else ""
    return f"your function raised {type(error).__name__}{where}" + (f": {said}" if said else "")


def _cell(filename: str) -> str | None:
    """The notebook's number of the cell that Python knows by this file name, or None."""
    shell = get_ipython()
    named = shell.compile.format_code_name(filename) if shell else None
    return named[1] if named else None


def _place(frame: traceback.FrameSummary) -> str:
    cell = _cell(frame.filename)
    where = f"cell {cell.removeprefix('In')}" if cell else Path(frame.filename).name
    return f"line {frame.lineno} of {where}" + (f" (`{frame.line}`)" if frame.line else "")


def _arguments(e: Exercise, inputs: tuple) -> str:
    """What the function was called with, since the sizes are new each time."""

    def short(value: Any) -> str:
        if isinstance(value, torch.Tensor) and value.ndim:
            return str(list(value.shape))
        return f"{len(value)} values" if isinstance(value, list) else f"{float(value):.4g}"

    called = ", ".join(f"{name} {short(value)}" for name, value in zip(_parameters(e.solution), inputs, strict=True))
    return f" (called with {called})" if called else ""


def _head(function: Callable) -> str:
    return f"{function.__name__}({', '.join(_parameters(function))})"


def _parameters(function: Callable) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # built-in functions do not say
        return []
