"""Chapter 03: virtual weights measured by running the model, and the direct and total effects of a part on an MLP."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.models import tokens
from rsutils.virtual.ledger import Neuron, index_of, pre_hook, read_bias
from rsutils.virtual.weights import Component, factors, mlp_layer

Edits = dict[str, Callable[[Tensor], Tensor]]


class PathEffect(NamedTuple):
    """What a source contributes to a later MLP's pre-activations, by three measures; see ``path_patching``."""

    frozen: Float[Tensor, "pos d_mlp"]
    direct: Float[Tensor, "pos d_mlp"]
    total: Float[Tensor, "pos d_mlp"]


def measured_weights(
    model: TransformerBridge, text: str, source: Neuron, destination: int, reader: str = "in"
) -> Float[Tensor, "pos d_mlp"]:
    """One row of V, measured by running the model on ``text`` instead of multiplying weights.

    One is added to the source neuron's activation, and what that changes in its MLP's output is added to the
    destination's input alone; the pre-activations, less their bias and times their scale, answer. The same
    row comes out at every token of every text. A norm after the source's MLP is held at what it divided by.

    Raises:
        CourseError: no such neuron, destination or reader, the source is not the earlier one, or the text is empty
            or longer than the model's context.
    """
    factors(model, mlp_layer(model, source.layer), mlp_layer(model, destination), reader)
    post, out = f"blocks.{source.layer}.mlp.hook_post", f"blocks.{source.layer}.hook_mlp_out"
    scale, pre = f"blocks.{destination}.ln2.hook_scale", pre_hook(model, destination, reader)
    one = torch.zeros(model.blocks[source.layer].mlp.W_out.shape[0])
    one[index_of(model, source)] = 1.0
    ids = tokens(model, text)
    after = f"blocks.{source.layer}.ln2_post.hook_scale"
    clean = _run(model, ids, destination, out, scale, pre, after)
    held = {after: lambda _: clean[after]} if after in clean else {}
    raised = _run(model, ids, destination, out, edits={post: lambda x: x + one * clean.get(after, 1)} | held)
    pushed = _run(model, ids, destination, scale, pre, edits=_at_input(destination, raised[out] - clean[out]))
    b = read_bias(model, destination, reader)
    return (pushed[pre] - b) * pushed[scale] - (clean[pre] - b) * clean[scale]


def path_patching(
    model: TransformerBridge, text: str, source: Component, destination: int, reader: str = "in"
) -> PathEffect:
    """What the source contributes to the destination's pre-activations on ``text``, three ways.

    The source is an MLP's layer, ``"embed"`` or ``"pos_embed"``. ``frozen`` is the ledger's term. ``direct``
    removes the source's output from the destination's input alone (path patching) and lets its norm set a new
    scale. ``total`` removes the source's output altogether, so that everything in between changes too.
    Removing means setting to zero.

    Raises:
        CourseError: no such components or reader, the source is not the earlier one, or the text is empty or longer
            than the model's context.
    """
    _, W = factors(model, source, mlp_layer(model, destination), reader)
    out = f"hook_{source}" if isinstance(source, str) else f"blocks.{source}.hook_mlp_out"
    scale, pre = f"blocks.{destination}.ln2.hook_scale", pre_hook(model, destination, reader)
    ids = tokens(model, text)
    clean = _run(model, ids, destination, out, scale, pre)
    cut = _run(model, ids, destination, pre, edits=_at_input(destination, -clean[out]))
    ablated = _run(model, ids, destination, pre, edits={out: torch.zeros_like})
    return PathEffect(clean[out] @ W / clean[scale], clean[pre] - cut[pre], clean[pre] - ablated[pre])


def _run(
    model: TransformerBridge, ids: Int[Tensor, "1 pos"], last_layer: int, *keep: str, edits: Edits | None = None
) -> dict[str, Tensor]:
    """Run up to a layer, replace activations by what ``edits`` make of them, and return those named in ``keep``."""
    kept = {}

    def save(x, hook, name):
        kept[name] = x[0]

    hooks: list[tuple[str | Callable, Callable]] = [
        (name, lambda x, hook, edit=edit: edit(x)) for name, edit in (edits or {}).items()
    ]
    hooks += [(name, partial(save, name=name)) for name in keep if name in model.hook_dict]
    before = model.cfg.use_hook_mlp_in
    try:
        model.set_use_hook_mlp_in(True)
        model.run_with_hooks(ids, fwd_hooks=hooks, stop_at_layer=last_layer + 1)
    finally:
        model.set_use_hook_mlp_in(before)
    return kept


def _at_input(layer: int, push: Tensor) -> Edits:
    """An edit of what MLP ``layer`` alone reads; the stream itself goes on unchanged."""
    return {f"blocks.{layer}.hook_mlp_in": lambda x: x + push}
