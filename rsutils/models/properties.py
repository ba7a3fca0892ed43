"""What a loaded model has beyond the course's formulas, as its modules say: lessons ask here, never for a name."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import ActivationCache
from transformer_lens.model_bridge import TransformerBridge

from rsutils.models.weights import head_norms, writer_norms


def beyond_attention(model: TransformerBridge, layer: int) -> dict[str, str]:
    """What a layer's attention does besides ``softmax(q @ k.T / sqrt(d_head))`` on queries and keys turned in halves.

    By what it is (``"head norms"``, ``"cap"``, ``"window"``, ``"pairs"``, ``"no turns"``), each as the rest of a
    sentence that begins with "this layer"; none for most models.
    """
    attn, cap = model.blocks[layer].attn.original_component, _cap(model, "attn_scores_soft_cap")
    near = window(model, layer)
    said = {
        "head norms": ("normalises its queries and keys", bool(head_norms(model.blocks[layer]))),
        "cap": (f"caps its scores at {cap:g}", cap > 0),
        "window": (f"looks {near - 1} tokens back at most", 0 < near < model.cfg.n_ctx),
        "pairs": ("turns neighbouring coordinates instead of halves", hasattr(attn, "embed_positions")),
        "no turns": ("does not turn its queries and keys", not getattr(attn, "use_rope", True)),
    }
    return {what: sentence for what, (sentence, is_so) in said.items() if is_so}


def turns_halves(model: TransformerBridge, layer: int) -> bool:
    """Whether a layer turns queries and keys by halves, as ``hook_cos`` and ``hook_sin`` say."""
    attn = model.blocks[layer].attn.original_component
    is_rotary = model.cfg.positional_embedding_type == "rotary"
    return is_rotary and bool(getattr(attn, "use_rope", True)) and not hasattr(attn, "embed_positions")


def rotate_halves(
    x: Float[Tensor, "*#batch #pos d_head"],
    cos: Float[Tensor, "*#batch #pos d_rotary"],
    sin: Float[Tensor, "*#batch #pos d_rotary"],
) -> Float[Tensor, "*#batch #pos d_head"]:
    """``x`` turned by halves as rotary positions do; coordinates beyond ``d_rotary`` stay as they are."""
    rotary, rest = x.split([cos.shape[-1], x.shape[-1] - cos.shape[-1]], dim=-1)
    first, second = rotary.chunk(2, dim=-1)
    return torch.cat([rotary * cos + torch.cat([-second, first], dim=-1) * sin, rest], dim=-1)


def window(model: TransformerBridge, layer: int) -> int:
    """How many tokens, its own included, a layer's attention sees; 0 where it sees all before."""
    attn = model.blocks[layer].attn.original_component
    local = getattr(attn, "attention_type", None) == "local"  # GPT-Neo keeps its window in the mask
    return int(attn.config.window_size if local else getattr(attn, "sliding_window", None) or 0)


def special(model: TransformerBridge) -> list[str]:
    """Sentences on what the model has beyond the course's formulas, and what becomes of it here."""
    layers = range(model.cfg.n_layers)
    cap, scores_cap = (_cap(model, name) for name in ("output_logits_soft_cap", "attn_scores_soft_cap"))
    said = {
        "writers are normalised: gains are in the writing weights, the rest is one number a token": any(
            map(writer_norms, model.blocks)
        ),
        "queries and keys are normalised: W_QK gives scores up to two numbers, one a token": any(
            map(head_norms, model.blocks)
        ),
        f"scores of attention are capped at {scores_cap:g}": scores_cap > 0,
        f"logits are capped at {cap:g}: what writes add to a logit is counted before the cap": cap > 0,
        "some layers attend to near tokens alone": any(0 < window(model, layer) < model.cfg.n_ctx for layer in layers),
        "some layers know no positions": any(
            not getattr(block.attn.original_component, "use_rope", True) for block in model.blocks
        ),
    }
    return [sentence for sentence, is_so in said.items() if is_so]


def writer_scale(model: TransformerBridge, cache: ActivationCache, layer: int, writer: str) -> Float[Tensor, "*pos 1"]:
    """What the norm after a layer's ``"attn"`` or ``"mlp"`` divided by at each token; one where there is no norm.

    ``attn_out = (z @ W_O + b_O) / writer_scale``, with its gain in ``W_O``.
    """
    name = f"blocks.{layer}.{_after(writer)}.hook_scale"
    if _after(writer) in model.blocks[layer].submodules:
        return cache[name]
    return cache[f"blocks.{layer}.hook_{writer}_out"].new_ones(()).expand(1, 1)


def divide_by_writer_norms(model: TransformerBridge, cache: ActivationCache) -> None:
    """Divide ``hook_z`` and ``hook_post`` in a cache by the norms after their writers, in place, where there are any.

    Times the writing weights they are then what was written, as they are in a model without such norms.
    """
    for layer, writer, name in _activations(model):
        if name in cache.cache_dict:
            z, scale = cache.cache_dict[name], writer_scale(model, cache, layer, writer)
            cache.cache_dict[name] = z / scale.reshape(*scale.shape[:-1], *[1] * (z.ndim - scale.ndim + 1))


def _activations(model: TransformerBridge) -> Iterator[tuple[int, str, str]]:
    """Layer, writer and activation of every writer that a norm follows."""
    for layer, block in enumerate(model.blocks):
        for writer, name in (("attn", "attn.hook_z"), ("mlp", "mlp.hook_post")):
            if _after(writer) in block.submodules:
                yield layer, writer, f"blocks.{layer}.{name}"


def _after(writer: str) -> str:
    return {"attn": "ln1_post", "mlp": "ln2_post"}[writer]


def _cap(model: TransformerBridge, name: str) -> float:
    return float(getattr(model.cfg, name, None) or 0)
