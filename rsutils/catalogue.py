"""Every exercise and quiz of the course, by its number: what a notebook shows, asks and checks."""

from typing import Any

from IPython.display import Markdown, display

from rsutils import errors
from rsutils.basis import exercises as basis
from rsutils.causal import exercises as causal
from rsutils.coupling import exercises as coupling
from rsutils.heads import exercises as heads
from rsutils.start import exercises as start
from rsutils.teaching import Exercise, Quiz, source, verdict
from rsutils.traces import exercises as traces
from rsutils.virtual import exercises as virtual

CHAPTERS = {"00": start, "01": basis, "02": traces, "03": virtual, "04": coupling, "05": heads, "06": causal}
EXERCISES = {e.id: e for chapter in CHAPTERS.values() for e in sorted(chapter.EXERCISES, key=lambda e: e.id)}


def find(id: Any) -> Exercise:
    """The exercise called ``id``.

    Raises:
        CourseError: there is none.
    """
    if not isinstance(id, str) or id not in EXERCISES:
        raise errors.CourseError(f"expected an exercise among {', '.join(EXERCISES)}, got {id!r}")
    return EXERCISES[id]


def exercise(id: str) -> None:
    """Show an exercise: the task, two hints and the solution, folded until clicked."""
    e = find(id)
    parts = [(f"Hint {i}", hint) for i, hint in enumerate(e.hints, 1)]
    parts.append(("Solution", f"```python\n{source(e)}```"))
    # The blank lines make the inside of each fold Markdown: code in its font, the solution in colours.
    folded = "\n\n".join(f"<details><summary>{title}</summary>\n\n{body}\n\n</details>" for title, body in parts)
    display(Markdown(f"### Exercise {e.id}: {e.title} {'★' * e.stars}{'☆' * (3 - e.stars)}\n\n{e.task}\n\n{folded}"))


def check(id: Any, answer: Any, *, strict: bool | None = None) -> None:
    """Say whether ``answer`` (a function, or a value where the exercise asks for one) solves exercise ``id``.

    An answer is tried on inputs drawn afresh. Prints one verdict and never raises, so that Run All goes on; an
    unattempted answer (``...`` or ``None``) is neither right nor wrong. With ``strict`` (or the environment
    variable ``RSUTILS_STRICT=1``) a wrong answer raises ``CourseError``.
    """
    right, message = verdict(find(id), answer)
    if strict is None:
        strict = errors.strict()
    if strict and right is False:
        raise errors.CourseError(f"{id}: {message}")
    print({True: "✓", False: "✗", None: "○"}[right], f"{id}:", message)


def quiz(chapter: Any) -> Quiz:
    """The quiz of a chapter, by its number (``"03"``).

    Raises:
        CourseError: there is no such chapter.
    """
    if not isinstance(chapter, str) or chapter not in CHAPTERS:
        raise errors.CourseError(f"expected a chapter among {', '.join(CHAPTERS)}, got {chapter!r}")
    return Quiz(CHAPTERS[chapter].QUIZ)
