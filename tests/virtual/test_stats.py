"""Summaries of all virtual weights equal those of the whole matrix, and their null is what random rotations give."""

import pytest
import torch
from test_virtual import random_factors

import rsutils
from rsutils import compare, virtual
from rsutils.models import n_directions


def test_stats_equal_those_of_the_whole_matrix():
    A, B = random_factors()
    found = virtual.virtual_weight_stats(A, B, n_directions=13)
    V = (A @ B).double()
    expected = (V.mean(), V.std(correction=0), V.norm() / (A.norm() * B.norm()))
    torch.testing.assert_close(
        torch.tensor([found.mean, found.std, found.score]).double(), torch.stack(expected), atol=1e-6, rtol=1e-6
    )
    assert found.norm == pytest.approx(V.norm().item(), rel=1e-6) and found.chance == 13**-0.5


@pytest.mark.parametrize(("d_model", "d"), [(13, 13), (13, 12), (3, 3)])
def test_null_is_what_random_rotations_give(d_model, d):
    """Mean of score^2 is 1/d, z has mean 0 and variance 1; in a LayerNorm model (d = 12) on mean-zero vectors."""
    A, B = random_factors(d=d_model)
    if d < d_model:
        A, B = A - A.mean(dim=1, keepdim=True), B - B.mean(dim=0, keepdim=True)
    drawn = [virtual.virtual_weight_stats(A, compare.rotated_reader(B, d, seed), d) for seed in range(800)]
    z, squares = torch.tensor([s.z for s in drawn]), torch.tensor([s.score**2 for s in drawn])
    error = 1 / len(drawn) ** 0.5
    assert abs(z.mean()) < 4 * error
    assert abs(z.var() - 1) < 4 * 2**0.5 * error
    assert abs(squares.mean() - 1 / d) < 4 * error * squares.std()


def test_counting_the_mean_direction_of_a_layernorm_model_would_bias_z():
    A, B = random_factors()
    A, B = A - A.mean(dim=1, keepdim=True), B - B.mean(dim=0, keepdim=True)
    naive = [
        virtual.virtual_weight_stats(A, compare.rotated_reader(B, 12, seed), n_directions=13).z for seed in range(400)
    ]
    assert sum(naive) / len(naive) > 4 / len(naive) ** 0.5


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_rotated_reader_keeps_sizes_and_forgets_n_directions(small_models, kind):
    model = small_models[kind]
    d, W = n_directions(model), virtual.read_weights(model, 1)
    turned = compare.rotated_reader(W, d)
    torch.testing.assert_close(torch.linalg.svdvals(turned), torch.linalg.svdvals(W), atol=1e-4, rtol=1e-4)
    assert torch.cosine_similarity(turned.flatten(), W.flatten(), dim=0).abs() < 0.2
    assert d == (64 if kind == "gpt2" else 66)
    if kind == "gpt2":
        assert turned.mean(dim=0).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("A", "B", "d", "message"),
    [
        (torch.ones(3, 4), torch.ones(5, 4), 4, "got \\[3, 4\\] and \\[5, 4\\]: the writer comes first"),
        (torch.ones(3, 4), torch.full((4, 2), torch.nan), 4, "got NaN or infinity"),
        (torch.ones(0, 4), torch.ones(4, 2), 4, "expected factors with cells"),
        (torch.ones(3, 4), torch.zeros(4, 2), 4, "chance says nothing"),
        (torch.ones(3, 4), torch.eye(4), 4, "chance says nothing"),
        (torch.ones(3, 4), torch.ones(4, 2), 2, "readers to see 4 directions, .* got 2"),
        (torch.ones(3, 4), torch.ones(4, 2), 5, "readers to see 4 directions, .* got 5"),
    ],
)
def test_factors_without_a_null_get_one_line(A, B, d, message):
    # jaxtyping's own check of the shapes stands in the way of the learner's line, which is what is tested.
    with pytest.raises(rsutils.CourseError, match=message):
        getattr(virtual.virtual_weight_stats, "__wrapped__", virtual.virtual_weight_stats)(A, B, d)
