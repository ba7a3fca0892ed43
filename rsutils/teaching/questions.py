"""Questions to answer before the code does, and after. What is right is shown when the learner has chosen."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import ipywidgets as widgets
from IPython.display import display

from rsutils.errors import CourseError
from rsutils.teaching.page import Companion, enable_in_colab

# Every prediction asked so far: a cell that is run again asks the same one, and an answer finds its own question
# where a notebook gives several questions one name.
ASKED: dict[tuple[object, ...], "Prediction"] = {}


class Prediction(widgets.VBox):
    """A question with options to choose from; nothing is chosen at first."""

    def __init__(self, question: str, options: Sequence[object]) -> None:
        enable_in_colab()
        texts = [] if isinstance(options, str) else [option for option in options if isinstance(option, str)]
        if len(set(texts)) < max(2, len(options)):
            raise CourseError(f"expected two different texts or more as options, got {options!r}: quote each")
        self.question, self.options = question, texts
        # The buttons show plain text, so no backticks; they stretch, or ipywidgets would cut long options off.
        buttons = [(option.replace("`", ""), option) for option in self.options]
        layout = widgets.Layout(width="auto")
        self.choice = widgets.RadioButtons(options=buttons, value=None, layout=layout)
        self.feedback = widgets.HTML()
        super().__init__([widgets.HTML(_prose(question)), self.choice, self.feedback, Companion()])

    def reveal(self, answer: str, why: str = "", otherwise: Mapping[str, str] | None = None) -> None:
        """Show a button that tells the answer, once an option is chosen; without a kernel the answer unfolds.

        ``why`` says why it is right, ``otherwise`` why other options are not. Raises CourseError for an answer or
        an option that no question has.
        """
        reasons = {**(otherwise or {}), answer: why}
        for asked in (self, *reversed(ASKED.values())):
            if reasons.keys() <= set(asked.options):
                display(Answer(asked, answer, reasons))
                return
        raise CourseError(f"expected an answer among {self.options}, got {answer!r}: copy the option's text")

    def _repr_mimebundle_(self, **kwargs) -> dict:
        words = "\n".join([self.question, *(f"( ) {option}" for option in self.options)])
        return {**super()._repr_mimebundle_(**kwargs), "text/plain": words}


class Answer(widgets.VBox):
    """A button that compares the choice of a prediction with the answer; it waits until there is a choice."""

    def __init__(self, asked: Prediction, answer: str, reasons: Mapping[str, str]) -> None:
        self.asked, self.answer, self.reasons = asked, answer, dict(reasons)
        self.button = widgets.Button(description="Show the answer", layout=widgets.Layout(width="max-content"))
        self.shown = widgets.HTML()
        self.button.on_click(self._show)
        self._wait()
        asked.choice.observe(self._wait, "value")
        super().__init__([self.button, self.shown, Companion()])

    def _wait(self, change: object = None) -> None:
        waits = self.asked.choice.value is None
        self.button.disabled = waits
        self.shown.value = f"Choose first: {_prose(self.asked.question)}" if waits else ""

    def _show(self, button: object) -> None:
        guess = self.asked.choice.value
        parts = [
            f"<b>You guessed: {_prose(guess)}. {'That is right.' if guess == self.answer else 'It is not so.'}</b>"
        ]
        parts.append(_prose(self.reasons.get(guess, "")))
        if guess != self.answer:
            parts += [f"<b>Answer: {_prose(self.answer)}.</b>", _prose(self.reasons[self.answer])]
        self.shown.value = f'<div role="status">{" ".join(filter(None, parts))}</div>'

    def __repr__(self) -> str:
        return "The answer is folded: choose an option above and click “Show the answer”."

    def _repr_mimebundle_(self, **kwargs) -> dict:
        return {
            **super()._repr_mimebundle_(**kwargs),
            "text/html": _folded(self.answer, self.reasons),
            "text/plain": repr(self),
        }


def predict(question: str, options: Sequence[object]) -> Prediction:
    """Ask for a guess before the result is computed; ``.reveal(answer)`` compares, at the learner's click.

    Asked again in one session, it is the same question with the choice that was made.

    >>> guess = predict("How many axes does the rotation move?", ["none", "all"])
    >>> guess.reveal("all", why="A random rotation mixes every axis.")
    The answer is folded: choose an option above and click “Show the answer”.
    """
    asked = Prediction(question, options)
    return ASKED.setdefault((question, *options), asked)


@dataclass(frozen=True)
class Question:
    """A question of a quiz, the right one of its options, and for each option why it is right or not.

    Raises CourseError for an answer not among the options, or an option without a reason.
    """

    question: str
    options: dict[str, str]
    answer: str

    def __post_init__(self) -> None:
        if self.answer not in self.options:
            raise CourseError(f"expected an answer among {list(self.options)}, got {self.answer!r}: copy the text")
        for option, reason in self.options.items():
            if not reason.strip():
                raise CourseError(f"expected a reason for {option!r}, got none: say why it is right or not")


class Quiz(widgets.VBox):
    """Questions whose choices are judged at once, and how many were right at the first try."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = list(questions)
        self.asked = [Prediction(question.question, list(question.options)) for question in questions]
        self.first: dict[int, bool] = {}
        self.score = widgets.HTML()
        for i, asked in enumerate(self.asked):
            asked.choice.observe(lambda change, i=i: self._judge(i, change["new"]), "value")
        self._count()
        super().__init__([*self.asked, self.score])

    def _judge(self, i: int, chosen: str) -> None:
        right = chosen == self.questions[i].answer
        reason = _prose(self.questions[i].options[chosen])
        verdict = "Right." if right else "Not that one."
        self.asked[i].feedback.value = f'<div role="status"><b>{verdict}</b> {reason}</div>'
        self.first.setdefault(i, right)
        self._count()

    def _count(self) -> None:
        right, answered, count = sum(self.first.values()), len(self.first), len(self.questions)
        self.score.value = f"<b>Score: {right} of {count}</b> right at the first try, {answered} answered."

    def _repr_mimebundle_(self, **kwargs) -> dict:
        words = "\n\n".join(asked._repr_mimebundle_()["text/plain"] for asked in self.asked)
        return {**super()._repr_mimebundle_(**kwargs), "text/html": self._unattended(), "text/plain": words}

    def _unattended(self) -> str:
        """The quiz where no kernel judges: each answer unfolds."""
        return "".join(
            f"<p>{_prose(each.question)}</p><ul>{''.join(f'<li>{_prose(option)}</li>' for option in each.options)}</ul>"
            + _folded(each.answer, each.options)
            for each in self.questions
        )


def _folded(answer: str, reasons: Mapping[str, str]) -> str:
    """An answer, and the reasons of all options that have one, hidden until they are unfolded."""
    rows = [f"<p><b>{_prose(answer)}.</b> {_prose(reasons[answer])}</p>"]
    rows += [f"<p>Not “{_prose(o)}”: {_prose(reason)}</p>" for o, reason in reasons.items() if o != answer and reason]
    return f"<details><summary>Answer</summary>{''.join(rows)}</details>"


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
