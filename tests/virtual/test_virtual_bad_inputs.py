"""Whatever a learner passes to chapter 03's functions gives a result or one line that says what to do."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rsutils
from rsutils import compare, virtual

TEXT = "a cat"
NUMBERS = st.one_of(st.integers(-4, 4), st.sampled_from([True, 70, 71, 10**20, 1.5, float("nan"), float("inf"), -0.0]))
ODD = st.one_of(NUMBERS, st.sampled_from([None, "", "embed", "pos_embed", "unembed", "in", "zzz", b"0", (), [0]]))
READERS = st.one_of(st.sampled_from(["in", "gate"]), ODD)
TEXTS = st.one_of(st.text(st.characters(codec="utf-8"), max_size=9), st.sampled_from(["a" * 62, "<|endoftext|>"]), ODD)
AXES = st.one_of(ODD, st.lists(st.one_of(st.integers(-80, 80), ODD), max_size=3), st.just(slice(3, 5)))
SIZES = st.integers(0, 4)
CELLS = st.sampled_from([0.0, 1.0, -1.0, 1e-30, 1e30, float("nan"), float("inf")])
quick = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck), database=None)


@st.composite
def matrices(draw, ndim: int = 2) -> torch.Tensor:
    shape = draw(st.lists(SIZES, min_size=ndim, max_size=ndim))
    filled = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 9))))
    if filled.numel() and draw(st.booleans()):
        filled.view(-1)[0] = draw(CELLS)
    return draw(st.sampled_from([filled, filled.long(), filled.double(), torch.zeros(shape), filled.flatten()]))


FACTORS = st.one_of(st.just(torch.arange(9.0).view(3, 3)), matrices(), ODD)  # the first kind fit together


def answers(call, *arguments, **named):
    """The result, or None where one clear line was given; anything else fails the test.

    ``TypeError`` is what the check of annotated types raises in tests, where a type checker warns a learner.
    """
    try:
        return call(*arguments, **named)
    except rsutils.CourseError as error:
        line = str(error)
        assert line and "\n" not in line and line[0] == line[0].lower() and line[-1] != ".", line
    except TypeError as error:
        assert type(error).__module__.startswith(("jaxtyping", "beartype")), error
    return None


@pytest.fixture(scope="module")
def runs(small_models):
    return {kind: virtual.record(small_models[kind], TEXT) for kind in ("gpt2", "llama")}


@pytest.fixture(params=["gpt2", "llama"])
def kind(request):
    return request.param


@quick
@given(source=ODD, destination=ODD, reader=READERS, rows=AXES, columns=AXES)
def test_weights(small_models, kind, source, destination, reader, rows, columns):
    model = small_models[kind]
    answers(virtual.write_weights, model, source)
    answers(virtual.read_weights, model, destination, reader)
    answers(virtual.factors, model, source, destination, reader)
    V = answers(virtual.virtual_weights, model, source, destination, reader=reader, rows=rows, columns=columns)
    assert V is None or V.ndim == 2
    answers(virtual.component_name, source)


@quick
@given(A=FACTORS, B=FACTORS, k=ODD, bins=ODD, most=ODD)
def test_products(A, B, k, bins, most):
    for call, more in (
        (virtual.connections, ()),
        (virtual.strongest, (k,)),
        (virtual.share_beyond, (most,)),
        (virtual.virtual_weight_stats, (k,)),
    ):
        found = answers(call, A, B, *more)
        values = [] if found is None else torch.tensor([x for x in _numbers(found)])
        assert not torch.as_tensor(values).isnan().any(), (call, found)
    answers(virtual.cosine_counts, A, B, bins if bins != 10**20 else 1, most)
    answers(compare.rotated_reader, B, k, seed=0)
    connected = answers(virtual.most_connected, A, B, k)
    if connected is not None:
        answers(virtual.figures.most_connected, 0, 1, connected)


def _numbers(found) -> list[float]:
    """Every number in a result: of tensors, of named results, of lists of them."""
    if isinstance(found, torch.Tensor):
        return found.flatten().tolist()
    return [float(found)] if isinstance(found, int | float) else [x for part in found for x in _numbers(part)]


@quick
@given(layer=ODD, index=ODD, reader=READERS, source=ODD, position=ODD, k=ODD)
def test_ledgers(small_models, runs, kind, layer, index, reader, source, position, k):
    model, run = small_models[kind], runs[kind]
    neuron = answers(virtual.Neuron, layer, index, reader)
    if neuron is None:
        return
    ledger = answers(virtual.neuron_ledger, model, run, neuron)
    if ledger is not None:
        answers(virtual.figures.ledger, ledger, neuron, run.tokens, position)
    answers(virtual.neuron_terms, model, run, source, neuron)
    found = answers(virtual.drivers, model, run, neuron, position, k)
    if found is not None:
        answers(virtual.figures.drivers, found, neuron, run.tokens, position)
    answers(virtual.activation_weighted, model, run, source, layer, reader)


@settings(quick, max_examples=10)
@given(text=TEXTS, layer=ODD, index=ODD, reader=READERS, destination=ODD)
def test_runs(small_models, kind, text, layer, index, reader, destination):
    model = small_models[kind]
    answers(virtual.record, model, text)
    for words in (text, TEXT):
        found = answers(virtual.path_patching, model, words, layer, destination, reader)
        assert found is None or not any(part.isnan().any() for part in found)
        neuron = answers(virtual.Neuron, layer, index)
        if neuron is not None:
            answers(virtual.measured_weights, model, words, neuron, destination, reader)


@quick
@given(source=ODD, destinations=AXES, error=FACTORS, cosine=matrices(1), most=ODD, shares=matrices(1))
def test_figures(source, destinations, error, cosine, most, shares):
    answers(virtual.figures.removal, source, destinations, error, cosine)
    answers(virtual.figures.removal, source, list(range(len(cosine))), cosine[:, None], cosine[:, None])
    answers(virtual.figures.connections, source, 1, shares, cosine)
    answers(virtual.figures.cosines, {"a": shares, "b": cosine}, most, shares)
    answers(virtual.figures.cosines, {}, most, shares)
    answers(virtual.figures.drivers, [], virtual.Neuron(0, 0), ["a"], 0)
