"""The picture of the stream, element by element: lane, ribbons, bars, dotted readers, and texts that never touch."""

from collections.abc import Sequence
from zlib import crc32

from rsutils.drawing.axes import seen
from rsutils.drawing.stream_plan import FINE, HEADING, KINDS, LABEL, NAMED, Plan, Spot, Write, norm_text, percent
from rsutils.drawing.svg import Number, clip, number, plain, tag, text_width, themes, wrap

CSS = (
    themes("rs-stream")
    + f".rs-stream{{display:block;width:100%;height:auto;fill:var(--ink);font-size:{LABEL}px}}"
    + f".rs-stream .rs-h{{font-size:{HEADING}px;font-weight:600}}"
    + "".join(f".rs-stream .rs-{kind}{{color:var(--{kind})}}" for kind in KINDS)
    + """.rs-stream .rs-paper{fill:var(--paper)}
.rs-stream .rs-b{font-weight:600}
.rs-stream .rs-q{fill:var(--quiet)}
.rs-stream .rs-rule{stroke:var(--rule)}
.rs-stream .rs-key{color:var(--quiet)}
.rs-stream .rs-solid{fill:currentColor}
.rs-stream .rs-reads{fill:none;stroke:currentColor;stroke-width:1.5;stroke-dasharray:.1 4;stroke-linecap:round}
.rs-stream .rs-fine{stroke-width:1;stroke-dasharray:.1 3;opacity:.7}
.rs-stream .rs-writes{fill:none}
.rs-stream .rs-against{fill:none;stroke-dasharray:5 4}
.rs-stream .rs-tint{fill:none;stroke-opacity:.28}
.rs-stream .rs-path{fill:var(--quiet);opacity:.55}
.rs-stream .rs-half{opacity:.5}
.rs-stream .rs-dim{opacity:.2}
.rs-stream .rs-part{transition:opacity .15s}
.rs-stream:has(.rs-part:hover) .rs-part:not(:hover){opacity:.2}
"""
)
SOFT = ((0, 1), (0.62, 0.95), (1, 0))  # how a ribbon fades into the stream: place and opacity
HAIRLINE = 0.8  # no ribbon is thinner, so that it can be seen

Box = tuple[Number, Number, Number, Number]


class Sheet:
    """The elements drawn so far, and the boxes (left, top, right, bottom) that texts have taken."""

    def __init__(self, plan: Plan, title: str, alt: str) -> None:
        self.plan, self.title, self.alt = plan, title, alt
        self.drawn: list[str] = []
        self.taken: list[Box] = []
        # A page may hold many pictures, and an id must mean one gradient.
        self.id = f"rs{crc32(f'{plan}{title}{alt}'.encode()):08x}"

    def draw(self, tokens: Sequence[str], writes: Sequence[Write], likeliest: Sequence, lit: set) -> str:
        """The whole picture as SVG; what is not ``lit`` is dimmed where anything is."""
        plan = self.plan
        longest, widest = max(w.norm for w in writes), max(w.after for w in writes)
        self.scale = min(0.42 * plan.reach / longest, 0.62 * plan.reach / widest, 0.7 * plan.pitch / longest)
        spots = {w.name: plan.spot(w, self.width(w)) for w in writes}
        dim = {w.name: bool(lit) and not w.is_among(lit) for w in writes}
        if not plan.small:
            self.head(tokens)
            self.layers(sum(w.kind == "attn" for w in writes))
        self.lane(writes, spots, lit)
        token = self.token(tokens[-1], quiet=bool(lit) and not {"embed", "pos"} & lit)
        mouth = self.mouth(likeliest, dim=bool(lit) and "unembed" not in lit)
        if plan.small:
            labels = self.lit_labels([w for w in writes if not dim[w.name]], spots, lit)
        else:
            labels = self.labels(writes, spots)
        for w in writes:
            self.part(w, spots[w.name], labels.get(w.name, ""), dim[w.name])
        self.drawn += [token, mouth]
        if not plan.small:
            self.legend()
        return self.svg()

    def svg(self) -> str:
        """Everything drawn, with its words, colours and fades."""
        plan = self.plan
        height = 130.0 if plan.small else max(bottom for *_, bottom in self.taken) + 14
        return tag(
            "svg",
            tag("title", plain(self.title)),
            tag("desc", plain(self.alt)),
            f"<style>{CSS}</style>",
            tag("defs", *self.fades()),
            tag("rect", class_="rs-paper", width=plan.width, height=height, rx=6),
            *self.drawn,
            xmlns="http://www.w3.org/2000/svg",
            class_=f"rs-stream {'rs-tall' if plan.tall else 'rs-wide'}",
            viewBox=f"0 0 {number(plan.width)} {number(height)}",
            role="img",
            aria_label=self.title,
            style=f"max-width:{number(1.3 * plan.width)}px",
        )

    def fades(self) -> list[str]:
        """The gradients: from a bar, and with the stream, until the ribbon is in it; and the lane's own."""
        tall = self.plan.tall
        above, down = dict(x1=0, y1=0, x2=1, y2=1), dict(x2=0, y2=1)
        below = dict(x1=1, y1=0, x2=0, y2=1) if tall else dict(x1=0, y1=1, x2=1, y2=0)
        vectors = {"embed": above, "pos": below, "attn": above, "mlp": below, "lane": down if tall else {}}
        stops = {kind: [(at, kind, alpha) for at, alpha in SOFT] for kind in vectors}
        stops["lane"] = [(0, "source", 1), (1, "mouth", 1)]
        return [
            tag(
                "linearGradient",
                *(
                    tag("stop", offset=at, stop_color=f"var(--{colour})", stop_opacity=alpha)
                    for at, colour, alpha in stops[kind]
                ),
                id=f"{self.id}-{kind}",
                **vector,
            )
            for kind, vector in vectors.items()
        ]

    def width(self, write: Write) -> float:
        """How wide a ribbon is."""
        return max(write.norm * self.scale, HAIRLINE)

    def text(
        self, x: Number, y: Number, content: str, *, look: str = "", size: int = LABEL, bold=False, anchor="start"
    ) -> str:
        """A text at a baseline, whose box is taken from then on."""
        self.taken.append(box(x, y, content, size=size, bold=bold, anchor=anchor))
        look = f"{look} rs-h" if size == HEADING else f"{look} rs-b" if bold else look
        return tag(
            "text",
            plain(content),
            class_=look.strip() or None,
            x=float(x),
            y=float(y),
            text_anchor=None if anchor == "start" else anchor,
        )

    def is_free(self, new: Box) -> bool:
        """Whether a text there would touch neither the edge nor another text."""
        return new[0] >= 6 and new[2] <= self.plan.width - 6 and not any(touch(new, old) for old in self.taken)

    def head(self, tokens: Sequence[str]) -> None:
        """The title, and under it the prompt, of which the end is what counts."""
        room, y = self.plan.width - 32, 30
        for line in wrap(self.title, room, HEADING, bold=True):
            self.drawn.append(self.text(16, y, line, size=HEADING, bold=True))
            y += 22
        prompt = f"“{''.join(tokens)}”".replace("\n", "↵")
        self.drawn.append(self.text(16, y, clip(prompt, room, LABEL, end=False), look="rs-q"))

    def layers(self, count: int) -> None:
        """A hairline before each layer and its number, or every second, fifth, ... where there are many."""
        plan = self.plan
        step = next(n for n in (1, 2, 5, 10, 20, 50, 100) if n * plan.pitch >= 56)
        top = plan.axis - plan.reach - 54
        low, high = (-plan.reach, plan.width - 10 - plan.axis) if plan.tall else (-plan.reach, plan.reach)
        # Where names are wider than a layer, the line leaves their rows free.
        above = [top - 12 - plan.axis, low if plan.pitch >= NAMED else top + 4 - plan.axis]
        for layer in range(0, count, step):
            s = plan.first + layer * plan.pitch
            lines = [(low, high)] if plan.tall else [above, (low, high)]
            line = "".join(f"M{plan.at(s, t0)}L{plan.at(s, t1)}" for t0, t1 in lines)
            self.drawn.append(tag("path", class_="rs-rule", d=line))
            if plan.tall:
                self.taken.append((plan.axis + plan.reach, s - 2, plan.width, s + 2))
            x, y, anchor = (plan.width - 10, s + 16, "end") if plan.tall else (s + 5, top, "start")
            self.drawn.append(self.text(x, y, f"layer {layer}", look="rs-q", anchor=anchor))

    def lane(self, writes: Sequence[Write], spots: dict[str, Spot], lit: set) -> None:
        """The stream, which changes its width where a write lands; between two lit writes it is lit too."""
        plan, soft = self.plan, min(0.2 * self.plan.pitch, 26)
        half = [w.after * self.scale / 2 for w in writes]
        level = next(t for w, t in zip(reversed(writes), reversed(half), strict=True) if w.layer is None)
        upper = [(plan.start, 0.0), (plan.start + 28, level)]
        for w, t in zip(writes, half, strict=True):
            if w.layer is not None and not (plan.parallel and w.kind == "attn"):
                upper += [(spots[w.name].land - soft, level), (spots[w.name].land + 0.25 * soft, t)]
                level = t
        upper += [(plan.end - 12, level), (plan.end, 0.0)]
        norms = f"norm {norm_text(writes[0].after)} after the embedding, {norm_text(writes[-1].after)} at the end"
        quiet = "rs-half" if lit and "stream" not in lit else None
        fill = f"url(#{self.id}-lane)"
        title = tag("title", f"the residual stream: {norms}")
        self.drawn.append(tag("path", title, class_=quiet, d=plan.outline(upper), fill=fill))
        if not lit or "stream" in lit:
            self.name_lane(writes[-1].after, level)
        pair = sorted((spots[name] for name in lit if name in spots), key=lambda spot: spot.land)
        if len(pair) == len(lit) == 2 and pair[0].land < pair[1].read:
            first, last = pair[0].land, pair[1].read
            ends = [(s, next(t for at, t in reversed(upper) if at <= s)) for s in (first, last)]
            inside = [(s, t) for s, t in upper if first < s < last]
            self.drawn.append(tag("path", class_="rs-path", d=plan.outline([ends[0], *inside, ends[1]])))

    def name_lane(self, norm: Number, half: Number) -> None:
        """What the lane is, beside its last stretch, where nothing lands."""
        plan = self.plan
        x, y, anchor = plan.end - 26, plan.axis - half - 26, "middle"
        if plan.tall:
            x, y, anchor = plan.axis - half - 8, plan.end - 28, "end"
        if plan.small:
            self.drawn.append(self.text(plan.end, y + 18, "stream", bold=True, anchor="end"))
        else:
            self.drawn.append(self.text(x, y, "stream", bold=True, anchor=anchor))
            self.drawn.append(self.text(x, y + 17, norm_text(norm), look="rs-q", anchor=anchor))

    def part(self, write: Write, spot: Spot, label: str, dim: bool) -> None:
        """One component: the bar, the dotted line by which it reads, the ribbon that it writes, its name."""
        plan, side, width = self.plan, write.side, self.width(write)
        fine = plan.pitch <= FINE
        thick, tip = (5, 2.5) if fine else (8, 4)
        bar = side * plan.reach
        # The ribbon ends along the lane's edge on its side, or in the middle where it is the wider of the two.
        into = side * max(0, write.after * self.scale / 2 - width / 2)
        stop = spot.land + 0.55 * width + 6
        bend = spot.root + 0.3 * (stop - spot.root)
        ribbon = dict(
            d=f"M{plan.at(spot.root, bar)}C{plan.at(spot.root, 0.3 * bar)} {plan.at(bend, into)} {plan.at(stop, into)}",
            stroke=f"url(#{self.id}-{write.kind})",
            stroke_width=width,
        )
        head = bar - side * (thick / 2 + 1)
        neck = head - side * 1.7 * tip
        foot = side * (write.before * self.scale / 2 + 2)
        if write.layer is None:  # these read the token
            foot = side * (3 if plan.tall else 16)
        arrow = f"M{plan.at(spot.read, head)}L{plan.at(spot.read - tip, neck)}L{plan.at(spot.read + tip, neck)}Z"
        against = write.share < 0
        self.drawn.append(
            tag(
                "g",
                tag("title", plain(write.sentence)),
                tag("path", class_="rs-tint", **ribbon) if against else "",
                tag("path", class_="rs-against" if against else "rs-writes", **ribbon),
                tag(
                    "path",
                    class_="rs-reads rs-fine" if fine else "rs-reads",
                    d=f"M{plan.at(spot.read, foot)}L{plan.at(spot.read, neck)}",
                ),
                tag("path", class_="rs-solid", d=arrow),
                self.bar(spot.read - 4, spot.root + max(width / 2, 4), bar - thick / 2, bar + thick / 2),
                label,
                class_=f"rs-part rs-{write.kind}" + " rs-dim" * dim,
            )
        )

    def bar(self, s0: Number, s1: Number, t0: Number, t1: Number) -> str:
        """A rounded bar between two places along the stream and two across it."""
        x, y, width, height = s0, self.plan.axis + t0, s1 - s0, t1 - t0
        if self.plan.tall:
            x, y, width, height = self.plan.axis + t0, s0, t1 - t0, s1 - s0
        place = dict(x=float(x), y=float(y), width=float(width), height=float(height))
        return tag("rect", class_="rs-solid", **place, rx=min(width, height) / 2)

    def token(self, token: str, quiet: bool) -> str:
        """The token that the stream begins with."""
        plan, size = self.plan, LABEL if self.plan.small else HEADING
        x, y, anchor = plan.start - 46, plan.axis + 0.36 * size, "middle"
        if plan.tall:
            x, y = plan.axis, plan.start - 74
        if plan.small:
            x, anchor = plan.start - 32, "end"
        room = 150 if plan.tall else 48 if plan.small else 80
        shown = clip(seen(token), room, size, bold=True)
        return self.text(x, y, shown, size=size, bold=True, anchor=anchor, look="rs-q" if quiet else "")

    def mouth(self, likeliest: Sequence[tuple[str, float]], dim: bool) -> str:
        """The end of the stream: the unembedding reads it, and the tokens that it makes likeliest."""
        plan, long = self.plan, 0.4 * self.plan.reach
        s = plan.end + (16 if plan.small else 26)
        chances = ", ".join(f"“{seen(token)}” {percent(p)}" for token, p in likeliest)
        arrow = f"M{plan.at(s - 2, 0)}L{plan.at(s - 9, -4)}L{plan.at(s - 9, 4)}Z"
        reader = [
            tag("title", plain(f"the unembedding reads the final stream; likeliest next: {chances}")),
            tag("path", class_="rs-reads", d=f"M{plan.at(plan.end + 3, 0)}L{plan.at(s - 9, 0)}"),
            tag("path", class_="rs-solid", d=arrow),
            self.bar(s, s + 8, -long, long),
        ]
        look = "rs-part rs-unembed" + " rs-dim" * dim
        if plan.small:
            shown = clip(seen(likeliest[0][0]), plan.width - s - 24, LABEL, bold=True)
            return tag("g", *reader, class_=look) + self.text(
                s + 16, plan.axis + 5, shown, bold=True, look="rs-q" if dim else ""
            )
        name = (plan.axis + long + 10, s + 9) if plan.tall else (s, plan.axis - long - 14)
        rows = [self.text(name[0], name[1], "unembedding", bold=True)]
        x, y, room = (plan.axis - 45, s + 32, 110) if plan.tall else (s + 20, plan.axis - 16, 110)
        for rank, (token, p) in enumerate(likeliest[:3]):
            size, length = LABEL if rank else HEADING, max(1, p * (room - 50))
            rows += [
                self.text(x, y, clip(seen(token), room, size, bold=not rank), size=size, bold=not rank),
                tag("rect", class_="rs-solid", x=float(x), y=y + 7.0, width=float(length), height=6, rx=1),
                self.text(x + length + 6, y + 15, percent(p), look="rs-q"),
            ]
            y += 38
        return tag("g", *reader, *rows, class_=look)

    def labels(self, writes: Sequence[Write], spots: dict[str, Spot]) -> dict[str, str]:
        """Names and numbers beside the bars; where layers are many, of the longest writes that find room."""
        roomy = self.plan.pitch >= NAMED
        found: dict[str, str] = {}
        waiting: list[tuple[str, dict, dict]] = []
        for w in sorted(writes, key=lambda w: -w.norm):
            norm = norm_text(w.norm)
            name, full = self.beside(
                w, spots[w.name], [KINDS[w.kind] if roomy else w.label, f"{norm} ({percent(w.share)})"]
            )
            short = full | dict(content=norm)
            if all(self.is_free(box(**line)) for line in (name, short if roomy else full)):
                found[w.name] = self.text(**name)
                self.taken.append(box(**(short if roomy else full)))
                waiting.append((w.name, short, full))
        for key, short, full in waiting:  # every name has its place: where there is more, the share is told too
            self.taken.remove(box(**short) if roomy else box(**full))
            found[key] += self.text(**(full if self.is_free(box(**full)) else short), look="rs-q")
        return found

    def lit_labels(self, writes: Sequence[Write], spots: dict[str, Spot], lit: set) -> dict[str, str]:
        """The names of what is lit; where a whole kind is, one name will do."""
        found, named = {}, set()
        for w in writes:
            name = KINDS[w.kind] if w.kind in lit or w.layer is None else w.label
            (line,) = self.beside(w, spots[w.name], [name])
            if name not in named and self.is_free(box(**line)):
                found[w.name] = self.text(**line)
                named.add(name)
        return found

    def beside(self, write: Write, spot: Spot, texts: Sequence[str]) -> list[dict]:
        """The lines of a label: above or below its bar, or left or right where the stream runs down."""
        plan, rows = self.plan, len(texts)
        if plan.tall:
            x = plan.axis + write.side * (plan.reach + 12)
            middle = (spot.read + spot.root + max(self.width(write) / 2, 4) - 4) / 2
            y, anchor = middle + 5 - 8 * (rows - 1), "start" if write.side > 0 else "end"
        else:
            x = spot.read - (22 if write.layer is None and not plan.small else 4)
            y = plan.axis + write.side * plan.reach + (21 if write.side > 0 else -11 - 17 * (rows - 1))
            anchor = "start"
        return [dict(x=x, y=y + 17 * i, content=text, bold=i == 0, anchor=anchor) for i, text in enumerate(texts)]

    def legend(self) -> None:
        """What the marks mean, in as many lines as they need."""
        x, y = 16.0, max(bottom for *_, bottom in self.taken) + 34
        entries = {
            "reads": "reads",
            "writes": "writes, as wide as its norm",
            "against": "against the final stream",
            "": "(%) share of it",
        }
        for mark, content in entries.items():
            lead = {"": 0, "reads": 40}.get(mark, 32)
            width = lead + text_width(content, LABEL)
            if x > 16 and x + width > self.plan.width - 14:
                x, y = 16.0, y + 22
            line = f"M{number(x)},{number(y - 4)}h24"
            if mark == "reads":
                self.drawn.append(tag("path", class_="rs-reads rs-key", d=line))
                self.drawn.append(
                    tag("path", class_="rs-solid rs-key", d=f"M{number(x + 32)},{number(y - 4)}l-7,-4v8Z")
                )
            elif mark:
                ribbon = dict(d=line, stroke="currentColor", stroke_width=9)
                looks = [f"rs-{mark} rs-key"] if mark == "writes" else ["rs-tint rs-key", "rs-against rs-key"]
                self.drawn += [tag("path", class_=look, **ribbon) for look in looks]
            self.drawn.append(self.text(x + lead, y, content, look="rs-q"))
            x += width + 20


def box(x: Number, y: Number, content: str, size: int = LABEL, bold: bool = False, anchor: str = "start") -> Box:
    """Left, top, right and bottom of a text at a baseline."""
    width = text_width(content, size, bold=bold)
    left = x - width * {"start": 0, "middle": 0.5, "end": 1}[anchor]
    return left, y - 0.8 * size, left + width, y + 0.25 * size


def touch(one: Box, other: Box) -> bool:
    """Whether two boxes overlap or lie beside each other without a gap."""
    (left, top, right, bottom), (a, b, c, d) = one, other
    return left < c + 4 and a < right + 4 and top < d and b < bottom
