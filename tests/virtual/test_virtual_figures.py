"""The figures of chapter 03: curves lie where the data says, and the words are true of them."""

import pytest
import torch

import rsutils
from rsutils import virtual


def test_removal_gives_each_destination_its_own_median_and_range():
    error = torch.tensor([[0.25, 0.0, 1.0], [0.5, 0.5, 0.5], [0.125, 0.125, 0.625]])
    cosine = torch.tensor([[0.75, 0.75, 0.75], [-0.5, -1.0, 0.0], [0.25, 0.5, 0.25]])
    fig = virtual.figures.removal(0, [1, 2, 3], error, cosine)
    assert [line.name for line in fig.data] == ["error of the frozen scale", "cosine of direct and total effect"]
    assert [line.y.tolist() for line in fig.data] == [[0.25, 0.5, 0.125], [0.75, -0.5, 0.25]]
    assert fig.data[0].error_y.array.tolist() == pytest.approx([0.6, 0, 0.4])
    assert fig.data[0].error_y.arrayminus.tolist() == pytest.approx([0.2, 0, 0])
    assert "MLP 0 into later MLPs, medians of 3 texts: the frozen scale is off by 12% to 50%" in fig.words
    assert "cosines from -0.50 to 0.75" in fig.words
    assert "MLP 2: error 0.50 (0.50 to 0.50 in the middle 80% of the texts), cosine -0.50 (-0.90 to -0.10)" in fig.words


def test_connections_keep_source_and_destination_apart():
    by_source, by_destination = torch.tensor([1.0, 2.0, 8.0, 1.5, 2.5]), torch.tensor([1.0, 2.0, 3.0])
    fig = virtual.figures.connections(4, 6, by_source, by_destination)
    assert {bar.name: bar.y.sum() for bar in fig.data} == {"source: rows, MLP 4": 5, "destination: columns, MLP 6": 3}
    assert "source neuron has 4.0 times the median connection, the most connected destination 1.5 times" in fig.words
    assert "Source neurons from 1.00 to 8.00, destinations from 1.00 to 3.00." in fig.words


def test_cosines_stand_in_the_middle_of_their_bins():
    shares = {"this model": torch.tensor([0.1, 0.9, 0.0]), "null": torch.tensor([0.01, 0.98, 0.01])}
    fig = virtual.figures.cosines(shares, 6.0, torch.tensor([0.125, 0.02]))
    assert fig.data[0].x.tolist() == [-4, 0, 4]
    assert fig.data[0].y.tolist() == pytest.approx([-1, -0.045757, -7], abs=1e-5)
    assert "12.50% of the pairs are more than three times as aligned as chance; with random" in fig.words
    assert "random directions 2.00%" in fig.words
    assert "12.50% of the model's pairs, 2.00% of the null's." in fig.words


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda f: f.removal(0, [1, 2], torch.ones(1, 3), torch.ones(1, 3)), "got 2 MLPs"),
        (lambda f: f.removal(0, [], torch.ones(0, 3), torch.ones(0, 3)), "got 0 MLPs"),
        (lambda f: f.removal(0, [1], torch.ones(1, 0), torch.ones(1, 0)), r"got 1 MLPs, \[1, 0\]"),
        (lambda f: f.removal(0, [1], torch.tensor([[torch.nan]]), torch.ones(1, 1)), "finite errors and cosines"),
        (lambda f: f.connections(0, 1, torch.zeros(3), torch.ones(3)), "a median above 0"),
        (lambda f: f.connections(0, 1, torch.ones(3), torch.ones(0)), "a median above 0"),
        (lambda f: f.cosines({}, 6.0, torch.ones(2)), "got 0 curves"),
        (lambda f: f.cosines({"model": torch.ones(3)}, 0.0, torch.ones(2)), "got 1 curves, 0.0"),
        (lambda f: f.drivers([], virtual.Neuron(1, 0), ["a"], 0), "at least one driver"),
    ],
)
def test_what_cannot_be_drawn_gets_one_line(draw, message):
    with pytest.raises(rsutils.CourseError, match=message) as error:
        draw(virtual.figures)
    assert "\n" not in str(error.value)


def test_weights_of_one_sign_have_a_dark_and_a_bright_end():
    V = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    fig = virtual.figures.heatmap(V, title="V", x="x", y="y", alt="V.", unit="virtual weight")
    assert virtual.figures.colour_meaning(fig) == "The darkest cells stand for +1, the brightest for +5."
