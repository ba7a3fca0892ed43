"""Tables that say what they show: a frame with a caption, rounded, numbers to the right."""

from dataclasses import dataclass
from html import escape
from zlib import crc32

import pandas as pd

from rsutils.errors import CourseError

# Spaces and colours are the reader's theme's; only what a table needs everywhere is set.
STYLES = [
    {"selector": "caption", "props": "caption-side: top; text-align: left; font-weight: 600; padding: 0.3em 0"},
    {"selector": "th, td", "props": "text-align: right; font-variant-numeric: tabular-nums"},
    {"selector": ".row_heading, .index_name", "props": "text-align: left"},
]
LEFT = [{"selector": "", "props": "text-align: left"}]


@dataclass(frozen=True)
class Table:
    """A frame as a notebook shows it; its plain-text form has the caption and the same numbers."""

    frame: pd.DataFrame
    caption: str
    decimals: int = 2

    @property
    def has_index(self) -> bool:
        """Whether the rows have names: a plain count of them says nothing."""
        return not isinstance(self.frame.index, pd.RangeIndex)

    def __repr__(self) -> str:
        rounded = f"{{:.{self.decimals}f}}".format
        return f"{self.caption}\n{self.frame.to_string(index=self.has_index, float_format=rounded, na_rep='–')}"

    def _repr_html_(self) -> str:
        # An id of the content, not a random one, so that the same table is the same text in every run.
        style = self.frame.style.set_uuid(f"{crc32(repr(self).encode()):08x}")
        style.cell_ids = False
        style = style.format(precision=self.decimals, escape="html", na_rep="–")
        style = style.format_index(escape="html").format_index(escape="html", axis="columns")
        style = style.set_table_styles(STYLES).set_table_styles(
            {column: LEFT for column, kind in self.frame.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)},
            overwrite=False,
        )
        style = style.set_caption(escape(self.caption, quote=False))
        return (style if self.has_index else style.hide(axis="index")).to_html()


def table(frame: pd.DataFrame, caption: str, decimals: int = 2) -> Table:
    """Show a frame with a caption, its numbers rounded and to the right; rows that are only counted have no names.

    Raises CourseError for a frame without rows or a missing caption.

    >>> table(pd.DataFrame({"write": ["embed", "mlp 3"], "share": [0.1234, -0.5]}), "Two writes")
    Two writes
    write  share
    embed   0.12
    mlp 3  -0.50
    """
    if not caption.strip():
        raise CourseError(f"expected a caption, got {caption!r}: say what the table shows")
    if not len(frame):
        raise CourseError("expected a frame with rows, got none: leave the table out")
    return Table(frame, caption, decimals)
