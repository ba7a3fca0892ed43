"""Questions compare a guess with the answer, and say the same words in every unattended run."""

import pytest

from rsutils import catalogue
from rsutils.errors import CourseError
from rsutils.teaching import Question, questions

OPTIONS = ["the source", "the destination"]


def test_a_prediction_without_a_guess_gives_the_answer(capsys):
    guess = questions.predict("Which row is it?", OPTIONS)
    guess.reveal("the source", why="It writes first.")
    assert capsys.readouterr().out == (
        "No guess yet: choose above and run this cell again.\nAnswer: the source\nIt writes first.\n"
    )


@pytest.mark.parametrize("guessed, verdict", [(0, "That is right."), (1, "It is not so.")])
def test_a_guess_is_compared(capsys, guessed, verdict):
    guess = questions.predict("Which row is it?", OPTIONS)
    guess.choice.value = OPTIONS[guessed]
    guess.reveal("the source")
    assert capsys.readouterr().out == f"You guessed: {OPTIONS[guessed]}. {verdict}\nAnswer: the source\n"


def test_questions_are_saved_as_words_and_start_without_a_choice():
    guess = questions.predict("Which `row` is <b>?", OPTIONS)
    assert guess.choice.value is None
    words = guess._repr_mimebundle_()["text/plain"]
    assert words == "Which `row` is <b>?\n( ) the source\n( ) the destination"
    assert guess.children[0].value == "Which <code>row</code> is &lt;b&gt;?"


def test_a_quiz_judges_each_choice():
    asked = questions.judged(Question("Which row is it?", OPTIONS, "the source", "It writes `first`."))
    assert asked.feedback.value == ""
    asked.choice.value = OPTIONS[1]
    assert "Not that one" in asked.feedback.value and "first" not in asked.feedback.value
    asked.choice.value = OPTIONS[0]
    assert "Right" in asked.feedback.value and "<code>first</code>" in asked.feedback.value


def test_a_question_needs_its_answer_among_its_options():
    with pytest.raises(CourseError, match="answer among"):
        questions.predict("Which row is it?", OPTIONS).reveal("neither")
    with pytest.raises(CourseError, match="answer among"):
        questions.judged(Question("Which row is it?", OPTIONS, "neither", "why"))
    with pytest.raises(CourseError, match="two different"):
        questions.predict("Which row is it?", ["same", "same"])


def test_code_in_an_option_is_shown_without_its_marks_and_judged_with_them():
    asked = questions.judged(Question("Which writes?", ["`W_in`", "`W_out`"], "`W_out`", "It ends in d_model."))
    assert [label for label, _ in asked.choice.options] == ["W_in", "W_out"]
    asked.choice.value = "`W_out`"
    assert "Right" in asked.feedback.value


@pytest.mark.parametrize("chapter", catalogue.CHAPTERS)
def test_every_question_can_be_answered(chapter):
    quiz = catalogue.quiz(chapter)
    assert len(quiz.children) >= 2
    words = quiz._repr_mimebundle_()["text/plain"]
    for asked, question in zip(quiz.children, catalogue.CHAPTERS[chapter].QUIZ, strict=True):
        asked.choice.value = question.answer
        assert "Right" in asked.feedback.value
        assert question.question in words and question.why not in words


def test_an_unknown_chapter_has_no_quiz():
    with pytest.raises(CourseError, match="expected a chapter among 00, 01"):
        catalogue.quiz("99")
