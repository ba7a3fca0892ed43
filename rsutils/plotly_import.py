"""Imports plotly without one chain that would be a third of the course's start, and that the course never uses.

plotly -> nbformat -> jsonschema -> rfc3987_syntax, which builds a grammar when it is imported. jsonschema does without
it where it cannot be had, so it cannot be had while plotly comes in. In such a process jsonschema lets pass whatever
is said to have the format "iri" or "iri-reference"; all its other checks are as they were.
"""

import sys

HIDDEN = "rfc3987_syntax"

if HIDDEN not in sys.modules:
    sys.modules[HIDDEN] = None  # type: ignore[assignment]
    try:
        from plotly.graph_objects import FigureWidget  # noqa: F401
    finally:
        del sys.modules[HIDDEN]
