"""Whatever a learner passes to the models wing gives a result or one line."""

import inspect

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rsutils
from rsutils import models

INTEGERS = st.sampled_from([-1, 0, 1, 256, 257, 10**12]) | st.integers()
ANYTHING = (
    st.none()
    | st.booleans()
    | INTEGERS
    | st.floats()
    | st.text(st.characters(), max_size=70)  # lone surrogates too
    | st.binary(max_size=3)
    | st.lists(st.integers(), max_size=2)
    | st.sampled_from([torch.zeros(0), torch.tensor(1), torch.tensor(True), torch.full((2, 3), torch.nan), object()])
)
IDS = st.builds(
    lambda rows, dtype: torch.tensor(rows, dtype=torch.float64).to(dtype),
    st.lists(st.lists(st.integers(-2, 300), min_size=2, max_size=2), max_size=3) | st.lists(st.integers(-2, 300)),
    st.sampled_from([torch.int64, torch.int32, torch.float32, torch.bool, torch.complex64]),
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def result_or_line(function, *args):
    """What the function gives, without the tests' type checker around it; None where it is a line."""
    try:
        return inspect.unwrap(function)(*args)
    except rsutils.CourseError as error:
        assert str(error) and "\n" not in str(error) and len(str(error)) < 700
        return None


@QUICK
@given(index=ANYTHING, size=st.integers(1, 9))
def test_index(index, size):
    assert result_or_line(models.check_index, "layer", index, size) in (None, *range(size))


@QUICK
@given(text=ANYTHING)
def test_tokens(small_models, text):
    for model in (small_models["gpt2"], small_models["llama"]):
        ids = result_or_line(models.tokens, model, text)
        assert ids is None or isinstance(text, str)


@QUICK
@given(ids=ANYTHING | IDS)
def test_ids(small_models, ids):
    model = small_models["gpt2"]
    try:
        inspect.unwrap(models.check_ids)(model, ids)
    except rsutils.CourseError as error:
        assert "\n" not in str(error)
    else:
        assert model(ids).isfinite().all()


@pytest.mark.parametrize(
    "name",
    [
        *["", 3, True, b"gpt2", ["gpt2"], 1.5, "x" * 5000, "/" + "x" * 5000, "~nosuchuser", "~nosuchuser/x"],
        *["a\0b", "/a\0b", "\ud800", "a b", "embedded@", "embedded@-1", "embedded@four", "embedded@1e3"],
        *["embedded/", " embedded", "\n"],
    ],
    ids=lambda name: repr(name)[:20],
)
@pytest.mark.parametrize("function", [rsutils.load_model, models.describe], ids=["load_model", "describe"])
def test_names(function, name):
    with pytest.raises(rsutils.CourseError) as caught:
        inspect.unwrap(function)(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


def test_a_model_that_is_loaded_is_not_loaded_again(small_models):
    with pytest.raises(rsutils.CourseError, match="needs no loading"):
        inspect.unwrap(rsutils.load_model)(small_models["gpt2"])


@pytest.mark.parametrize("function", [rsutils.load_model, models.describe, models.tokens, models.check_ids])
def test_the_type_checker_is_really_off_here(function):
    assert not hasattr(inspect.unwrap(function), "__wrapped__")
