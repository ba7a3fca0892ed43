"""Chapter 03: virtual weights measured by running the model, and the direct and total effects of one MLP on another."""

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.models import tokens
from rsutils.virtual.ledger import pre_hook
from rsutils.virtual.weights import factors


class Effect(NamedTuple):
    """What one MLP contributes to a later one's pre-activations, by three measures; see ``effect``."""

    frozen: Float[Tensor, "pos d_mlp"]
    direct: Float[Tensor, "pos d_mlp"]
    total: Float[Tensor, "pos d_mlp"]


def measured_weights(
    model: TransformerBridge, text: str, source: int, neuron: int, destination: int, reader: str = "in"
) -> Float[Tensor, "pos d_mlp"]:
    """One row of V, measured by running the model on ``text`` instead of multiplying weights.

    One is added to the neuron's activation, and what that changes in its MLP's output is added to the
    destination's input alone; the pre-activations, less their bias and times their scale, answer. The same
    row comes out at every token of every text.
    """
    factors(model, source, destination, reader)
    post, out = f"blocks.{source}.mlp.hook_post", f"blocks.{source}.hook_mlp_out"
    scale, pre = f"blocks.{destination}.ln2.hook_scale", pre_hook(model, destination, reader)
    one = torch.eye(model.cfg.d_mlp)[neuron]
    clean = _run(model, text, destination, out, scale, pre)
    raised = _run(model, text, destination, out, edits={post: lambda x: x + one})
    pushed = _run(model, text, destination, scale, pre, edits=_at_input(destination, raised[out] - clean[out]))
    b_in = model.blocks[destination].mlp.b_in
    b = 0 if b_in is None or reader == "gate" else b_in
    return (pushed[pre] - b) * pushed[scale] - (clean[pre] - b) * clean[scale]


def effect(model: TransformerBridge, text: str, source: int, destination: int, reader: str = "in") -> Effect:
    """What the source MLP contributes to the destination's pre-activations on ``text``, three ways.

    ``frozen`` is the ledger's term. ``direct`` removes the source's output from the destination's input alone
    (path patching) and lets its norm set a new scale. ``total`` removes the source's output altogether, so
    that everything in between changes too. Removing means setting to zero.

    Raises:
        CourseError: no such layers or reader, or the source is not the earlier one.
    """
    _, W = factors(model, source, destination, reader)
    out, pre = f"blocks.{source}.hook_mlp_out", pre_hook(model, destination, reader)
    scale = f"blocks.{destination}.ln2.hook_scale"
    clean = _run(model, text, destination, out, scale, pre)
    cut = _run(model, text, destination, pre, edits=_at_input(destination, -clean[out]))
    ablated = _run(model, text, destination, pre, edits={out: torch.zeros_like})
    return Effect(clean[out] @ W / clean[scale], clean[pre] - cut[pre], clean[pre] - ablated[pre])


def _run(model, text: str, last_layer: int, *keep: str, edits: dict | None = None) -> dict[str, Tensor]:
    """Run up to a layer, replace activations by what ``edits`` make of them, and return those named in ``keep``."""
    kept = {}

    def save(x, hook, name):
        kept[name] = x[0]

    hooks = [(name, lambda x, hook, edit=edit: edit(x)) for name, edit in (edits or {}).items()]
    hooks += [(name, partial(save, name=name)) for name in keep]
    model.set_use_hook_mlp_in(True)
    try:
        model.run_with_hooks(tokens(model, text), fwd_hooks=hooks, stop_at_layer=last_layer + 1)
    finally:
        model.set_use_hook_mlp_in(False)
    return kept


def _at_input(layer: int, push: Tensor) -> dict:
    """An edit of what MLP ``layer`` alone reads; the stream itself goes on unchanged."""
    return {f"blocks.{layer}.hook_mlp_in": lambda x: x + push}
