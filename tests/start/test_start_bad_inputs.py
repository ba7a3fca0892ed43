"""Whatever a learner hands the figures of chapter 00 gives a figure or one line.

The shape annotations are switched off where they would speak first: in a notebook nothing checks them.
"""

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rsutils
from rsutils import start

QUICK = settings(max_examples=60, deadline=None)
odd = st.sampled_from([0.0, 1.0, -1.0, float("nan"), float("inf")])
words = st.lists(st.sampled_from(["", " the", "a", "<b>", "\n"]), max_size=4)


@st.composite
def tensors(draw):
    shape = draw(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=3))
    filled = torch.rand(shape) if draw(st.booleans()) else torch.full(shape, draw(odd))
    return filled.sort().values if draw(st.booleans()) else filled.nan_to_num(posinf=1).to(torch.int64)


@pytest.fixture(autouse=True)
def unchecked_shapes():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def words_or_line(function, *args) -> str:
    """What the figure or the CourseError says; any other exception is a failure."""
    try:
        return function(*args).words
    except rsutils.CourseError as error:
        line = str(error)
        assert "\n" not in line
        assert line.startswith("expected ")
        assert ", got " in line
        assert not line.endswith(".")
        return ""


@QUICK
@given(values=tensors(), words=words, layer=st.integers(), head=st.integers())
def test_figures(values, words, layer, head):
    said = words_or_line(start.figures.pattern, values, words, layer, head)
    assert not said or (min(layer, head) >= 0 and list(values.shape) == [len(words)] * 2)
    for figure in (start.figures.next_tokens, start.figures.write_norms):
        said = words_or_line(figure, values, words)
        assert not said or ("nan" not in said and list(values.shape) == [len(words)])


@pytest.mark.parametrize(
    ("figure", "args", "line"),
    [
        ("pattern", (torch.eye(2), ["a", "b"], -1, 0), "counted from 0, got -1 and 0"),
        ("pattern", (torch.ones(2, 3), ["a", "b"], 0, 0), "one row and one column for each word, got shape"),
        ("next_tokens", (torch.tensor([0.2, 0.7]), ["a", "b"]), "likeliest token first"),
        ("next_tokens", (torch.tensor([0.7]), ["a", "b"]), "one word for each probability, got shape"),
        ("write_norms", (torch.tensor([torch.nan]), ["a"]), "got NaN or infinity"),
        ("write_norms", (torch.tensor([]), []), "one label for each norm"),
    ],
)
def test_what_is_wrong_is_said(figure, args, line):
    with pytest.raises(rsutils.CourseError, match=line):
        getattr(start.figures, figure)(*args)
