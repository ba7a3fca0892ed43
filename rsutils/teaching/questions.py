"""Questions to answer before the code does, and after."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import ipywidgets as widgets

from rsutils.errors import CourseError
from rsutils.teaching.explorer import enable_in_colab


class Prediction(widgets.VBox):
    """A question with options to choose from; nothing is chosen at first."""

    def __init__(self, question: str, options: Sequence[str]) -> None:
        enable_in_colab()
        self.question, self.options = question, list(options)
        if len(set(self.options)) < 2:
            raise CourseError(f"Expected at least two different options, got {self.options}.")
        # The buttons show plain text, so no backticks; they stretch, or ipywidgets would cut long options off.
        buttons = [(option.replace("`", ""), option) for option in self.options]
        layout = widgets.Layout(width="max-content")
        self.choice = widgets.RadioButtons(options=buttons, value=None, layout=layout)
        self.feedback = widgets.HTML()
        super().__init__([widgets.HTML(_prose(question)), self.choice, self.feedback])

    def reveal(self, answer: str, why: str = "") -> None:
        """Print what was guessed and what is true. Raises CourseError for an answer not among the options."""
        self._check(answer)
        guess = self.choice.value
        if guess is None:
            verdict = "No guess yet: choose above and run this cell again."
        else:
            verdict = f"You guessed: {guess}. " + ("That is right." if guess == answer else "It is not so.")
        print("\n".join(part for part in (verdict, f"Answer: {answer}", why) if part))

    def _check(self, answer: str) -> None:
        if answer not in self.options:
            raise CourseError(f"Expected an answer among {self.options}, got {answer!r}.")

    def _repr_mimebundle_(self, **kwargs) -> dict:
        words = "\n".join([self.question, *(f"( ) {option}" for option in self.options)])
        return {**super()._repr_mimebundle_(**kwargs), "text/plain": words}


def predict(question: str, options: Sequence[str]) -> Prediction:
    """Ask for a guess before the result is computed; `.reveal(answer)` compares.

    >>> guess = predict("How many axes does the rotation move?", ["none", "all"])
    >>> guess.reveal("all", why="A random rotation mixes every axis.")
    No guess yet: choose above and run this cell again.
    Answer: all
    A random rotation mixes every axis.
    """
    return Prediction(question, options)


@dataclass(frozen=True)
class Question:
    """A question of a quiz: its options, the right one of them, and why it is right."""

    question: str
    options: list[str]
    answer: str
    why: str


class Quiz(widgets.VBox):
    """Questions whose choices are judged at once."""

    def __init__(self, questions: Sequence[Question]) -> None:
        super().__init__([judged(question) for question in questions])

    def _repr_mimebundle_(self, **kwargs) -> dict:
        words = "\n\n".join(child._repr_mimebundle_()["text/plain"] for child in self.children)
        return {**super()._repr_mimebundle_(**kwargs), "text/plain": words}


def judged(question: Question) -> Prediction:
    """The question as a widget that says of each choice whether it is right.

    Raises CourseError for an answer not among the options.
    """
    asked = Prediction(question.question, question.options)
    asked._check(question.answer)

    def judge(change: dict) -> None:
        right = change["new"] == question.answer
        words = f"<b>Right.</b> {_prose(question.why)}" if right else "<b>Not that one.</b> Try another."
        asked.feedback.value = f'<div role="status">{words}</div>'

    asked.choice.observe(judge, "value")
    return asked


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
