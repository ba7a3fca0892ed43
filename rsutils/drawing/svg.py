"""Pieces of an SVG picture: a style for light and dark, elements, and the room that a text takes."""

import re
from html import escape

from rsutils.drawing.axes import Number
from rsutils.drawing.colours import COLOURS

FONT = "Inter,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
FORBIDDEN = re.compile("[^\t\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML
NARROW, WIDE = " fijlrtI.,:;'|!()[]·“”‘’`", "mwMW@%+−<=>&–—…↵⇥"


def themes(name: str) -> str:
    """The colours as custom properties of ``.name``: the reader's system chooses, a page or Lab's theme overrules.

    A page overrules by ``data-theme="dark"``, or ``"light"``, on an element around the picture.
    """
    light, dark = (";".join(f"--{kind}:{pair[i]}" for kind, pair in COLOURS.items()) for i in (0, 1))
    told = f"[data-jp-theme-light='%s'] .{name},[data-theme='%s'] .{name}{{%s}}"
    return (
        f".{name}{{{light};font-family:{FONT}}}@media (prefers-color-scheme:dark){{.{name}{{{dark}}}}}"
        + told % ("true", "light", light)
        + told % ("false", "dark", dark)
    )


def tag(name: str, *inside: str, **attributes: object) -> str:
    """One element; ``_`` in a name stands for ``-``, coordinates are rounded, what is ``None`` is left out.

    >>> tag("circle", tag("title", "a dot"), class_="dot", r=2.504, stroke_width=1, fill=None)
    '<circle class="dot" r="2.5" stroke-width="1"><title>a dot</title></circle>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{number(value) if isinstance(value, float) else plain(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{''.join(inside)}</{name}>" if inside else f"<{name}{written}/>"


def number(value: Number) -> str:
    """A coordinate to one hundredth, so that a picture is the same text on every machine.

    >>> number(2.504), number(-0.001), number(10.0)
    ('2.5', '0', '10')
    """
    return f"{round(value, 2) + 0:.2f}".rstrip("0").rstrip(".")


def plain(text: str) -> str:
    """A text that may stand in XML: markup escaped, and control characters, which tokens of bytes are, replaced.

    >>> plain("<b> & \\x05")
    '&lt;b&gt; &amp; �'
    """
    return escape(FORBIDDEN.sub("�", text))


def text_width(text: str, size: int, *, bold: bool = False) -> float:
    """How wide a text may become in any of the usual typefaces: DejaVu Sans, the widest of them, needs this much."""
    widths = (0.4 if c in NARROW else 0.98 if c in WIDE else 0.62 if c.islower() else 0.72 for c in text)
    wide_scripts = sum(0.3 for c in text if ord(c) > 0x2E80)
    return size * (sum(widths) + wide_scripts) * (1.12 if bold else 1)


def clip(text: str, room: Number, size: int, *, bold: bool = False, end: bool = True) -> str:
    """The beginning of a text (or with ``end=False`` its end) that fits the room, with an ellipsis where it is cut."""
    if text_width(text, size, bold=bold) <= room:
        return text
    while text and text_width(text + "…", size, bold=bold) > room:
        text = text[:-1] if end else text[1:]
    return text + "…" if end else "…" + text


def wrap(text: str, room: Number, size: int, *, bold: bool = False) -> list[str]:
    """The text in lines that fit the room."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size, bold=bold) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
