"""The figures of chapter 01: titles and words are true of the data they show."""

import numpy as np
import pytest
import torch

from rsutils import basis


@pytest.mark.parametrize(("moved", "by"), [(1e-5, "by less than 0.001"), (0.1, "by up to 0.1")])
def test_rotation_says_how_far_coordinates_and_log_probabilities_moved(moved, by):
    before, after = torch.tensor([3.0, 4.0, 0.0]), torch.tensor([0.0, 4.0, 3.0])
    fig = basis.figures.rotation(before, after, 0.5, moved)
    assert f"Turned by 0.5: coordinates move by up to 3.0, log-probabilities {by}" in fig.words
    assert f"correlation {np.corrcoef(before, after)[0, 1]:.2f}, norms 5.00 and 5.00" in fig.words
    np.testing.assert_array_equal(fig.data[0].x, before)
    np.testing.assert_array_equal(fig.data[0].y, after)


def test_kurtosis_gives_the_highest_of_each_basis():
    fig = basis.figures.kurtosis("The first position", torch.tensor([3.0, 17.5, 5.0]), torch.tensor([2.5, 3.0, 3.5]))
    assert "The first position: kurtosis reaches 17.5 in the model's own basis, 3.5 after a random" in fig.words
    assert "Own basis: 3.0, 17.5, 5.0. Rotated: 2.5, 3.0, 3.5." in fig.words
    assert [line.name for line in fig.data] == ["own basis", "rotated"]
    assert list(fig.layout.xaxis.ticktext) == ["embedding", "after 0", "after 1"]


def test_coordinates_are_sorted_and_the_largest_is_named():
    shares = torch.ones(53)
    shares[31] = 32
    largest = 32 / (32 + 52)
    fig = basis.figures.coordinates("Layer 2, rotated", shares / shares.sum())
    assert f"Layer 2, rotated: coordinate 31 holds {largest:.1%} of the squared norm" in fig.words
    assert f"an even share is {1 / 53:.1%}" in fig.words
    assert f"40 largest shares; the ten largest sum to {largest + 9 / 84:.2f}" in fig.words
    assert fig.data[0].y[0] == pytest.approx(largest)
    assert len(fig.data[0].y) == 40
    assert (np.diff(fig.data[0].y) <= 0).all()
