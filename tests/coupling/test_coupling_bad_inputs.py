"""Whatever is passed to chapter 04 gives a result or one line that says what to do."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from rsutils import CourseError, coupling
from rsutils.coupling import Reader, Writer, figures

FAST = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# What the signatures rule out (None for a name, a text for a number) needs no example: it is slow to refuse.
COUNTS = st.booleans() | st.integers(-3, 200)
TEXTS = st.text(max_size=8)
NAMES = st.sampled_from(["embed", "mlp 0", "mlp 1", "mlp 2", "mlp 1 gate", "unembed", "MLPs only", "all"])
METRIC = st.sampled_from([*coupling.METRICS, "raw"])
MATRICES = st.sampled_from([(5, 7), (7, 5), (0, 7), (7, 0), (1, 7), (7, 1)]).flatmap(
    lambda shape: st.sampled_from([torch.ones(shape), torch.zeros(shape), torch.full(shape, torch.nan)])
)


def answers(call):
    """A result, or one line in which the course or the signature refuses."""
    try:
        return call()
    except CourseError as error:
        line = str(error)
        assert "\n" not in line and line.startswith("expected") and ": " in line and not line.endswith(".")
    except TypeCheckError:
        pass


@pytest.fixture(scope="module")
def gpt2(small_models):
    return small_models["gpt2"]


@pytest.fixture(scope="module")
def scores(gpt2):
    return coupling.all_pairs(gpt2, ["Anna gave the red ball to Tom."])


@pytest.fixture(scope="module")
def silent(gpt2):
    return coupling.controls(gpt2)


@FAST
@given(metric=METRIC | TEXTS, source=NAMES | TEXTS)
def test_figures_of_pairs(scores, silent, metric, source):
    for draw in (figures.pairs, figures.row):
        answers(lambda draw=draw: draw(scores, metric, source))
    for draw in (figures.map, coupling.by_distance):
        answers(lambda draw=draw: draw(scores, metric))
    for draw in (figures.distance, figures.controls, coupling.together):
        answers(lambda draw=draw: draw(scores, silent, metric))
    answers(lambda: figures.two(scores, scores, metric))


@FAST
@given(source=NAMES | TEXTS, destination=NAMES | TEXTS, drawn=MATRICES.map(torch.flatten))
def test_the_figure_of_the_null(scores, source, destination, drawn):
    answers(lambda: figures.null(scores, source, destination, drawn))


@FAST
@given(write=MATRICES, read=MATRICES, layers=st.tuples(st.integers(-2, 3), st.integers(-2, 3)), n=COUNTS)
def test_any_writer_with_any_reader(write, read, layers, n):
    writer, reader = Writer("a", layers[0], write), Reader("b", layers[1], read)
    answers(lambda: coupling.measure([writer], [reader], n))
    answers(lambda: coupling.measure([writer], [reader], write.shape[1]))
    answers(lambda: coupling.by_products([writer], [reader]))
    answers(lambda: figures.neurons(writer, reader, n))
    answers(lambda: figures.neurons(writer, reader))


@FAST
@given(sentences=TEXTS | st.lists(TEXTS, max_size=2))
def test_any_text(gpt2, sentences):
    answers(lambda: coupling.all_pairs(gpt2, sentences))
    answers(lambda: coupling.activations(gpt2, sentences))


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (lambda model: coupling.all_pairs(model, "a sentence"), "a list of sentences, got one text"),
        (lambda model: coupling.activations(model, []), "two tokens or more after its first"),
        (lambda model: coupling.activations(model, ["a"]), "two tokens or more after its first"),
        (lambda model: coupling.measure([], coupling.destinations(model), 64), "got 0 and 4"),
        (
            lambda model: coupling.measure(coupling.sources(model), coupling.destinations(model), 7),
            "expected readers to see 65 directions, or 64",
        ),
        (
            lambda model: coupling.measure([Writer("w", 0, torch.zeros(3, 5))], [Reader("r", 1, torch.ones(5, 2))], 5),
            "finite and not zero, got others in w",
        ),
        (
            lambda model: coupling.by_products([Writer("w", 0, torch.ones(3, 5))], coupling.destinations(model)),
            r"of one stream, got d_model \[5, 65\]",
        ),
        (
            lambda model: figures.neurons(coupling.sources(model)[2], coupling.destinations(model)[1]),
            "a reader later than mlp 1, got mlp 1",
        ),
        (lambda model: figures.neurons(coupling.sources(model)[1], coupling.destinations(model)[1], 0), "got n=0"),
    ],
)
def test_mistakes_are_named(gpt2, ask, complaint):
    with pytest.raises(CourseError, match=complaint):
        ask(gpt2)


def test_where_no_mlp_comes_later_a_line_says_so(scores, silent):
    single = scores.among(["mlp 0"], ["mlp 0"])
    assert coupling.by_distance(single, "score") == {}
    for ask, complaint in [
        (lambda: figures.pairs(single, "z", "MLPs only"), "a writer before a reader"),
        (lambda: figures.row(single, "z", "mlp 0"), "a writer before a reader"),
        (lambda: figures.distance(single, silent), "three layers or more"),
        (lambda: figures.controls(single, silent.among(["mlp 0"], ["mlp 0"])), "a writer before a reader"),
        (lambda: figures.distance(scores, silent.among(["mlp 0"], ["mlp 0"])), "controls of 3 MLPs that write"),
        (lambda: coupling.together(scores, coupling.mlps(scores), "z"), "each pair once"),
        (lambda: coupling.by_depth(single), "two layers or more"),
    ]:
        with pytest.raises(CourseError, match=complaint):
            ask()
