"""Every exercise of the course: right answers pass, each known mistake is told by its name, nothing breaks Run All."""

import pytest
import torch

import rsutils
from rsutils import catalogue
from rsutils.teaching import checks

EXERCISES = list(catalogue.EXERCISES.values())
IDS = [e.id for e in EXERCISES]
each = pytest.mark.parametrize("exercise", EXERCISES, ids=IDS)


@each
def test_right_answers_pass(exercise):
    for answer in (exercise.solution, *exercise.alternatives):
        assert checks.verdict(exercise, answer) == (True, "correct.")
    if not exercise.inputs():
        assert checks.verdict(exercise, exercise.solution()) == (True, "correct.")


@each
def test_each_mistake_is_named(exercise):
    assert len(exercise.mistakes) >= 3
    assert len(exercise.alternatives) >= 1
    for name, wrong in exercise.mistakes.items():
        assert checks.verdict(exercise, wrong) == (False, f"{name}.")


@each
def test_an_unattempted_answer_is_neither_right_nor_wrong(exercise, capsys):
    for answer in (..., None, lambda *args: ..., lambda *args: None):
        rsutils.check(exercise.id, answer, strict=True)
        assert "not attempted" in capsys.readouterr().out


@each
def test_nonsense_gets_a_sentence_and_not_an_error(exercise):
    for answer in (
        lambda *args: 1 / 0,
        lambda *args: "nonsense",
        lambda *args: torch.zeros(2, 3, 5),
        object(),
        lambda: 1,
    ):
        right, message = checks.verdict(exercise, answer)
        assert right is False
        assert "\n" not in message


@each
def test_statement_has_two_hints_and_the_solution(exercise, capsys):
    assert len(exercise.hints) == 2
    assert 1 <= exercise.stars <= 3
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "display", shown.append)
        rsutils.exercise(exercise.id)
    text = "".join(part.data for part in shown)
    assert text.count("<details>") == 3
    assert f"Exercise {exercise.id}" in text
    assert exercise.solution.__name__ in text


@each
def test_the_solution_that_is_shown_runs_by_itself(exercise):
    """What "Solution" reveals is plain code a learner can paste: it needs nothing but torch and the course."""
    namespace = {"torch": torch, "rsutils": rsutils}
    exec(checks.source(exercise), namespace)
    assert checks.verdict(exercise, namespace[exercise.solution.__name__])[0] is True


def test_answers_cannot_change_the_inputs():
    exercise = next(e for e in EXERCISES if e.id == "01.1")

    def spoil(W, R):
        result = R.T @ W
        W.zero_()
        R.zero_()
        return result

    assert checks.verdict(exercise, spoil)[0] is True


def test_strict_mode_raises_and_the_learner_mode_prints(capsys, monkeypatch):
    monkeypatch.delenv("RSUTILS_STRICT", raising=False)
    rsutils.check("01.1", lambda W, R: R @ W)
    assert "✗ 01.1" in capsys.readouterr().out
    monkeypatch.setenv("RSUTILS_STRICT", "1")
    with pytest.raises(rsutils.CourseError, match="not transposed"):
        rsutils.check("01.1", lambda W, R: R @ W)


def test_unknown_exercise_names_those_there_are():
    with pytest.raises(rsutils.CourseError, match=r"expected an exercise among 00\.1"):
        rsutils.check("99.1", 3)


def test_ids_are_unique_and_each_chapter_has_four_to_six():
    assert len(EXERCISES) == sum(len(chapter.EXERCISES) for chapter in catalogue.CHAPTERS.values())
    chapters = [e.id.split(".")[0] for e in EXERCISES]
    assert all(4 <= chapters.count(chapter) <= 6 for chapter in set(chapters))
