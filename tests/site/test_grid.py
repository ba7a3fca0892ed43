"""What a page offers of an explorer's controls."""

import numpy as np
from grid import settings

import rsutils
from rsutils.drawing import charts


def test_choices_given_as_a_mapping_are_offered_by_label_and_drawn_by_value():
    sizes = {"three": 3, "five": 5}

    def draw(size):
        return charts.bars({"a": np.ones(size)}, title=f"{size} bars", x="x", y="y", alt="Bars.")

    found = settings(rsutils.Explorer(draw, size=sizes))
    assert found["controls"][0]["labels"] == {"": ["three", "five"]}
    assert [len(found["figures"][place]["data"][0]["x"]) for place in ("0", "1")] == [3, 5]
