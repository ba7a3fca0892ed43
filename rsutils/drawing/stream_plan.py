"""Where the parts of the picture of the stream lie, and how its numbers and names are written.

Two numbers place everything: ``s`` along the stream and ``t`` across it, attention at negative ``t``. Only ``Plan``
knows whether the stream runs to the right or, on a phone, down.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from rsutils.drawing.svg import Number, number, wrap

LABEL, HEADING = 14, 18  # the two sizes of text
KINDS = {"embed": "embedding", "pos": "position", "attn": "attention", "mlp": "MLP", "unembed": "unembedding"}
FINE = 40  # layers closer than this are drawn finer
NAMED = 82  # layers as far apart as this leave room for every name


@dataclass(frozen=True)
class Write:
    """One component at this token: what it wrote, and the norm of the stream that it read and that it left."""

    name: str
    norm: Number
    share: Number
    before: float
    after: float

    @cached_property
    def layer(self) -> int | None:
        """The layer's number; None for what is there before the first."""
        first = self.name.split("_")[0]
        return int(first) if first.isdigit() else None

    @cached_property
    def kind(self) -> str:
        """``embed``, ``pos``, ``attn`` or ``mlp``."""
        return self.name.removesuffix("_out").removesuffix("_embed").split("_")[-1]

    @property
    def side(self) -> int:
        """On which side of the lane it lies: -1 above (left), 1 below (right)."""
        return 1 if self.kind in ("mlp", "pos") else -1

    @property
    def label(self) -> str:
        """What it is, beside a bar."""
        return f"{KINDS[self.kind]} {self.layer}" if self.layer is not None else KINDS[self.kind]

    @property
    def phrase(self) -> str:
        """What it is, in a sentence."""
        if self.layer is None:
            return "the token embedding" if self.kind == "embed" else "the position embedding"
        return f"layer {self.layer}’s {KINDS[self.kind]}"

    @property
    def sentence(self) -> str:
        """What it wrote."""
        wrote = f"{capital(self.phrase)} writes a vector of norm {norm_text(self.norm)}"
        return f"{wrote} {'against' if self.share < 0 else 'along'} the final stream, {percent(self.share)} of it"

    def is_among(self, parts: Iterable[str | int]) -> bool:
        """Whether its name, its kind or its layer is one of these."""
        return not {self.name, self.kind, self.layer}.isdisjoint(parts)


def capital(text: str) -> str:
    """The text as a sentence begins."""
    return text[0].upper() + text[1:]


def norm_text(value: Number) -> str:
    """A norm in two or three digits, so that it fits beside a bar.

    >>> norm_text(3.204), norm_text(102.477), norm_text(25058)
    ('3.2', '102', '25k')
    """
    return f"{value / 1000:.0f}k" if value >= 9999.5 else f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"


def percent(share: Number) -> str:
    """A share in per cent; what is more than nothing, of either sign, is never said to be nothing.

    >>> percent(0.602), percent(-0.082), percent(-0.0004), percent(0.0)
    ('60%', '−8%', '<1%', '0%')
    """
    return "<1%" if 0 < abs(share) < 0.005 else f"{share:.0%}".replace("-", "−")


@dataclass(frozen=True)
class Spot:
    """Where along the stream a component reads, where its ribbon leaves its bar, and where it lands."""

    read: Number
    root: Number
    land: Number


@dataclass(frozen=True)
class Plan:
    """The lane from ``start`` to ``end`` with its middle at ``axis``, layers of one ``pitch``, bars at ``reach``."""

    tall: bool
    small: bool
    parallel: bool
    width: Number
    axis: Number
    start: Number
    first: Number
    pitch: Number
    end: Number
    reach: Number

    @classmethod
    def fit(cls, n_layers: int, title: str, *, tall: bool, small: bool, parallel: bool) -> "Plan":
        """The plan for a model: a wide picture has one width for one to four layers, a tall one grows with them."""
        if small:
            pitch = 336 / n_layers
            end = 122 + n_layers * pitch
            return cls(False, True, parallel, end + 100, 64, 86, 112, pitch, end, 38)
        if tall:
            top, pitch = below_title(title, 390), 104 if n_layers <= 6 else 24
            end = top + 192 + n_layers * pitch
            return cls(True, False, parallel, 390, 195, top + 116, top + 158, pitch, end, 74)
        pitch = max(408 / n_layers, NAMED if n_layers <= 6 else 0)
        end = 198 + n_layers * pitch
        reach = 96 if pitch > FINE else 76
        axis = below_title(title, end + 170) + 92 + reach
        return cls(False, False, parallel, end + 170, axis, 112, 142, pitch, end, reach)

    def at(self, s: Number, t: Number) -> str:
        """A point as SVG writes it."""
        return f"{number(self.axis + t)},{number(s)}" if self.tall else f"{number(s)},{number(self.axis + t)}"

    def spot(self, write: Write, width: Number) -> Spot:
        """The places of a component whose ribbon is so wide."""
        if write.layer is None:
            read = self.start - (62 if self.tall else 24 if self.small else 46)
            return Spot(read, read + 14 + width / 2, self.start + 14)
        if self.parallel:  # where the stream runs down, both names lie below the layer's
            begin, end = 0.32 if self.tall else 0.09, 0.9
        else:
            begin, end = (0.09, 0.5) if write.side < 0 else (0.59, 1.0)
        read, land = (self.first + (write.layer + part) * self.pitch for part in (begin, end))
        return Spot(read, read + min(10, 0.1 * self.pitch) + width / 2, land)

    def outline(self, upper: list[tuple[Number, Number]]) -> str:
        """A lane of these half widths: level or bent smoothly between each two places, pointed where it ends."""

        def along(edge):
            yield self.at(*edge[0])
            for (s0, t0), (s1, t1) in pairwise(edge):
                middle = (s0 + s1) / 2
                straight = t0 == t1 or s1 == self.end
                bend = "L" if straight else f"C{self.at(middle, t0)} {self.at(middle, t1)} "
                yield bend + self.at(s1, t1)

        lower = [(s, -t) for s, t in reversed(upper)]
        return f"M{''.join(along(upper))}L{''.join(along(lower))}Z"


def below_title(title: str, width: Number) -> float:
    """The baseline of the line under a title, which may need several."""
    return 30.0 + 22 * len(wrap(title, width - 32, HEADING, bold=True))
