"""Chapter 05: who writes what a head's queries and keys read, and what is lost when one such path is cut."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Module
from transformer_lens import ActivationCache
from transformer_lens.model_bridge import TransformerBridge

from rsutils.errors import CourseError
from rsutils.heads.attention import attend, head_scores
from rsutils.heads.scores import rotation
from rsutils.models import check_index, divide_by_writer_norms, kv_heads, shown


@dataclass(frozen=True)
class Split:
    """How much one head prefers the induction key, split by what wrote its query and what wrote its keys.

    Attributes:
        destination: the head.
        names: what wrote: the embedding, positions, each head and each MLP of earlier layers, and last the biases.
        terms: their sum is the preference.
        measured: the preference that the model itself computes.
    """

    destination: str
    names: list[str]
    terms: Float[Tensor, "query_source key_source"]
    measured: float

    @property
    def shares(self) -> Float[Tensor, "query_source key_source"]:
        """Each term's part of the whole."""
        return self.terms / self.terms.sum()

    @property
    def worth(self) -> dict[str, Float[Tensor, " source"]]:
        """What each source is worth in the queries (``"Q"``) and in the keys (``"K"``), as parts of the whole."""
        return {"Q": self.shares.sum(dim=1), "K": self.shares.sum(dim=0)}


@torch.no_grad()
def split_preference(model: TransformerBridge, ids: Int[Tensor, "batch pos"], layer: int, head: int) -> Split:
    """Split how much a head prefers, on ``repeated_tokens``, the key after the first copy to all its other keys.

    The preference is that key's attention score before the softmax less the mean of the others', averaged over the
    queries of the second copy. Query and key each read a sum of writes over the norm's scale, so a score is a sum of
    one term for every two writes (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits", on the
    QK circuit with composition). The sum is exact unless queries
    and keys are normed, scores are capped or far keys are not seen: compare it with ``measured``.

    Raises:
        CourseError: there is no such head, or the rows are not those of ``repeated_tokens``.
    """
    layer, head = check_index("layer", layer, model.cfg.n_layers), check_index("head", head, model.cfg.n_heads)
    attend(model, ids)  # refuses other rows
    needed = ("resid_pre", "pos_embed", "attn.hook_z", "mlp_out", "hook_scale", "hook_attn_scores", "hook_pattern")
    _, cache = model.run_with_cache(ids, names_filter=lambda name: name.endswith(needed))
    divide_by_writer_norms(model, cache)
    attn, group = model.blocks[layer].attn, kv_heads(model.blocks[layer].attn)[head]
    turns = torch.stack([rotation(model, position, layer) for position in range(ids.shape[1])])
    growth = turns[0].diagonal()
    names, written = _writes_before(model, cache, layer)
    read = written / cache[f"blocks.{layer}.ln1.hook_scale"]
    sides = []
    # What queries and keys grow by when they turn is in the matrices of both: the keys' go without.
    for W, b, own, turn in ((attn.W_Q, attn.b_Q, head, turns), (attn.W_K, attn.b_K, group, turns / growth)):
        side = read @ W[own]
        if b is not None:
            side[-1] += b[own]
        sides.append(torch.einsum("sbpd,pde->sbpe", side, turn))
    second = slice((ids.shape[1] + 1) // 2, None)
    weights = _hit_less_others(ids.shape[1])
    preferred = torch.einsum("qk,sbkd->sbqd", weights, sides[1])
    terms = torch.einsum("sbqd,tbqd->st", sides[0][:, :, second], preferred) / (len(ids) * len(weights))
    # The logarithm of attention is the score up to a constant. Where attention underflows only the score is left, which
    # TransformerLens does not give for every architecture as it enters the softmax.
    scores = cache["pattern", layer][:, head, second].log()
    if not scores[:, weights != 0].isfinite().all():
        scores = cache["attn_scores", layer][:, head, second]
    measured = torch.where(weights != 0, scores * weights, 0).sum(-1).mean()
    return Split(f"L{layer}H{head}", names, terms / model.cfg.d_head**0.5, measured.item())


class Cut(NamedTuple):
    """What is lost where one head's message is kept from one input of another; NaN where none is later.

    Attributes:
        pattern: mean total variation distance (0 to 1) between the destination's attention with and without the
            message, over the queries of the second copy.
        induction: how far the destination's induction score falls.
    """

    pattern: Float[Tensor, "source destination"]
    induction: Float[Tensor, "source destination"]


@torch.no_grad()
def cut_each_path(model: TransformerBridge, ids: Int[Tensor, "batch pos"], mode: str) -> Cut:
    """Keep what each head tells from the queries (``"Q"``) or from the keys (``"K"``) of every later head, alone.

    That input reads the stream with the source's output replaced by its mean over batch and positions, normed anew.
    Every other input, and all that lies between the two heads, stays as it was: what is cut is the direct path (Wang
    et al. 2022, "Interpretability in the Wild", section 3.1, on path patching). So no more of the model has to run
    anew than the attention of each later layer, on what it was given.

    Raises:
        CourseError: the rows are not those of ``repeated_tokens``, or the mode is neither ``"Q"`` nor ``"K"``.
    """
    if mode not in ("Q", "K"):
        raise CourseError(f"expected a mode among Q, K, got {shown(mode)}: values do not move attention")
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    before, _ = attend(model, ids)
    induction = head_scores(before)["induction"]
    attentions, cache = _run_to_repeat(model, ids)
    second = slice((ids.shape[1] + 1) // 2, None)
    found = Cut(*(torch.full((n_layers * n_heads,) * 2, torch.nan) for _ in range(2)))
    unaware: list[Tensor] = []
    after: list[Tensor] = []
    hooks: list[tuple[str, Callable]] = []
    for layer in range(1, n_layers):
        hooks.append((f"blocks.{layer}.attn.{mode.lower()}.hook_in", lambda _, hook: unaware.pop()))
        hooks.append((f"blocks.{layer}.attn.hook_pattern", lambda pattern, hook: after.append(pattern)))
    with model.hooks(fwd_hooks=hooks):
        for source in range((n_layers - 1) * n_heads):
            layer, head = divmod(source, n_heads)
            z = cache["z", layer][:, :, head]
            told = (z - z.mean(dim=(0, 1))) @ model.blocks[layer].attn.W_O[head]
            after.clear()
            for later in range(layer + 1, n_layers):
                unaware.append(model.blocks[later].ln1(cache["resid_pre", later] - told))
                attentions[later]()
            pattern, columns = torch.stack(after), slice((layer + 1) * n_heads, None)
            distance = (pattern - before[layer + 1 :])[..., second, :].abs().sum(-1).mean(dim=(1, 3)) / 2
            found.pattern[source, columns] = distance.flatten()
            found.induction[source, columns] = (induction[layer + 1 :] - head_scores(pattern)["induction"]).flatten()
    return found


def _run_to_repeat(
    model: TransformerBridge, ids: Int[Tensor, "batch pos"]
) -> tuple[list[Callable[[], object]], ActivationCache]:
    """What runs each layer's attention once more as it ran on these rows, and what its heads and readers were given."""
    attentions: list[Callable[[], object]] = []

    def remember(attn: Module, args: tuple, kwargs: dict) -> None:
        attentions.append(partial(attn, *args, **kwargs))

    needed = ("hook_resid_pre", "attn.hook_z", "hook_scale")
    handles = [block.attn.register_forward_pre_hook(remember, with_kwargs=True) for block in model.blocks]
    try:
        # A cache of keys and values would grow with every repetition.
        _, cache = model.run_with_cache(ids, names_filter=lambda name: name.endswith(needed), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    divide_by_writer_norms(model, cache)
    return attentions, cache


def _writes_before(
    model: TransformerBridge, cache: ActivationCache, layer: int
) -> tuple[list[str], Float[Tensor, "source batch pos d_model"]]:
    """All that the stream before a layer is the sum of, by head and MLP; what is left over is biases."""
    start = cache["resid_pre", 0]
    named = {"embed": start}
    if "hook_pos_embed" in cache:
        position = cache["hook_pos_embed"].expand_as(start)
        named = {"embed": start - position, "pos_embed": position}
    for earlier in range(layer):
        for head, W_O in enumerate(model.blocks[earlier].attn.W_O):
            named[f"L{earlier}H{head}"] = cache["z", earlier][:, :, head] @ W_O
        named[f"MLP {earlier}"] = cache["mlp_out", earlier]
    written = torch.stack([*named.values(), cache["resid_pre", layer]])
    written[-1] -= written[:-1].sum(dim=0)
    return [*named, "biases"], written


def _hit_less_others(n_pos: int) -> Float[Tensor, "query key"]:
    """What takes the scores of a query of the second copy to that of its induction key less the mean of its others."""
    length = (n_pos - 1) // 2
    query, key = torch.arange(length + 1, n_pos)[:, None], torch.arange(n_pos)
    hit = key == query - length + 1
    return hit.float() - (~hit & (key <= query)).float() / query
