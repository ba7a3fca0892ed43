"""The course's colours: the same for the same kind of thing in every chapter, on light paper and on dark."""

import re
from collections.abc import Iterable

from plotly.colors import diverging

COLOURS = {  # for light and for dark: text has a contrast of 4.5 with its paper
    "paper": ("#FFFFFF", "#15181C"),
    "ink": ("#1B1F24", "#E8EAED"),
    "quiet": ("#5F6873", "#9AA3AD"),
    "rule": ("#E6EAEF", "#2A3037"),
    "source": ("#DFE5EC", "#3A424D"),
    "mouth": ("#B9C4D0", "#5B6775"),
    "embed": ("#009E73", "#2DBE92"),
    "pos": ("#E69F00", "#E69F00"),
    "attn": ("#0072B2", "#3D8FD1"),
    "mlp": ("#D55E00", "#F07F3C"),
    "unembed": ("#CC79A7", "#CC79A7"),
}
# A plotly figure has one colour for both papers. No ink has a contrast of more than 4.35 with white and with Lab's
# dark #111111 at once; this one has it with both.
INK = "#757A80"
FAINT, GAP = "rgba(128,128,128,0.22)", "rgba(128,128,128,0.28)"
MARK = "#D81B60"
# Series of one figure: none is the colour of a kind of component.
SERIES = ("#6672C4", "#9C8420", "#B5446A", "#3E93C9", INK)
POSITIVE_IS_RED = diverging.RdBu[::-1]
KINDS = {  # tried in this order: "unembed" and "pos_embed" hold "embed"
    "unembed": re.compile("unembed|logit"),
    "pos": re.compile("pos"),
    "embed": re.compile("embed"),
    "mlp": re.compile("mlp"),
    "attn": re.compile(r"attn|attention|head|^l\d+h\d+"),
}


def component_colours(names: Iterable[object]) -> list[str]:
    """The colour of each component by its name; what is none of them, a bias for example, has the colour of text.

    >>> component_colours(["embed", "0_attn_out", "mlp 3", "L2H0", "bias"])
    ['#009E73', '#0072B2', '#D55E00', '#0072B2', '#757A80']
    """
    texts = [str(name).lower() for name in names]
    return [next((COLOURS[kind][0] for kind, word in KINDS.items() if word.search(text)), INK) for text in texts]
