"""Whatever a learner hands to chapter 02's functions gives a result or one line: no library's error, no hang."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rsutils
from rsutils import traces

TEXT = "The cat sat"
PAIR = traces.Contrast(torch.tensor([[1, 2]]), 3, 5, (" Mary", " John"))
FEW = settings(max_examples=30, deadline=None, derandomize=True)

odd = st.one_of(
    st.integers(-9, 9), st.just(10**30), st.booleans(), st.floats(), st.none(), st.text(max_size=4), st.just([])
)
numbers = st.floats(width=32) | st.sampled_from([0.0, 1.0, -1.0])
shapes = st.sampled_from(
    [(), (0,), (1,), (2,), (3,), (4,), (0, 0), (2, 3), (3, 0), (1, 4), (4, 12), (1, 70), (2, 2, 2)]
)
tensors = shapes.flatmap(
    lambda shape: st.lists(numbers, min_size=math.prod(shape), max_size=math.prod(shape)).map(
        lambda values: torch.tensor(values, dtype=torch.float32).reshape(shape)
    )
)
ids = st.tuples(shapes, st.integers(-300, 300)).map(lambda drawn: torch.full(*drawn))
lists_of_text = st.lists(st.text(max_size=3), max_size=4) | odd


def one_line_or_result(function, *arguments):
    """The result, or None where one line of CourseError came, or the type check of the tests spoke."""
    try:
        return function(*arguments)
    except rsutils.CourseError as error:
        line = str(error)
        assert line.startswith("expected") and "got" in line and ": " in line, line
        assert "\n" not in line and not line.endswith(".") and len(line) < 400, line
    except TypeError as error:
        assert "type-check" in str(error) or "Type-check" in str(error), error
    return None


@pytest.fixture(scope="module")
def model(small_models):
    return small_models["gpt2"]


@pytest.fixture(scope="module")
def found(model):
    return traces.trace(model, TEXT)


@FEW
@given(st.text(max_size=80) | odd | ids | tensors)
def test_trace(model, text):
    one_line_or_result(traces.trace, model, text)


@FEW
@given(ids | tensors)
def test_trace_of_tokens_without_a_type_check(model, tokens):
    """A learner's Python checks no shapes: here the course's own checks are alone."""
    one_line_or_result(inspect.unwrap(traces.trace), model, tokens)


def test_two_prompts_are_not_traced_at_once(model):
    with pytest.raises(rsutils.CourseError, match="one prompt, got 2 rows"):
        inspect.unwrap(traces.trace)(model, torch.tensor([[1, 2, 3], [4, 5, 6]]))


@FEW
@given(tensors | odd)
def test_growth(norms):
    fit = one_line_or_result(traces.growth, norms)
    assert fit is None or (math.isfinite(fit.factor) and -1e-6 <= fit.r2 <= 1 + 1e-6)


@FEW
@given(tensors)
def test_growth_without_a_type_check(norms):
    one_line_or_result(inspect.unwrap(traces.growth), norms)


@FEW
@given(odd, odd, odd)
def test_places_of_heads(found, layer, head, position):
    for function in (traces.by_source_position, traces.figures.reading, traces.figures.head_component):
        one_line_or_result(function, found, layer, head, position)


@FEW
@given(st.sampled_from(["embed", "1_mlp_out", "9_mlp_out", "resid_post"]) | odd, odd)
def test_names_and_positions_of_writes(found, name, position):
    one_line_or_result(traces.zero_ablated, found, name, position)
    one_line_or_result(traces.figures.writes, found, position, name)
    one_line_or_result(traces.figures.cancellation, found, position)


@FEW
@given(st.text(max_size=70) | odd, st.text(max_size=3) | odd, st.text(max_size=3) | odd)
def test_contrast(model, prompt, right, wrong):
    pair = one_line_or_result(traces.contrast, model, prompt, right, wrong)
    if pair is not None:
        assert pair.right != pair.wrong
        one_line_or_result(pair.gap, torch.randn(model.cfg.d_vocab))


@FEW
@given(tensors)
def test_gap(logits):
    one_line_or_result(PAIR.gap, logits)


@FEW
@given(tensors, lists_of_text, odd)
def test_numbers_by_write(values, names, token):
    one_line_or_result(traces.figures.cumulative_share, values, names, token)
    one_line_or_result(traces.figures.remains, values, names)


@FEW
@given(st.dictionaries(st.text(max_size=3), tensors, max_size=3) | odd, lists_of_text)
def test_attribution_of_writes(effects, names):
    one_line_or_result(traces.attribution.writes, names, effects, PAIR)


@FEW
@given(tensors, lists_of_text, odd, odd)
def test_attribution_of_heads_and_sources(values, tokens, layer, head):
    one_line_or_result(traces.attribution.heads, values, PAIR)
    one_line_or_result(traces.attribution.sources, values, tokens, layer, head, PAIR)


@FEW
@given(st.integers(-300, 300), ids, tensors)
def test_lens(found, every, ids, probabilities):
    shape = found.streams.shape[:2]
    one_line_or_result(traces.attribution.lens, found, ids, probabilities)
    one_line_or_result(traces.attribution.lens, found, torch.full(shape, every), torch.rand(shape))


def test_two_models_are_not_compared(found, small_models):
    other = traces.trace(small_models["llama"], TEXT)
    with pytest.raises(rsutils.CourseError, match="through one model"):
        traces.figures.difference(found, other)


@pytest.mark.parametrize("share", [[0.5, 0.6, -0.1], [0.5, 1.0], [0.5, 0.7, float("nan")], []])
def test_shares_that_are_not_added_up_are_refused(share):
    with pytest.raises(rsutils.CourseError, match="share for each of 3 writes, added up to 1"):
        traces.figures.cumulative_share(torch.tensor(share), ["embed", "0_attn_out", "0_mlp_out"], " cat")


@pytest.mark.parametrize("amount", [[7.5, 0.6, -0.1], [1.0, 0.5], [float("nan"), 0.5, 0.7], []])
def test_an_amount_that_does_not_begin_with_the_write_is_refused(amount):
    with pytest.raises(rsutils.CourseError, match="amount for each of 3 writes, beginning with 1"):
        traces.figures.remains(torch.tensor(amount), ["embed", "0_attn_out", "0_mlp_out"])


def test_a_lens_has_one_guess_for_each_place(found):
    shape = found.streams.shape[:2]
    with pytest.raises(rsutils.CourseError, match="ids and probabilities of shape"):
        traces.attribution.lens(found, torch.zeros(2, 3, dtype=torch.long), torch.rand(2, 3))
    with pytest.raises(rsutils.CourseError, match="token from 0 to"):
        traces.attribution.lens(found, torch.full(shape, 999), torch.rand(shape))
