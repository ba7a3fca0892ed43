"""Whatever a learner hands in, `check` prints one line, calls it wrong, and lets the notebook go on."""

import asyncio
import functools
import types
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rsutils
from rsutils import catalogue
from rsutils.teaching import checks

EXERCISES = list(catalogue.EXERCISES.values())
each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)

SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 5, 7]), max_size=4).map(tuple)
DTYPES = st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool, torch.complex64])
LEAVES = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.fractions(),
    st.decimals(),
    st.builds(lambda shape, dtype: torch.zeros(shape, dtype=dtype), SHAPES, DTYPES),
    st.builds(np.ones, SHAPES, st.sampled_from(["f4", ">f8", "O", "U3", "M8[s]", "u2"])),
    st.sampled_from([object(), object, torch, len, range(3), NotImplemented, slice(None)]),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    ),
    max_leaves=6,
)


def judged(exercise, answer):
    right, message = checks.verdict(exercise, answer)
    assert message and "\n" not in message and len(message) <= 500
    return right


@each
@given(value=VALUES)
@settings(max_examples=10, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_values_are_wrong(exercise, value):
    assert judged(exercise, value) is False
    assert judged(exercise, lambda *args: value) is False


@each
@given(
    error=st.sampled_from([ValueError, SystemExit, GeneratorExit, MemoryError, StopIteration, asyncio.CancelledError])
)
@settings(max_examples=3, deadline=None, database=None)
def test_random_errors_are_wrong(exercise, error):
    def answer(*args):
        raise error("a message\nof two lines")

    assert judged(exercise, answer) is False


class Spiteful(Exception):
    """An error, and a value, of which nothing can be asked."""

    def refuse(self, *args):
        raise SystemExit("no")

    __str__ = __repr__ = __eq__ = __len__ = __getattr__ = __float__ = __array__ = refuse
    __hash__ = None


def nested():
    endless = []
    endless.append(endless)
    return endless


def recursive(*args):
    return recursive(*args)


def spiteful(*args):
    raise Spiteful


async def waited(*args):
    return 1


def generated(*args):
    yield 1


ODD_VALUES = {
    "always equal": mock.ANY,
    "endless list": nested(),
    "huge": torch.zeros(1).expand(10**6, 10**6),
    "huge list": [0.0] * 10**6,
    "meta": torch.zeros(3, device="meta"),
    "mock": mock.MagicMock(),
    "module": types,
    "nan": float("nan"),
    "infinite integer": 10**5000,
    "object array": np.array([None, "x"], dtype=object),
    "parameter": torch.nn.Parameter(torch.zeros(2)),
    "partial": functools.partial(int, "3"),
    "series": pd.Series([1, 2]),
    "sparse": torch.zeros(3, 3).to_sparse(),
    "spiteful": Spiteful(),
    "two-line type": type("a\nb", (), {})(),
}
ODD_FUNCTIONS = {
    "async": waited,
    "built-in": len,
    "class": dict,
    "class of tensors": torch.Tensor,
    "generator": generated,
    "its own arguments": lambda *args: args,
    "keywords only": lambda *, q=1: q,
    "mock": mock.MagicMock(),
    "module": torch.nn.Linear(2, 3),
    "no arguments": lambda: 1,
    "recursion": recursive,
    "spiteful error": spiteful,
}


@each
@pytest.mark.parametrize("name", ODD_VALUES)
@pytest.mark.filterwarnings("ignore")
def test_odd_values_are_wrong(exercise, name):
    assert judged(exercise, ODD_VALUES[name]) is False
    assert judged(exercise, lambda *args: ODD_VALUES[name]) is False


@each
@pytest.mark.parametrize("name", ODD_FUNCTIONS)
def test_odd_functions_are_wrong(exercise, name):
    assert judged(exercise, ODD_FUNCTIONS[name]) is False


def test_check_prints_one_line_for_them(capsys, monkeypatch):
    monkeypatch.delenv("RSUTILS_STRICT", raising=False)
    for answer in (spiteful, generated, ODD_VALUES["two-line type"], lambda q, k: Spiteful()):
        rsutils.check("00.2", answer)
        out = capsys.readouterr().out
        assert out.startswith("✗ 00.2: ") and out.count("\n") == 1
