"""The numbers of the picture of the stream: what ``rsutils.drawing.stream.draw`` is handed."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from rsutils.traces.writes import Trace, measure


class Numbers(NamedTuple):
    """One token's stream in numbers, in the order in which ``draw`` takes them.

    ``norms`` and ``shares`` are ``measure``'s, ``after`` is the norm of the stream after each write.
    """

    tokens: list[str]
    names: list[str]
    norms: Float[Tensor, " write"]
    shares: Float[Tensor, " write"]
    after: Float[Tensor, " write"]
    likeliest: list[tuple[str, float]]
    parallel: bool


def numbers(found: Trace, position: int) -> Numbers:
    """What each component wrote at one position, how long the stream was after it, and the likeliest next tokens."""
    model, measures = found.model, measure(found)
    begins = found.tokens[0, 0] == model.tokenizer.bos_token_id and position > 0
    likeliest = found.logits[position].softmax(-1).topk(3)
    return Numbers(
        tokens=found.labels[int(begins) : position + 1],
        names=found.names,
        norms=measures.norm[:, position],
        shares=measures.share[:, position],
        after=found.writes[:, position].cumsum(dim=0).norm(dim=-1),
        likeliest=[
            (str(model.to_string([token])), chance)
            for token, chance in zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        ],
        parallel=bool(getattr(model.cfg, "parallel_attn_mlp", False)),
    )
