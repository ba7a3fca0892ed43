"""The bootstrap covers as often as it says, draws units whole and jointly, and refuses what has no units."""

import math

import numpy as np
import pytest
import torch

from rsutils.compare import Interval, bootstrap, rank_correlation
from rsutils.errors import CourseError


def test_the_interval_holds_the_true_mean_about_as_often_as_its_level():
    samples = np.random.default_rng(1).normal(size=(300, 40))
    found = [bootstrap(np.mean, sample, level=0.8, n=200) for sample in samples]
    covered = np.mean([low < 0 < high for low, high in found])
    assert 0.73 < covered < 0.87


def test_a_mean_of_many_units_has_the_textbooks_interval():
    sample = np.random.default_rng(2).exponential(size=2000)
    half = 1.96 * sample.std() / 2000**0.5
    low, high = bootstrap(np.mean, sample)
    assert abs(low - (sample.mean() - half)) < 0.15 * half
    assert abs(high - (sample.mean() + half)) < 0.15 * half


def test_a_unit_is_drawn_whole_from_all_values_in_torch_and_numpy():
    x = torch.randn(13, 7, generator=torch.Generator().manual_seed(0))
    assert bootstrap(rank_correlation, x, x.exp()) == (1, 1)
    assert bootstrap(rank_correlation, x.numpy(), -x.double().numpy()) == (-1, -1)
    constant = torch.arange(13.0)[:, None].expand(13, 500)  # all 500 of a unit are one draw, not 500
    low, high = bootstrap(torch.mean, constant)
    assert high - low > 3


def test_the_same_seed_gives_the_same_interval():
    sample = np.arange(11.0)
    assert bootstrap(np.median, sample) == bootstrap(np.median, sample)
    assert bootstrap(np.mean, sample, seed=1) != bootstrap(np.mean, sample)


def test_what_means_nothing_is_nan_and_draws_that_mean_nothing_are_left_out():
    assert all(math.isnan(end) for end in bootstrap(np.mean, np.ones(1)))
    assert all(math.isnan(end) for end in bootstrap(rank_correlation, torch.ones(5), torch.arange(5.0)))
    two = torch.arange(2.0)  # half of the draws hold one unit twice
    assert bootstrap(rank_correlation, two, two) == (1, 1)


def test_an_interval_is_said_in_words():
    assert f"{Interval(-0.214, 0.79):+.2f}" == "-0.21 to +0.79"


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        ([], {}, "expected values of the same units, got none"),
        ([np.ones(3), np.ones(5)], {}, r"expected values of the same units, got \[3, 5\]"),
        ([np.ones(3)], {"level": 95.0}, "expected a level between 0 and 1 and a draw, got 95"),
        ([np.ones(3)], {"n": 0}, "n=0"),
    ],
)
def test_bad_input_is_named(values, options, expected):
    with pytest.raises(CourseError, match=expected):
        bootstrap(np.mean, *values, **options)
