"""A table shows its caption and rounded numbers in words and in HTML, and is the same text in every run."""

import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter

from rsutils import drawing
from rsutils.errors import CourseError

FRAME = pd.DataFrame({"write": ["embed", "<b> & co"], "share": [0.12345, -2 / 3], "layer": [0, 11]})


def shown(table):
    bundle, _ = DisplayFormatter().format(table)
    assert bundle.keys() == {"text/plain", "text/html"}
    return bundle["text/plain"], bundle["text/html"]


def test_words_and_html_have_the_caption_and_the_same_rounded_numbers():
    words, html = shown(drawing.table(FRAME, "Two writes & their shares"))
    assert words.splitlines()[0] == "Two writes & their shares"
    assert "<caption>Two writes &amp; their shares</caption>" in html
    for number in ("0.12", "-0.67", "11"):
        assert number in words.split() and f">{number}</td>" in html
    assert "0.123" in shown(drawing.table(FRAME, "More exactly", decimals=3))[0]


def test_the_same_table_is_the_same_text_and_two_tables_have_two_ids():
    (_, once), (_, again) = (shown(drawing.table(FRAME.copy(), "Twice")) for _ in range(2))
    assert once == again
    ids = {html.split('<table id="')[1].split('"')[0] for html in (once, shown(drawing.table(FRAME, "Other"))[1])}
    assert len(ids) == 2
    assert once.count("id=") == 1


def test_rows_that_are_only_counted_have_no_names():
    words, html = shown(drawing.table(FRAME, "Counted"))
    assert words.splitlines()[2].split()[0] == "embed" and "row_heading level" not in html
    words, html = shown(drawing.table(FRAME.set_index("write"), "Named"))
    assert words.splitlines()[3].split()[0] == "embed" and "row_heading level" in html


def test_text_is_shown_as_it_is_and_numbers_stand_to_the_right():
    _, html = shown(drawing.table(FRAME.assign(**{"<i>": 1}), "Markup"))
    assert "&lt;b&gt; &amp; co" in html and "&lt;i&gt;" in html and "<b>" not in html and "<i>" not in html
    style = html.split("<style")[1].split("</style>")[0]
    assert "text-align: right" in style
    to_the_left = [rule.split("{")[0].split()[-1] for rule in style.split("}") if "align: left" in rule]
    assert to_the_left == ["caption", ".row_heading", ".index_name", ".col0"]


def test_gaps_are_dashes():
    words, html = shown(drawing.table(pd.DataFrame({"z": [1.0, None]}), "With a gap"))
    assert words.splitlines()[-1].strip() == "–" and ">–</td>" in html


def test_a_table_needs_rows_and_a_caption():
    with pytest.raises(CourseError, match="expected a caption"):
        drawing.table(FRAME, " ")
    with pytest.raises(CourseError, match="with rows, got none"):
        drawing.table(FRAME[:0], "Empty")
