"""Whatever a learner passes to chapter 01 gives a result or one line.

The shape annotations are switched off where they would speak first: in a notebook nothing checks them.
"""

import jaxtyping
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rsutils
from rsutils import basis
from rsutils.models import load_model

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TOKENS = torch.tensor([[0, 5, 7]])
WRONG = [None, True, "2", 1.5, float("nan"), [1, 2], (), b"", {}]
numbers = st.integers(-(2**70), 2**70) | st.sampled_from([-1, 0, 1, 2, 3, 17, *WRONG])
amounts = st.floats() | st.integers(-3, 3)
values = st.sampled_from([0.0, 1.0, -1.0, 1e-30, 1e30, float("nan"), float("inf")])
dtypes = st.sampled_from([torch.float32, torch.float64, torch.float16, torch.int64, torch.bool, torch.complex64])


@st.composite
def tensors(draw, sizes=(0, 1, 2, 3, 65), dtypes=dtypes):
    """Tensors of any shape and kind: alike, random, or with one odd value."""
    shape = draw(st.lists(st.sampled_from(sizes), max_size=3))
    filled = torch.randn(shape) if draw(st.booleans()) else torch.full(shape, draw(values))
    if filled.numel() and draw(st.booleans()):
        filled.flatten()[0] = draw(values)
    return filled.nan_to_num().to(dtype) if not (dtype := draw(dtypes)).is_floating_point else filled.to(dtype)


matrices = tensors() | st.builds(
    lambda R, dtype, factor: (R * factor).to(dtype),
    st.sampled_from([torch.eye(3), torch.diag(torch.tensor([-1.0, -1.0, 1.0])), torch.eye(65), torch.eye(2).flip(0)]),
    st.sampled_from([torch.float32, torch.float64, torch.float16]),
    st.sampled_from([1, -1, 2, float("nan")]),
)


@pytest.fixture(scope="module")
def own(directories):
    return load_model(directories["gpt2"])


@pytest.fixture(autouse=True)
def unchecked_shapes():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def result_or_line(function, *args):
    """The result, or None after one line of CourseError; any other exception is a failure."""
    try:
        return function(*args)
    except rsutils.CourseError as error:
        line = str(error)
        assert "\n" not in line
        assert line.startswith("expected ")
        assert ", got " in line
        assert not line.endswith(".")
        return None


@pytest.mark.parametrize("make", [basis.random_rotation, basis.fixing_ones])
@QUICK
@given(d_model=numbers, seed=numbers)
def test_sizes_and_seeds(make, d_model, seed):
    if isinstance(d_model, int) and d_model > 100:
        d_model += basis.rotations.WIDEST  # what is allowed and wide takes its time
    R = result_or_line(make, d_model, seed)
    assert R is None or torch.allclose(R @ R.T, torch.eye(d_model).double())


@QUICK
@given(R=matrices, amount=amounts)
def test_turn(R, amount):
    part = result_or_line(basis.turn, R, amount)
    assert part is None or torch.allclose(part @ part.T, torch.eye(len(R), dtype=R.dtype), atol=1e-2)


@QUICK
@given(R=matrices, dtype=dtypes)
def test_rotations_of_a_model(own, R, dtype):
    change = result_or_line(basis.max_change, own, TOKENS, R, dtype)
    assert change is None or 0 <= change < float("inf")


@QUICK
@given(ids=tensors(dtypes=st.sampled_from([torch.int64, torch.int32, torch.uint8, torch.float32, torch.bool])))
def test_tokens(own, ids):
    found = result_or_line(basis.log_probs, own, ids)
    assert found is None or (found.shape == (*ids.shape, own.cfg.d_vocab) and found.isfinite().all())


@pytest.mark.parametrize("ids", [[[-1, 2]], [[0, 257]], [[2**40, 1]], [[0] * 62]])
def test_ids_that_do_not_exist_and_texts_that_are_too_long(own, ids):
    with pytest.raises(rsutils.CourseError, match="token"):
        basis.log_probs(own, torch.tensor(ids))


@QUICK
@given(stream=tensors())
def test_kurtosis(stream):
    found = result_or_line(basis.kurtosis, stream)
    assert found is None or not found.isnan().any()


@QUICK
@given(R=matrices)
def test_rotating_in_place_changes_nothing_when_it_refuses(own, R):
    before = own.W_E.clone(), own.W_U.clone()
    if R.shape != (65, 65) or not R.isfinite().all():
        with pytest.raises(rsutils.CourseError):
            basis.rotate_(own, R)
        assert torch.equal(own.W_E, before[0])
        assert torch.equal(own.W_U, before[1])


def test_what_has_no_weight_of_the_stream_is_not_rotated_in_silence(own):
    for part in (own.blocks, own.blocks[0].mlp, torch.nn.Linear(65, 65)):
        with pytest.raises(rsutils.CourseError, match="a block or an embedding"):
            basis.rotate_(part, torch.eye(65))


def test_tied_weights_and_unfolded_norms_cannot_be_rotated_in_place(own, directories):
    with pytest.raises(rsutils.CourseError, match="got tied ones"):
        basis.rotate_(load_model(directories["gpt2"], processed=False), torch.eye(65))
    with basis.unfolded(own), pytest.raises(rsutils.CourseError, match="outside of unfolded"):
        basis.rotate_(own, torch.eye(65))


def test_a_half_turn_has_no_one_path():
    with pytest.raises(rsutils.CourseError, match="half around"):
        basis.turn(torch.diag(torch.tensor([-1.0, -1.0, 1.0])), 0.5)


@QUICK
@given(a=tensors(), b=tensors(), amount=amounts, moved=amounts)
def test_figures(a, b, amount, moved):
    for figure in (
        result_or_line(basis.figures.rotation, a, b, amount, moved),
        result_or_line(basis.figures.kurtosis, "Here", a, b),
        result_or_line(basis.figures.coordinates, "Here", a),
    ):
        assert figure is None or "nan" not in figure.words
