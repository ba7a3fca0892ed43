"""The figures of chapter 00: titles and words are true of the data they show."""

import numpy as np
import torch

from rsutils import start


def test_next_tokens_names_the_first_and_lists_all():
    fig = start.figures.next_tokens(torch.tensor([0.625, 0.25, 0.0625]), [" Mary", " John", "a"])
    assert "expects “Mary” most, with probability 0.62" in fig.words
    assert "3 likeliest next tokens: Mary 0.62, John 0.25, a 0.06" in fig.words
    np.testing.assert_array_equal(fig.data[0].y, [0.625, 0.25, 0.0625])


def test_pattern_hides_the_future_and_names_what_the_last_token_looks_at():
    found = torch.tensor([[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.125, 0.625, 0.25]])
    fig = start.figures.pattern(found, ["<bos>", " one", " two"], 5, 7)
    assert "Layer 5 head 7: the last token looks most at “one”" in fig.words
    assert "the last row peaks at one with 0.62" in fig.words
    shown = np.asarray(fig.data[0].z, dtype=np.float32)
    np.testing.assert_array_equal(np.isnan(shown), np.triu(np.ones((3, 3), dtype=bool), 1))
    assert shown[2, 1] == 0.625
    assert "query" in fig.layout.yaxis.title.text
    assert "key" in fig.layout.xaxis.title.text


def test_write_norms_names_the_longest_and_the_shortest():
    fig = start.figures.write_norms(torch.tensor([3.0, 13.0, 2.0]), ["embed", "0_attn_out", "0_mlp_out"])
    assert list(fig.data[0].y) == [3, 13, 2]
    assert "0_attn_out writes the longest vector" in fig.words
    assert "3 parts; the shortest is 0_mlp_out" in fig.words
