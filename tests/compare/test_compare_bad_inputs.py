"""Whatever is passed to the wing of comparisons gives a result or one line that says what to do."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from rsutils import CourseError, compare
from rsutils.compare import DepthMap, PairScores

FAST = settings(max_examples=25, deadline=None, derandomize=True)
# What the signatures rule out (None for a name, a text for a number) needs no example: it is slow to refuse.
COUNTS = st.booleans() | st.integers(-3, 20)
NAMES = st.sampled_from(["norm", "z", "a", "b", "c"]) | st.text(max_size=5)
SHAPES = st.tuples(st.integers(0, 4), st.integers(0, 4))
TENSORS = st.builds(lambda shape, value: torch.full(shape, value), SHAPES, st.sampled_from([0.0, 1.0, torch.nan]))
PAIR = PairScores("m", ["a", "b"], ["b", "c"], 5, *(np.array([[1.0, 2.0], [np.nan, 3.0]]) for _ in range(3)))


def answers(call):
    """A result, or one line in which the course or the signature refuses."""
    try:
        return call()
    except CourseError as error:
        line = str(error)
        assert "\n" not in line and line.startswith("expected") and ": " in line and not line.endswith(".")
    except TypeCheckError:
        pass


@FAST
@given(write=TENSORS, read=TENSORS, n=COUNTS, k=COUNTS, seed=st.integers(0, 3))
def test_the_null(write, read, n, k, seed):
    answers(lambda: compare.null_scores(write, read, n, 3, seed))
    answers(lambda: compare.null_scores(write, read, len(read), k))
    answers(lambda: compare.rotated_reader(read, n, seed))
    answers(lambda: compare.random_directions(k, n, n, torch.Generator()))
    answers(lambda: compare.null_deviation(n, write, write))
    answers(lambda: compare.z_scores(write, n, write, write))
    answers(lambda: compare.rank_correlation(write, read))


@FAST
@given(name=NAMES, other=NAMES, n=COUNTS)
def test_scores_of_pairs(name, other, n):
    for ask in (
        lambda: PAIR.metric(name),
        lambda: PAIR.top(name, n),
        lambda: PAIR.place(name, other),
        lambda: PAIR.rank(name, other, name),
        lambda: PAIR.rank("a", "b", name),
        lambda: PAIR.among([name], [other]),
    ):
        answers(ask)


@FAST
@given(shape=SHAPES, value=st.sampled_from([0.0, 1.0, np.inf, np.nan, -1.0]))
def test_maps(shape, value):
    values = np.full(shape, value)
    values[np.tril_indices(*[min(shape)])] = np.nan
    shown = answers(lambda: DepthMap("a", values))
    if shown is None:
        return
    for maps in ([shown, replace(shown, model="b")], [shown, shown], [shown], []):
        answers(lambda maps=maps: compare.figures.maps(maps, "What"))
        answers(lambda maps=maps: compare.figures.distance(maps, "What"))
    answers(lambda: compare.likeness(shown, shown))
    answers(lambda: compare.by_distance(shown))
