"""A prediction tells its answer at the learner's click and not before; a quiz judges every choice and counts."""

import pytest

from rsutils import catalogue
from rsutils.errors import CourseError
from rsutils.teaching import Question, Quiz, questions

OPTIONS = ["the source", "the destination"]
QUESTION = Question(
    "Which row is it?", {"the source": "It writes `first`.", "the destination": "It is the column."}, "the source"
)


@pytest.fixture
def shown(monkeypatch):
    """What was displayed; and no question of another test is remembered."""
    displayed = []
    monkeypatch.setattr(questions, "display", displayed.append)
    monkeypatch.setattr(questions, "ASKED", {})
    return displayed


def revealed(shown, guess, *args, **kwargs):
    guess.reveal(*args, **kwargs)
    return shown[-1]


def test_the_answer_waits_for_a_choice_and_a_click(shown):
    guess = questions.predict("Which row is it?", OPTIONS)
    answer = revealed(shown, guess, "the source", why="It writes first.")
    assert answer.button.disabled and answer.shown.value == "Choose first: Which row is it?"
    guess.choice.value = "the source"
    assert not answer.button.disabled and answer.shown.value == ""
    answer.button.click()
    assert "You guessed: the source. That is right.</b> It writes first." in answer.shown.value
    assert 'role="status"' in answer.shown.value
    guess.choice.value = "the destination"
    assert answer.shown.value == ""


def test_a_wrong_guess_is_told_its_own_reason_and_the_answer(shown):
    guess = questions.predict("Which row is it?", OPTIONS)
    guess.choice.value = "the destination"
    answer = revealed(shown, guess, "the source", "It writes.", otherwise={"the destination": "It is a `column`."})
    answer.button.click()
    assert "You guessed: the destination. It is not so.</b> It is a <code>column</code>." in answer.shown.value
    assert "<b>Answer: the source.</b> It writes." in answer.shown.value
    plain = revealed(shown, guess, "the source")
    plain.button.click()
    assert plain.shown.value.endswith("It is not so.</b> <b>Answer: the source.</b></div>")


def test_what_is_saved_folds_the_answer_whatever_was_chosen(shown):
    guess = questions.predict("Which row is it?", OPTIONS)
    guess.choice.value = "the source"
    answer = revealed(shown, guess, "the source", "It writes <b>.", otherwise={"the destination": "A column."})
    bundle = answer._repr_mimebundle_()
    assert bundle["text/plain"] == "The answer is folded: choose an option above and click “Show the answer”."
    assert bundle["text/html"] == (
        "<details><summary>Answer</summary><p><b>the source.</b> It writes &lt;b&gt;.</p>"
        "<p>Not “the destination”: A column.</p></details>"
    )
    assert answer.shown.value == ""


def test_cells_may_be_run_again_in_any_order(shown):
    guess = questions.predict("Which row is it?", OPTIONS)
    guess.choice.value = "the source"
    guess = questions.predict("How many?", ["one", "two"])
    assert revealed(shown, guess, "the source").asked.question == "Which row is it?"
    assert not shown[-1].button.disabled
    again = questions.predict("Which row is it?", OPTIONS)
    assert again.choice.value == "the source"
    assert revealed(shown, again, "two").asked.question == "How many?"
    assert questions.predict("How many?", ["one", "two", "three"]).choice.value is None


def test_questions_are_saved_as_words_and_start_without_a_choice(shown):
    guess = questions.predict("Which `row` is <b>?", OPTIONS)
    assert guess.choice.value is None
    words = guess._repr_mimebundle_()["text/plain"]
    assert words == "Which `row` is <b>?\n( ) the source\n( ) the destination"
    assert guess.children[0].value == "Which <code>row</code> is &lt;b&gt;?"


@pytest.mark.parametrize("options", [["same", "same"], [1, 2], ["one", 2], ["one"], "ab", []])
def test_options_are_different_texts(shown, options):
    with pytest.raises(CourseError, match="expected two different texts or more as options, got"):
        questions.predict("Which row is it?", options)


def test_an_answer_and_its_reasons_belong_to_the_options(shown):
    guess = questions.predict("Which row is it?", OPTIONS)
    for answer, otherwise in (("neither", None), ("the source", {"neither": "There is none."})):
        with pytest.raises(CourseError, match="expected an answer among"):
            guess.reveal(answer, otherwise=otherwise)
    with pytest.raises(CourseError, match="expected an answer among"):
        Question("Which row is it?", QUESTION.options, "neither")
    with pytest.raises(CourseError, match="expected a reason for 'the source', got none"):
        Question("Which row is it?", QUESTION.options | {"the source": " "}, "the source")


def test_a_quiz_judges_each_choice_by_its_own_reason_and_counts_first_tries():
    quiz = Quiz([QUESTION, Question("How many?", {"one": "There is one.", "two": "One of them is NaN."}, "one")])
    first, second = quiz.asked
    assert first.feedback.value == "" and "Score: 0 of 2</b> right at the first try, 0 answered" in quiz.score.value
    first.choice.value = "the destination"
    assert "Not that one.</b> It is the column." in first.feedback.value and "writes" not in first.feedback.value
    first.choice.value = "the source"
    assert "Right.</b> It writes <code>first</code>." in first.feedback.value
    second.choice.value = "one"
    assert "Score: 1 of 2</b> right at the first try, 2 answered" in quiz.score.value


def test_a_quiz_unfolds_without_a_kernel():
    bundle = Quiz([QUESTION])._repr_mimebundle_()
    assert bundle["text/plain"] == "Which row is it?\n( ) the source\n( ) the destination"
    before, _, folded = bundle["text/html"].partition("<details><summary>Answer</summary>")
    assert "<li>the destination</li>" in before and "first" not in before
    assert "<b>the source.</b> It writes <code>first</code>." in folded
    assert "Not “the destination”: It is the column." in folded


def test_code_in_an_option_is_shown_without_its_marks_and_judged_with_them():
    question = Question("Which writes?", {"`W_in`": "It reads.", "`W_out`": "It ends in d_model."}, "`W_out`")
    (asked,) = (quiz := Quiz([question])).asked
    assert [label for label, _ in asked.choice.options] == ["W_in", "W_out"]
    asked.choice.value = "`W_out`"
    assert "Right" in asked.feedback.value and "1 of 1" in quiz.score.value


@pytest.mark.parametrize("chapter", catalogue.CHAPTERS)
def test_every_question_can_be_answered_and_no_words_give_it_away(chapter):
    quiz = catalogue.quiz(chapter)
    assert len(quiz.asked) >= 2
    words = quiz._repr_mimebundle_()["text/plain"]
    for asked, question in zip(quiz.asked, catalogue.CHAPTERS[chapter].QUIZ, strict=True):
        asked.choice.value = question.answer
        assert "Right" in asked.feedback.value
        assert question.question in words and not any(reason in words for reason in question.options.values())
        assert len(set(question.options.values())) == len(question.options)
    assert f"Score: {len(quiz.asked)} of {len(quiz.asked)}<" in quiz.score.value


def test_an_unknown_chapter_has_no_quiz():
    with pytest.raises(CourseError, match="expected a chapter among 00, 01"):
        catalogue.quiz("99")
