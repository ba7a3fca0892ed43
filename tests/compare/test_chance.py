"""The null in closed form is what random rotations give, and both know which directions readers see."""

import numpy as np
import pytest
import torch

from rsutils import CourseError, compare


def spread(rows, columns, seed):
    """A random matrix whose singular values differ a lot."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator) * torch.linspace(0.1, 3.0, columns)


def pair(centred, rows=29, columns=37):
    A, B = spread(rows, 13, seed=1), spread(columns, 13, seed=2).T
    return (A - A.mean(dim=1, keepdim=True), B - B.mean(dim=0)) if centred else (A, B)


def inverse_rank(W):
    squares = torch.linalg.svdvals(W.double()) ** 2
    return (squares**2).sum() / squares.sum() ** 2


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("rows", "columns"), [(29, 37), (3, 5), (5, 29)])
def test_draws_of_the_null_have_the_mean_and_spread_of_the_closed_form(centred, rows, columns):
    (A, B), d, n = pair(centred, rows, columns), 13 - centred, 2000
    squares = compare.null_scores(A, B, d, n) ** 2
    deviation = compare.null_deviation(d, inverse_rank(A), inverse_rank(B))
    assert squares.mean() == pytest.approx(1 / d, abs=(5 * squares.std() / n**0.5).item())
    assert squares.std() == pytest.approx(deviation.item(), rel=0.08)


def test_z_counts_deviations_from_the_mean_in_torch_and_numpy():
    p, q = torch.tensor([[0.5], [0.7]]).double(), torch.tensor([0.3, 0.9, 0.4]).double()
    share = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]).double()
    z = compare.z_scores(share, 11, p, q)
    assert z[1, 2] == pytest.approx((0.6 - 1 / 11) / (2 * (0.7 - 1 / 11) * (0.4 - 1 / 11) / (10 * 13)) ** 0.5)
    np.testing.assert_allclose(compare.z_scores(share.numpy(), 11, p.numpy(), q.numpy()), z)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("n", [1, 5, 12])
def test_random_directions_are_orthonormal_and_seen_by_readers(centred, n):
    D = compare.random_directions(n, 13, 13 - centred, torch.Generator().manual_seed(3))
    torch.testing.assert_close(D.T @ D, torch.eye(n).double())
    assert (D.sum(dim=0).abs().max() < 1e-12) == centred


def test_random_directions_prefer_none():
    """The mean of projections on them is the projection on all that readers see."""
    generator = torch.Generator().manual_seed(4)
    draws = [compare.random_directions(3, 7, 6, generator) for _ in range(3000)]
    mean = torch.stack([D @ D.T for D in draws]).mean(dim=0)
    torch.testing.assert_close(mean, 3 / 6 * (torch.eye(7) - 1 / 7).double(), atol=0.03, rtol=0)


def test_a_rotated_reader_is_another_reader_of_the_same_sizes():
    _, B = pair(True)
    turned = compare.rotated_reader(B, 12)
    torch.testing.assert_close(torch.linalg.svdvals(turned), torch.linalg.svdvals(B), atol=1e-4, rtol=1e-4)
    assert turned.sum(dim=0).abs().max() < 1e-4 and (turned - B).norm() > B.norm() / 2
    assert not torch.equal(turned, compare.rotated_reader(B, 12, seed=1))


def test_pairs_communicate_where_the_reader_comes_later():
    writers, readers = np.array([-1, 0, 1, 2]), np.array([0, 0, 1, 2, 3])
    masks = {within: compare.cannot_communicate(writers, readers, within) for within in (False, True)}
    for i, w in enumerate(writers):
        for j, r in enumerate(readers):
            assert masks[False][i, j] == (w >= r) and masks[True][i, j] == (w > r)


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (lambda A, B: compare.null_scores(A, B, 11), "expected readers to see 13 directions, or 12 .* got 11"),
        (lambda A, B: compare.null_scores(A, B, 13, n=0), "one draw or more, got n=0"),
        (lambda A, B: compare.null_scores(A * torch.nan, B, 13), "finite and not zero"),
        (lambda A, B: compare.null_scores(A, 0 * B, 13), "finite and not zero"),
        (lambda A, B: compare.rotated_reader(B, 14), "got 14"),
        (lambda A, B: compare.random_directions(13, 13, 12, torch.Generator()), "expected 1 to 12 directions, got 13"),
        (lambda A, B: compare.null_deviation(1, A, A), "two directions or more, got 1"),
        (lambda A, B: compare.rank_correlation(A, B), "two measures of one shape"),
    ],
)
def test_what_no_null_is_made_of_is_refused(ask, complaint):
    with pytest.raises(CourseError, match=complaint):
        ask(*pair(False))


def test_an_order_of_one_or_of_equals_means_nothing():
    for values in ([], [3.0], [2.0, 2.0]):
        assert np.isnan(compare.rank_correlation(torch.tensor(values), torch.tensor(values)))
