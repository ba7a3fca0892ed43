"""Write the README's picture of the stream, wide and for a phone: ``python site/picture.py``."""

from pathlib import Path

import rsutils
from rsutils import traces
from rsutils.drawing.stream import Picture

DOCS = Path(__file__).resolve().parent.parent / "docs"
PROMPT = "When Mary and John went to the store, John gave a drink to"


def drawn() -> Picture:
    """The stream of the loaded model's last token after a prompt."""
    return traces.figures.stream(traces.trace(rsutils.load_model(), PROMPT))


if __name__ == "__main__":
    found = drawn()
    (DOCS / "stream.svg").write_text(found.svg)
    (DOCS / "stream-tall.svg").write_text(found.tall)
