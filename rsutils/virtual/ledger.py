"""Chapter 03: the ledger of a pre-activation, every earlier component's term in it, and what no ledger can say.

``pre = (sum of what every earlier component wrote) @ w / scale + b`` for a neuron that reads along ``w``, with
``scale`` the norm's own (``ln2.hook_scale``) at that token. A virtual weight times an activation over the scale
is one part of one term.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import ActivationCache
from transformer_lens.model_bridge import TransformerBridge

from rsutils.errors import CourseError
from rsutils.models import check_index, divide_by_writer_norms, mlp_readers, tokens
from rsutils.virtual.products import check_count
from rsutils.virtual.weights import factors, mlp_layer, read_weights, reader_names, virtual_weights

# What a ledger needs of a run; a full cache of a long text would take gigabytes.
KEPT = (
    "hook_embed",
    "hook_pos_embed",
    "hook_attn_out",
    "hook_mlp_out",
    "ln2.hook_scale",
    "mlp.hook_post",
    "ln2_post.hook_scale",
    "mlp.hook_pre",
    "mlp.hook_pre_linear",
)


@dataclass(frozen=True)
class Neuron:
    """One neuron of an MLP; ``reader`` says through which weights it reads the stream (``reader_names``)."""

    layer: int
    index: int
    reader: str = "in"

    def __str__(self) -> str:
        return f"MLP {self.layer} neuron {self.index}"


class Record(NamedTuple):
    """The tokens of a text and what ledgers need of its run, without the batch dimension.

    Where norms follow the writers, ``hook_post`` is divided by theirs: ``hook_post @ W_out`` is what an MLP writes.
    """

    tokens: list[str]
    cache: ActivationCache


class Ledger(NamedTuple):
    """The terms of one neuron's pre-activation at every token, the bias last, beside what the model computed."""

    labels: list[str]
    terms: Float[Tensor, "term pos"]
    pre: Float[Tensor, " pos"]


class Driver(NamedTuple):
    """One earlier neuron's part in a later neuron's pre-activation: ``term = activation * weight / scale``."""

    source: Neuron
    activation: float
    weight: float
    term: float


def record(model: TransformerBridge, text: str) -> Record:
    """Run ``text`` once and keep what ledgers need.

    Raises:
        CourseError: the text is empty or longer than the model's context.
    """
    ids = tokens(model, text)
    _, cache = model.run_with_cache(ids, names_filter=lambda hook: hook.endswith(KEPT))
    cache = cache.remove_batch_dim()
    divide_by_writer_norms(model, cache)
    return Record([str(token) for token in model.to_str_tokens(ids)], cache)


def neuron_ledger(model: TransformerBridge, run: Record, neuron: Neuron) -> Ledger:
    """Every earlier component's term in a neuron's pre-activation at every token of a ``record``.

    The terms and the bias sum to ``pre``, the model's own ``hook_pre`` (``hook_pre_linear`` for the ``"in"``
    reader of a gated MLP), up to rounding.

    Raises:
        CourseError: no such neuron or reader.
    """
    w, b = _reading(model, neuron)
    sequential = not model.cfg.parallel_attn_mlp  # in parallel models an MLP does not see its own block's attention
    written, labels = run.cache.decompose_resid(neuron.layer, mlp_input=sequential, return_labels=True)
    terms = written @ w / _scale(run, neuron.layer)
    pre = run.cache[pre_hook(model, neuron.layer, neuron.reader)][:, neuron.index]
    return Ledger([*labels, "bias"], torch.cat([terms, b.expand_as(terms[:1])]), pre)


def neuron_terms(model: TransformerBridge, run: Record, source: int, neuron: Neuron) -> Float[Tensor, "term pos"]:
    """The source MLP's term in a ledger, split: one row a source neuron, and a last row for its output bias.

    A row is ``activation * V[source neuron, neuron] / scale``.

    Raises:
        CourseError: no such source, neuron or reader, or the source is not an earlier MLP.
    """
    w, _ = _reading(model, neuron)
    W_out, _ = factors(model, mlp_layer(model, source), neuron.layer, neuron.reader)
    b_out = model.blocks[source].mlp.b_out
    last = W_out.new_zeros(()) if b_out is None else b_out @ w
    activations = run.cache[f"blocks.{source}.mlp.hook_post"].T
    return torch.cat([activations * (W_out @ w)[:, None], last.expand_as(activations[:1])]) / _scale(run, neuron.layer)


def drivers(model: TransformerBridge, run: Record, neuron: Neuron, position: int, k: int = 10) -> list[Driver]:
    """The ``k`` earlier neurons with the largest terms in a neuron's pre-activation at one token, largest first.

    Raises:
        CourseError: no such neuron, reader or position, ``k`` is below 1, or no MLP comes before.
    """
    w, _ = _reading(model, neuron)
    if neuron.layer == 0:
        raise CourseError("expected an MLP with others before it, got MLP 0: choose a later layer")
    position = check_index("position", position, len(run.tokens))
    check_count(k, "k")
    terms = torch.stack([neuron_terms(model, run, i, neuron)[:-1, position] for i in range(neuron.layer)])
    found = []
    for cell in terms.abs().flatten().topk(min(k, terms.numel())).indices.tolist():
        i, n = divmod(cell, terms.shape[1])
        activation = run.cache[f"blocks.{i}.mlp.hook_post"][position, n].item()
        weight = (model.blocks[i].mlp.W_out[n] @ w).item()
        found.append(Driver(Neuron(i, n), activation, weight, terms[i, n].item()))
    return found


def activation_weighted(
    model: TransformerBridge, run: Record, source: int, destination: int, reader: str = "in"
) -> Float[Tensor, "source destination"]:
    """The root mean square over the tokens of each pair's term, with the sign of V; unlike V it depends on the text.

    ``V[i, j] * sqrt(mean over tokens of (activation[i] / scale)^2)``, for the destination's scale.

    Raises:
        CourseError: no such layers or reader, or the source is not the earlier one.
    """
    V = virtual_weights(model, mlp_layer(model, source), mlp_layer(model, destination), reader=reader)
    activity = run.cache[f"blocks.{source}.mlp.hook_post"] / _scale(run, destination)[:, None]
    return activity.square().mean(dim=0).sqrt()[:, None] * V


def index_of(model: TransformerBridge, neuron: Neuron) -> int:
    """The neuron's number in its MLP.

    Raises:
        CourseError: the model has no such neuron.
    """
    mlp = model.blocks[mlp_layer(model, neuron.layer)].mlp
    return check_index("neuron", neuron.index, mlp.W_out.shape[0])


def pre_hook(model: TransformerBridge, layer: int, reader: str) -> str:
    """TransformerLens's name: in a gated MLP ``hook_pre`` is the gate branch and ``hook_pre_linear`` the other."""
    return f"blocks.{layer}.mlp.hook_pre" + ("_linear" if model.cfg.gated_mlp and reader == "in" else "")


def read_bias(model: TransformerBridge, layer: int, reader: str) -> Float[Tensor, " d_mlp"]:
    """The bias that an MLP adds to what it reads through ``reader``; zeros where there is none."""
    W, b = mlp_readers(model.blocks[layer])[reader_names(model).index(reader)]
    return W.new_zeros(W.shape[1]) if b is None else b


def _reading(model: TransformerBridge, neuron: Neuron) -> tuple[Float[Tensor, " d_model"], Float[Tensor, ""]]:
    """The direction a neuron reads and its bias (zero where there is none)."""
    index = index_of(model, neuron)
    W, b = read_weights(model, neuron.layer, neuron.reader), read_bias(model, neuron.layer, neuron.reader)
    return W[:, index], b[index]


def _scale(run: Record, layer: int) -> Float[Tensor, " pos"]:
    return run.cache[f"blocks.{layer}.ln2.hook_scale"][:, 0]
