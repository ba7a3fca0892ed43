"""Chapter 03: the ledger of a pre-activation, every earlier component's term in it, and what no ledger can say.

``pre = (sum of what every earlier component wrote) @ w / scale + b`` for a neuron that reads along ``w``, with
``scale`` the norm's own (``ln2.hook_scale``) at that token. A virtual weight times an activation over the scale
is one part of one term.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import ActivationCache
from transformer_lens.model_bridge import TransformerBridge

from rsutils.errors import CourseError
from rsutils.models import tokens
from rsutils.virtual.weights import factors, read_weights, virtual_weights

# What a ledger needs of a run; a full cache of a long text would take gigabytes.
KEPT = (
    "hook_embed",
    "hook_pos_embed",
    "hook_attn_out",
    "hook_mlp_out",
    "ln2.hook_scale",
    "mlp.hook_post",
    "mlp.hook_pre",
    "mlp.hook_pre_linear",
)


class Ledger(NamedTuple):
    """The terms of one neuron's pre-activation at every token, the bias last, beside what the model computed."""

    labels: list[str]
    terms: Float[Tensor, "term pos"]
    pre: Float[Tensor, " pos"]


class Driver(NamedTuple):
    """One earlier neuron's part in a later neuron's pre-activation: ``term = activation * weight / scale``."""

    layer: int
    neuron: int
    activation: float
    weight: float
    term: float


def record(model: TransformerBridge, text: str) -> ActivationCache:
    """Run ``text`` and keep what ledgers need, without the batch dimension."""
    _, cache = model.run_with_cache(tokens(model, text), names_filter=lambda hook: hook.endswith(KEPT))
    return cache.remove_batch_dim()


def neuron_ledger(
    model: TransformerBridge, cache: ActivationCache, layer: int, neuron: int, reader: str = "in"
) -> Ledger:
    """Every earlier component's term in a neuron's pre-activation at every token of a ``record``.

    The terms and the bias sum to ``pre``, the model's own ``hook_pre`` (``hook_pre_linear`` for the ``"in"``
    reader of a gated MLP), up to rounding.

    Raises:
        CourseError: no such layer, neuron or reader.
    """
    w, b = reading(model, layer, neuron, reader)
    sequential = not model.cfg.parallel_attn_mlp  # in parallel models an MLP does not see its own block's attention
    written, labels = cache.decompose_resid(layer, mlp_input=sequential, return_labels=True)
    terms = written @ w / _scale(cache, layer)
    return Ledger(
        [*labels, "bias"], torch.cat([terms, b.expand_as(terms[:1])]), cache[pre_hook(model, layer, reader)][:, neuron]
    )


def neuron_terms(
    model: TransformerBridge, cache: ActivationCache, source: int, layer: int, neuron: int, reader: str = "in"
) -> Float[Tensor, "term pos"]:
    """The source MLP's term in a ledger, split: one row a source neuron, and a last row for its output bias.

    A row is ``activation * V[source neuron, neuron] / scale``.

    Raises:
        CourseError: no such layers, neuron or reader, or the source is not the earlier one.
    """
    w, _ = reading(model, layer, neuron, reader)
    W_out, _ = factors(model, source, layer, reader)
    b_out = model.blocks[source].mlp.b_out
    last = W_out.new_zeros(()) if b_out is None else b_out @ w
    activations = cache[f"blocks.{source}.mlp.hook_post"].T
    return torch.cat([activations * (W_out @ w)[:, None], last.expand_as(activations[:1])]) / _scale(cache, layer)


def drivers(
    model: TransformerBridge,
    cache: ActivationCache,
    layer: int,
    neuron: int,
    position: int,
    k: int = 10,
    reader: str = "in",
) -> list[Driver]:
    """The ``k`` earlier neurons with the largest terms in a neuron's pre-activation at one token, largest first.

    Raises:
        CourseError: no such layer, neuron or reader, or no MLP comes before.
    """
    if layer == 0:
        raise CourseError("no MLP comes before MLP 0: choose a later layer")
    w, _ = reading(model, layer, neuron, reader)
    terms = torch.stack([neuron_terms(model, cache, i, layer, neuron, reader)[:-1, position] for i in range(layer)])
    found = []
    for cell in terms.abs().flatten().topk(min(k, terms.numel())).indices.tolist():
        i, n = divmod(cell, terms.shape[1])
        activation = cache[f"blocks.{i}.mlp.hook_post"][position, n].item()
        found.append(Driver(i, n, activation, (model.blocks[i].mlp.W_out[n] @ w).item(), terms[i, n].item()))
    return found


def activation_weighted(
    model: TransformerBridge, cache: ActivationCache, source: int, destination: int, reader: str = "in"
) -> Float[Tensor, "source destination"]:
    """The root mean square over the tokens of each pair's term, with the sign of V; unlike V it depends on the text.

    ``V[i, j] * sqrt(mean over tokens of (activation[i] / scale)^2)``, for the destination's scale.
    """
    activity = cache[f"blocks.{source}.mlp.hook_post"] / _scale(cache, destination)[:, None]
    return activity.square().mean(dim=0).sqrt()[:, None] * virtual_weights(model, source, destination, reader=reader)


def reading(model, layer: int, neuron: int, reader: str) -> tuple[Float[Tensor, " d_model"], Float[Tensor, ""]]:
    """The direction a neuron reads and its bias (zero where there is none)."""
    W = read_weights(model, layer, reader)
    if not 0 <= neuron < W.shape[1]:
        raise CourseError(f"expected a neuron from 0 to {W.shape[1] - 1}, got {neuron}")
    b_in = model.blocks[layer].mlp.b_in
    return W[:, neuron], W.new_zeros(()) if b_in is None or reader == "gate" else b_in[neuron]


def _scale(cache: ActivationCache, layer: int) -> Float[Tensor, " pos"]:
    return cache[f"blocks.{layer}.ln2.hook_scale"][:, 0]


def pre_hook(model, layer: int, reader: str) -> str:
    """TransformerLens's name: in a gated MLP ``hook_pre`` is the gate branch and ``hook_pre_linear`` the other."""
    return f"blocks.{layer}.mlp.hook_pre" + ("_linear" if model.cfg.gated_mlp and reader == "in" else "")
