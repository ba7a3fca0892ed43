"""The picture of the course: one token's residual stream, who reads it and who writes to it, as SVG.

``stream_plan`` says where things lie, ``stream_sheet`` draws them, ``svg`` has the elements.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsutils.drawing.axes import seen
from rsutils.drawing.stream_plan import KINDS, Plan, Write, capital, norm_text, percent
from rsutils.drawing.stream_sheet import Sheet
from rsutils.errors import CourseError

# Both ways of the stream lie in the page, and the room it has decides which is seen.
PAGE = (
    "<style>.rs-picture{container-type:inline-size}.rs-picture>.rs-tall{display:none}"
    "@container(max-width:519px){.rs-picture>.rs-wide{display:none}.rs-picture>.rs-tall{display:block}}</style>"
)
MOST_WORDS = 12  # writes told one by one


@dataclass(frozen=True)
class Picture:
    """A drawn stream: ``svg`` runs to the right, ``tall`` down, for a phone; ``words`` says what both show.

    A small picture has no ``tall``.
    """

    title: str
    alt: str
    svg: str
    tall: str = ""

    @property
    def words(self) -> str:
        """Title and alt text, one a line."""
        return f"{self.title}\n{self.alt}"

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        return f'<div class="rs-picture">{PAGE * bool(self.tall)}{self.svg}{self.tall}</div>'


def draw(
    tokens: Sequence[str],
    names: Sequence[str],
    norms: Float[Tensor, " write"],
    shares: Float[Tensor, " write"],
    after: Float[Tensor, " write"],
    likeliest: Sequence[tuple[str, float]],
    parallel: bool = False,
    lit: str | int | Sequence[str | int] | None = None,
) -> Picture:
    """Draw the residual stream of the last of ``tokens``: a lane with a ribbon for every write, and who reads it.

    Lane and ribbons are as wide as the vectors are long, on one scale.

    Args:
        tokens: what was read, up to the token whose stream it is.
        names: TransformerLens's names of the writes, in their order: ``embed``, ``pos_embed``, ``0_attn_out``, ...
        norms: the length of each write.
        shares: the part of the final stream that each write accounts for; below zero it is drawn striped.
        after: the length of the stream after each write.
        likeliest: next tokens with their probabilities, likeliest first.
        parallel: attention and MLP of a layer read the same stream.
        lit: draws the small picture for the head of a chapter, quiet but for these parts: names of writes, kinds
            (``embed``, ``pos``, ``attn``, ``mlp``, ``unembed``), ``stream``, or a layer's number. Between two writes,
            the stream that carries one to the other is lit too.

    Raises:
        CourseError: lists of different lengths, no tokens or next tokens, or a part to be lit that is not there.
    """
    if not len(names) == len(norms) == len(shares) == len(after):
        lengths = f"{len(norms)}, {len(shares)} and {len(after)}"
        raise CourseError(f"expected a norm, a share and a stream for each of {len(names)} writes, got {lengths}")
    if not tokens or not likeliest:
        got = f"{len(tokens)} and {len(likeliest)}"
        raise CourseError(f"expected tokens that were read and next tokens, got {got}: give one of each at least")
    leaves = after.tolist()
    enters = [0.0, *leaves[:-1]]
    for i, name in enumerate(names):
        if parallel and name.endswith("mlp_out"):  # both read what entered the layer and leave it together
            enters[i], leaves[i - 1] = enters[i - 1], leaves[i]
    writes = [Write(*one) for one in zip(names, norms.tolist(), shares.tolist(), enters, leaves, strict=True)]
    parts = [] if lit is None else [lit] if isinstance(lit, str | int) else list(lit)
    kinds = ["stream", *dict.fromkeys(w.kind for w in writes), "unembed"]
    for part in parts:
        if part not in kinds and not any(w.is_among([part]) for w in writes):
            there = f"{', '.join(kinds)}, a layer's number, or a write's name such as {names[-1]}"
            raise CourseError(f"expected a part of this model to be lit, got {part!r}: take {there}")
    title = _title_lit(tokens, writes, parts) if parts else _title(tokens, writes)
    told = [w for w in writes if w.is_among(parts)] if parts else writes
    alt = _alt(tokens, writes, told, likeliest, parallel)
    views = []
    for tall in [False] if parts else [False, True]:  # the small picture is small enough for a phone
        plan = Plan.fit(sum(w.kind == "attn" for w in writes), title, tall=tall, small=bool(parts), parallel=parallel)
        views.append(Sheet(plan, title, alt).draw(tokens, writes, likeliest, set(parts)))
    return Picture(title, alt, *views)


def _title(tokens: Sequence[str], writes: Sequence[Write]) -> str:
    largest = max(writes, key=lambda w: w.share)
    share = percent(largest.share)
    return f"{capital(largest.phrase)} accounts for {share} of the final stream at “{seen(tokens[-1])}”"


def _title_lit(tokens: Sequence[str], writes: Sequence[Write], parts: Sequence[str | int]) -> str:
    names = {w.name: w.label for w in writes} | KINDS
    named = ", ".join(f"layer {part}" if isinstance(part, int) else names.get(part, part) for part in parts)
    return f"The residual stream at “{seen(tokens[-1])}”, lit: {named}"


def _alt(
    tokens: Sequence[str], writes: Sequence[Write], told: Sequence[Write], likeliest: Sequence, parallel: bool
) -> str:
    n_layers = sum(w.kind == "attn" for w in writes)
    blocks = "attention and MLP read the same stream" if parallel else "the MLP reads what attention has written too"
    longest = sorted(told, key=lambda w: -w.norm)[: MOST_WORDS // 2]
    some = f"The longest {len(longest)} of {len(told)} writes: " if len(told) > MOST_WORDS else ""
    told = [w for w in told if w in longest or not some]
    nexts = ", ".join(f"“{seen(token)}” {percent(p)}" for token, p in likeliest)
    return (
        f"After “{''.join(tokens)}”. The stream runs through {n_layers} layer{'s' * (n_layers > 1)}; "
        f"in each, {blocks}. {some}{''.join(f'{w.sentence}. ' for w in told)}"
        f"The final stream has norm {norm_text(writes[-1].after)}. Likeliest next: {nexts}."
    )
