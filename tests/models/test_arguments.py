"""What a learner hands over is taken as it is meant, or refused in one line; and who serves which head."""

import numpy as np
import pytest
import torch

import rsutils
from rsutils import models


@pytest.mark.parametrize("index", [0, 3, np.int64(2), torch.tensor(1)])
def test_whole_numbers_of_any_library_are_taken(index):
    taken = models.check_index("layer", index, 4)
    assert type(taken) is int and taken == index


@pytest.mark.parametrize(
    "index",
    [-1, 4, 10**30, True, np.True_, torch.tensor(True), 1.0, torch.tensor(1.0), None, "1", [1], torch.zeros(9, 9)],
)
def test_anything_else_is_refused_in_a_line(index):
    with pytest.raises(rsutils.CourseError, match=r"^expected a head from 0 to 3, got .*: take one") as caught:
        models.check_index("head", index, 4)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 240


def test_neighbouring_query_heads_share_a_key_value_head(small_models):
    assert models.kv_heads(small_models["llama"].blocks[0].attn).tolist() == [0, 0, 0, 1, 1, 1]
    assert models.kv_heads(small_models["gpt2"].blocks[0].attn).tolist() == [0, 1, 2, 3, 4]
