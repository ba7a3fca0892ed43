"""The one error that learners meet: a sentence that says what was expected, what came, and what to do."""

import os


class CourseError(ValueError):
    """Bad input to the course. In a notebook it prints as one line, without a stack of library internals."""

    def _render_traceback_(self) -> list[str]:
        # IPython calls this hook in place of drawing the stack.
        return [f"{type(self).__name__}: {self}"]


def strict() -> bool:
    """Whether RSUTILS_STRICT=1 asks for errors to be raised instead of shown, as the tests do."""
    return os.environ.get("RSUTILS_STRICT") == "1"
