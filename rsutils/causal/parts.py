"""Chapter 06: who writes to the stream, who reads it, and who of them could hear of whom."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from transformer_lens.model_bridge import TransformerBridge

from rsutils.compare import cannot_communicate
from rsutils.errors import CourseError
from rsutils.models import shown

MODES = ("Q", "K", "V")


class Part(NamedTuple):
    """A writer or a reader; ``time``: its place in the order in which a model runs; ``head``: -1 where it has none."""

    name: str
    kind: str
    layer: int
    head: int
    time: int

    def hears(self, writer: "Part") -> bool:
        """Whether this reader comes after the writer."""
        return writer.time < self.time


def writers(model: TransformerBridge) -> list[Part]:
    """The embedding, the positions where they are written, and each layer's heads and MLP, in the order of writing."""
    found = [Part("embed", "embed", -1, -1, -1)]
    if model.cfg.positional_embedding_type == "standard":
        found.append(Part("pos_embed", "pos_embed", -1, -1, -1))
    for layer in range(model.cfg.n_layers):
        found += [Part(f"L{layer}H{head}", "head", layer, head, 3 * layer + 1) for head in range(model.cfg.n_heads)]
        found.append(Part(f"mlp {layer}", "mlp", layer, -1, 3 * layer + 2))
    return found


def readers(model: TransformerBridge) -> list[Part]:
    """The Q, K and V of each head, each MLP (and its gate) and the unembedding, in the order of reading.

    ``"L1H0 K"`` is what head 0 of layer 1 alone sees of its keys, also where other heads share them. In a block that
    runs both in parallel the MLP reads what the heads read.
    """
    found = []
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            found += [Part(f"L{layer}H{head} {mode}", mode, layer, head, 3 * layer) for mode in MODES]
        time = 3 * layer if is_parallel(model) else 3 * layer + 2
        found += [Part(f"mlp {layer}", "in", layer, -1, time)]
        found += [Part(f"mlp {layer} gate", "gate", layer, -1, time)] if model.cfg.gated_mlp else []
    return [*found, Part("unembed", "unembed", model.cfg.n_layers, -1, 3 * model.cfg.n_layers)]


def can_hear(sources: Sequence[Part], destinations: Sequence[Part]) -> Bool[np.ndarray, "source destination"]:
    """Which edges exist, since the reader comes after the writer."""
    written, read = (np.array([part.time for part in parts]) for parts in (sources, destinations))
    return ~cannot_communicate(written, read)


def owner(reader: str) -> str:
    """The part that a reader belongs to.

    >>> [owner(name) for name in ("L1H0 K", "mlp 2 gate", "unembed")]
    ['L1H0', 'mlp 2', 'unembed']
    """
    words = reader.split()
    return " ".join(words[:2]) if words[0] == "mlp" else words[0]


def is_parallel(model: TransformerBridge) -> bool:
    """Whether a block's MLP reads the stream before its attention has written."""
    return bool(getattr(model.cfg, "parallel_attn_mlp", False))


def chosen(all_parts: list[Part], names: list[str] | None) -> list[Part]:
    """The parts of these names, in the model's order; all without any.

    Raises:
        CourseError: there is no part of that name.
    """
    if names is None:
        return all_parts
    known = {part.name for part in all_parts}
    if wrong := [name for name in names if name not in known]:
        raise CourseError(
            f"expected names such as {all_parts[0].name}, {all_parts[-1].name}, got {shown(wrong[0])}: "
            "see causal.writers and causal.readers"
        )
    return [part for part in all_parts if part.name in names]
