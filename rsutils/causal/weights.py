"""Chapter 06: chapter 04's map made whole, so that weights have a number for every edge that is patched."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.causal.parts import Part, readers, writers
from rsutils.compare import PairScores
from rsutils.coupling import Reader, Writer, measure
from rsutils.models import kv_heads, n_directions


def whole_map(model: TransformerBridge, of_controls: bool = False) -> PairScores:
    """Norm, score, z, size and rho of every writer with every reader that comes later, from one Gram matrix each.

    Writers are the embedding, the positions, each head's ``W_O`` and each MLP's ``W_out``; readers each head's
    ``W_Q``, ``W_K`` and ``W_V``, each MLP's ``W_in`` and ``W_gate``, and the unembedding. Chapter 05's composition
    asks what a head does with what it reads as well; here only what it reads counts, as in chapter 04.

    Args:
        of_controls: measure the edges that do not exist instead, from a writer to what has read before it wrote.

    Memory: as ``coupling.measure``, with a writer a head.
    """
    # The order in which the model runs takes the place of chapter 04's layers: a head's write reaches its own block's
    # MLP.
    sources = [Writer(part.name, part.time, written(model, part)) for part in writers(model)]
    destinations = [Reader(part.name, part.time, read(model, part)) for part in readers(model)]
    return measure(sources, destinations, n_directions(model), Path(model.info.name).name, of_controls)


def written(model: TransformerBridge, part: Part) -> Float[Tensor, "rows d_model"]:
    """The weight with which a writer writes, one direction a row."""
    match part.kind:
        case "embed":
            return model.embed.weight
        case "pos_embed":
            return model.pos_embed.weight
        case "head":
            return model.blocks[part.layer].attn.W_O[part.head]
        case _:
            return model.blocks[part.layer].mlp.W_out


def read(model: TransformerBridge, part: Part) -> Float[Tensor, "d_model columns"]:
    """The weight with which a reader reads, one direction a column; a head's own of the keys that it may share."""
    if part.kind == "unembed":
        return model.unembed.W_U
    block = model.blocks[part.layer]
    match part.kind:
        case "Q":
            return block.attn.W_Q[part.head]
        case "K":
            return block.attn.W_K[kv_heads(block.attn)[part.head]]
        case "V":
            return block.attn.W_V[kv_heads(block.attn)[part.head]]
        case "in":
            return block.mlp.W_in
        case _:
            return block.mlp.W_gate
