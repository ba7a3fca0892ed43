"""Scores of pairs: what is on top, at which rank, in which row of the table, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from rsutils import CourseError
from rsutils.compare import PairScores, ScoredPair

SOURCES, DESTINATIONS = ["a", "b", "c"], ["b", "c", "d", "e"]
NORM = np.array([[1.0, 5.0, 2.0, 3.0], [np.nan, 7.0, 4.0, 3.0], [np.nan, np.nan, 6.0, np.nan]])


def made(**changed):
    more = {"size": NORM * 3}
    given = dict(model="m", sources=SOURCES, destinations=DESTINATIONS, n_directions=16, norm=NORM, score=-NORM)
    return PairScores(**given | dict(z=NORM**2, more=more) | changed)


def test_a_metric_is_found_by_name():
    scores = made()
    assert scores.metrics == ["norm", "score", "z", "size"]
    for name, matrix in {"norm": NORM, "score": -NORM, "z": NORM**2, "size": NORM * 3}.items():
        np.testing.assert_array_equal(scores.metric(name), matrix)
    assert scores.chance == 0.25


def test_top_sorts_the_pairs_that_there_are():
    scores = made()
    assert scores.top("norm", 2) == [ScoredPair("b", "c", 7.0), ScoredPair("c", "d", 6.0)]
    assert scores.top("score", 1) == [ScoredPair("a", "b", -1.0)]
    assert scores.top(n=1) == [ScoredPair("b", "c", 49.0)]
    assert len(scores.top("norm", 100)) == scores.there.sum() == 8
    assert [pair[:2] for pair in scores.top("norm", 6)][4:] == [("a", "e"), ("b", "e")], "equals keep their order"


def test_rank_counts_the_larger_ones():
    scores = made()
    assert [scores.rank(source, destination, "norm") for source, destination, _ in scores.top("norm", 4)] == [
        1,
        2,
        3,
        4,
    ]
    assert scores.rank("a", "e", "norm") == scores.rank("b", "e", "norm") == 5
    assert scores.rank("a", "b") == 8 and scores.rank("a", "b", "score") == 1


def test_the_table_has_a_row_a_pair_and_a_column_a_metric():
    table = made().table()
    assert list(table) == ["source", "destination", "norm", "score", "z", "size"] and len(table) == 8
    at = table.set_index(["source", "destination"])
    assert at.loc[("b", "d")].tolist() == [4.0, -4.0, 16.0, 12.0]
    assert ("b", "b") not in at.index


def test_a_choice_of_names_keeps_every_metric_of_their_pairs():
    scores = made()
    fewer = scores.among(["c", "a"], ["d"])
    whole = scores.table()
    chosen = whole[whole["source"].isin(["a", "c"]) & (whole["destination"] == "d")].iloc[::-1]
    pd.testing.assert_frame_equal(fewer.table(), chosen.reset_index(drop=True))
    assert fewer.n_directions == 16 and scores.among([], []).top() == []


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (lambda s: s.metric("raw"), "expected a metric among norm, score, z, size, got 'raw'"),
        (lambda s: s.top("zzz"), "got 'zzz'"),
        (lambda s: s.top("norm", 0), "one pair or more, got n=0"),
        (lambda s: s.rank("a", "b", "raw"), "got 'raw'"),
        (lambda s: s.rank("b", "b"), "expected a reader later than b, got b"),
        (lambda s: s.rank("z", "b"), "expected a name among a, b, c, got 'z'"),
        (lambda s: s.place("a", "a"), "expected a name among b, c, d, e, got 'a'"),
        (lambda s: s.among(["q"], ["b"]), "got 'q'"),
    ],
)
def test_what_is_not_there_is_refused(ask, complaint):
    with pytest.raises(CourseError, match=complaint):
        ask(made())


def test_a_pair_whose_metric_means_nothing_has_no_rank():
    z = NORM.copy()
    z[0, 0] = np.nan
    with pytest.raises(CourseError, match="a value of z, got a to b"):
        made(z=z).rank("a", "b")


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"sources": ["a", "b"]}, r"expected norm of shape \[2, 4\]"),
        ({"more": {"z": NORM}}, "got 'z'"),
        ({"destinations": ["b", "c", "c", "e"]}, "names that differ"),
        ({"n_directions": 1}, "two directions or more, got 1"),
    ],
)
def test_matrices_that_do_not_fit_are_refused(changed, complaint):
    with pytest.raises(CourseError, match=complaint):
        made(**changed)
