"""Whatever a learner hands to this room's functions gives a result or one line, never a library's own error."""

from dataclasses import replace

import numpy as np
import pytest
import shapes
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

import rsutils
from rsutils import heads
from rsutils.compare import PairScores
from rsutils.errors import CourseError

LENGTH = 7
ODD = st.one_of(
    st.integers(-4, 40),
    st.sampled_from([10**6, -(10**6), 2**63, -(2**64), 10**30]),
    st.booleans(),
    st.none(),
    st.floats(),
    st.text("LH01aK \n", max_size=5),
    st.sampled_from(
        ["L0H0", "L0H3", "L1H0", "L2H4", "L9H9", "L-1H0", "LxH", "Q", "K", "q", "OV", "ov", "QK", "z", "score"]
    ),
    st.sampled_from([[], [1, 2], {}, ("L0H0", "L1H1"), np.arange(3), np.int64(2), torch.tensor(1), torch.ones(2, 3)]),
)
IDS = st.one_of(
    ODD,
    st.builds(
        lambda shape, value: torch.full(shape, value),
        st.lists(st.sampled_from([0, 1, 2, 15, 80]), max_size=3),
        st.sampled_from([-1, 0, 5, 256, 257, 10**9, 0.5, float("nan"), True]),
    ),
)
PATTERNS = st.builds(
    lambda shape, value: torch.full(shape, value),
    st.lists(st.sampled_from([0, 1, 3, 4, 5]), min_size=4, max_size=6),
    st.sampled_from([0.5, float("nan"), float("inf")]),
)
TABLES = st.builds(torch.ones, st.lists(st.sampled_from([0, 1, 3, 5]), max_size=3))
SCORES = st.one_of(
    ODD,
    st.dictionaries(st.sampled_from(["Q", "K", "induction"]), TABLES),
    st.builds(lambda value: {"Q": value}, ODD),
)


class World:
    """A model of three layers of five heads, and what the room measures of it."""

    def __init__(self, model):
        self.model = model
        self.ids = heads.repeated_tokens(model, LENGTH, batch=1)
        self.circuits = heads.circuits(model)
        self.composition = heads.composition(self.circuits)
        self.effects = heads.ablate_each_head(model, self.ids)
        self.scores = heads.head_scores(heads.attend(model, self.ids)[0])
        self.drawn = heads.null_scores(self.circuits, "K", "L0H0", "L1H0", n=3)


@pytest.fixture(scope="module")
def world(small_models):
    return World(small_models["gpt2"])


def predicted(w, pair):
    return heads.figures.prediction(w.composition, w.effects, "K", "z", pair)


def enter(model, layer, head):
    with heads.mean_ablated(model, layer, head):
        pass


CALLS = {
    "repeated_tokens": (lambda w, *a: heads.repeated_tokens(w.model, *a), [ODD, ODD, ODD]),
    "patterns": (lambda w, ids: heads.patterns(w.model, ids), [IDS]),
    "attend": (lambda w, ids: heads.attend(w.model, ids), [IDS]),
    "head_scores": (lambda w, pattern: heads.head_scores(pattern), [st.one_of(ODD, PATTERNS)]),
    "best_role": (lambda w, *a: heads.best_role(*a), [SCORES, ODD]),
    "best_role of true scores": (lambda w, label: heads.best_role(w.scores, label), [ODD]),
    "mean_ablated": (lambda w, *a: enter(w.model, *a), [ODD, ODD]),
    "ablate_each_head": (lambda w, ids: heads.ablate_each_head(w.model, ids), [ODD]),
    "token_table": (lambda w, *a: heads.token_table(w.model, *a), [ODD, ODD, ODD, ODD]),
    "circuits": (lambda w, offset: heads.circuits(w.model, offset), [ODD]),
    "rotation": (lambda w, offset: heads.rotation(w.model, offset), [ODD]),
    "Circuits.index": (lambda w, label: w.circuits.index(label), [ODD]),
    "Circuits.place": (lambda w, *a: w.circuits.place(*a), [ODD, ODD]),
    "composition": (lambda w, c: heads.composition(c), [ODD]),
    "by_depth": (lambda w, scores: heads.by_depth(w.model, scores), [SCORES]),
    "components": (lambda w, *a: heads.components(w.circuits, *a), [ODD, ODD, ODD]),
    "null_scores": (
        lambda w, *a: heads.null_scores(w.circuits, "K", "L0H0", "L1H0", *a),
        [ODD.filter(lambda n: not isinstance(n, int) or n < 40 or n > 10**6), ODD],
    ),
    "null_scores of a pair": (lambda w, *a: heads.null_scores(w.circuits, *a, n=2), [ODD, ODD, ODD]),
    "figures.roles": (lambda w, scores: heads.figures.roles(scores), [SCORES]),
    "figures.token_table": (lambda w, found: heads.figures.token_table(found), [ODD]),
    "figures.composition": (lambda w, *a: heads.figures.composition(*a), [SCORES, ODD, ODD]),
    "figures.composition of true scores": (lambda w, *a: heads.figures.composition(w.composition, *a), [ODD, ODD]),
    "figures.null": (lambda w, *a: heads.figures.null(a[0], w.composition, *a[1:]), [ODD, ODD, ODD, ODD]),
    "figures.components": (lambda w, found: heads.figures.components(found), [ODD]),
    "figures.prediction": (lambda w, *a: heads.figures.prediction(w.composition, w.effects, *a), [ODD, ODD]),
}


@pytest.mark.parametrize("name", CALLS)
def test_whatever_is_handed_over_gives_a_result_or_one_line(world, name):
    call, strategies = CALLS[name]

    @settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(*strategies))
    def attempt(given):
        try:
            call(world, *given)
        except CourseError as error:
            assert "\n" not in str(error)
            assert str(error).startswith("expected") or "this text has" in str(error)
        except TypeCheckError:
            pass

    attempt()


def refused(words: str):
    return pytest.raises(CourseError, match=words)


@pytest.mark.parametrize(
    ("words", "call"),
    [
        ("a head from 0 to 4, got 5", lambda w: enter(w.model, 1, 5)),
        ("a layer from 0 to 2, got -1", lambda w: enter(w.model, -1, 0)),
        ("a circuit among OV, QK, got 'ov'", lambda w: heads.token_table(w.model, "hello", 0, 0, "ov")),
        ("a layer from 0 to 2, got -1", lambda w: heads.token_table(w.model, "hello", -1, 0, "OV")),
        ("a mode among Q, K, V, got 'k'", lambda w: heads.components(w.circuits, "k", "L0H0", "L1H0")),
        ("a later layer than L1H0, got L1H2", lambda w: heads.components(w.circuits, "K", "L1H0", "L1H2")),
        ("a later layer than L2H0, got L0H2", lambda w: heads.null_scores(w.circuits, "K", "L2H0", "L0H2")),
        ("later than L1H0, got L1H2", lambda w: w.composition["K"].rank("L1H0", "L1H2")),
        ("draws from 1 to 100000, got 0", lambda w: heads.null_scores(w.circuits, "K", "L0H0", "L1H0", n=0)),
        ("an offset from 0 to 60, got -1", lambda w: heads.circuits(w.model, -1)),
        ("a length from 2 to 30, got True", lambda w: heads.repeated_tokens(w.model, True)),
        ("a batch from 1 to 1000, got 0", lambda w: heads.repeated_tokens(w.model, 5, batch=0)),
        ("a head from L0H0 to L2H4, got 'L3H0'", lambda w: heads.best_role(w.scores, "L3H0")),
        ("BOS and a span twice", lambda w: heads.attend(w.model, w.ids[:, :-1])),
        ("BOS and a span twice", lambda w: heads.ablate_each_head(w.model, w.ids.flip(1))),
        ("ids from 0 to 256, got 257", lambda w: heads.patterns(w.model, torch.tensor([[0, 257]]))),
        ("expected token ids, whole numbers of shape", lambda w: heads.patterns(w.model, w.ids[:, :0])),
        ("at most 61 tokens, the model.s context, got 62", lambda w: heads.patterns(w.model, w.ids[:, [0] * 62])),
        ("finite attention", lambda w: heads.head_scores(torch.full((1, 1, 1, 5, 5), torch.nan))),
        ("5 positions or more, got \\[1, 1, 1, 3, 3\\]", lambda w: heads.head_scores(torch.ones(1, 1, 1, 3, 3))),
        ("1 \\+ 2 \\* length", lambda w: heads.head_scores(torch.ones(1, 1, 1, 6, 6))),
        ("one at least, got \\[\\]", lambda w: heads.figures.null(w.drawn[:0], w.composition, "K", "L0H0", "L1H0")),
        ("scores of K, got \\['Q'\\]", lambda w: heads.figures.composition({"Q": w.composition["Q"]}, "K", "z")),
        ("later than L1H0, got L1H2", lambda w: predicted(w, ("L1H0", "L1H2"))),
        ("L2H4, got 'L9H9'", lambda w: predicted(w, ("L0H0", "L9H9"))),
        ("by role, got others", lambda w: heads.figures.roles({})),
    ],
)
def test_what_does_not_exist_is_refused_in_a_line(world, words, call):
    with refused(words):
        call(world)


@pytest.mark.parametrize("value", [0.0, torch.nan, torch.inf])
def test_a_head_whose_score_would_be_nan_is_named(world, value):
    write = world.circuits.write.clone()
    write[7] = value
    with refused("not all zero, got L1H2"):
        heads.composition(replace(world.circuits, write=write))


def test_another_models_scores_are_refused(world, small_models):
    with refused("expected scores of 5 x 6 heads, got 15"):
        heads.by_depth(small_models["llama"], world.composition)
    other = heads.composition(heads.circuits(small_models["llama"]))
    with refused("effects of 30 heads, got 15"):
        heads.figures.prediction(other, world.effects, "K", "z")


def test_a_model_of_one_layer_has_no_pairs(tmp_path):
    config = shapes.CONFIGS["gpt2"].__class__(
        n_positions=61, n_embd=65, n_layer=1, n_head=5, n_inner=71, **shapes.SHARED
    )
    shapes.random_model(config).save_pretrained(tmp_path)
    shapes.byte_tokenizer().save_pretrained(tmp_path)
    model = rsutils.load_model(tmp_path)
    scores = heads.composition(heads.circuits(model))
    assert isinstance(scores["K"], PairScores)
    assert scores["K"].top() == [] and not scores["K"].there.any()
    with refused("two layers or more, got one layer"):
        heads.figures.composition(scores, "K", "z")
    assert heads.ablate_each_head(model, heads.repeated_tokens(model, 5, batch=1)).pattern.isnan().all()
