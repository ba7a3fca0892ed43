"""What reads the residual stream and what writes to it, and the form the course keeps these weights in.

TransformerLens's ``enable_compatibility_mode()`` folds to the same weights through several copies of the
whole model. Writing into the model's own storage needs none, which is what lets a GPT-2-sized model load
within the 2 GB of a Binder session.
"""

from functools import partial
from types import MethodType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components import (
    AttentionBridge,
    BlockBridge,
    EmbeddingBridge,
    NormalizationBridge,
    PosEmbedBridge,
    UnembeddingBridge,
)


def parts(model: TransformerBridge) -> list[torch.nn.Module]:
    """The model's parts in the order in which they run: embeddings, blocks, final norm, unembedding."""
    positions = [model.pos_embed] if model.cfg.positional_embedding_type == "standard" else []
    return [model.embed, *positions, *model.blocks, model.ln_final, model.unembed]


def readers(part: torch.nn.Module) -> list[Float[Tensor, "*heads d_model d_out"]]:
    """Every weight of the model, or of one of its parts, that reads the residual stream.

    Views on the model's storage: in-place edits edit the model.
    """
    match part:
        case TransformerBridge():
            return [W for each in parts(part) for W in readers(each)]
        case BlockBridge():
            return [W for W, _ in (*attention_readers(part), *mlp_readers(part))]
        case UnembeddingBridge():
            return [part.W_U]
    return []


def writers(part: torch.nn.Module) -> list[Float[Tensor, "*rows d_model"]]:
    """Every weight and bias of the model, or of one of its parts, that writes to the residual stream, as views."""
    match part:
        case TransformerBridge():
            return [W for each in parts(part) for W in writers(each)]
        case BlockBridge():
            tensors = [part.attn.W_O, part.attn.b_O, part.mlp.W_out, part.mlp.b_out]
            return [tensor for tensor in tensors if tensor is not None]
        case EmbeddingBridge() | PosEmbedBridge():
            return [part.weight]
    return []


def n_directions(model: TransformerBridge) -> int:
    """How many directions the stream offers: ``d_model``, or one fewer where the writers are centred.

    There nothing is written along all-ones and LayerNorm lets nothing of it be read, so chance has one fewer to choose.
    """
    return model.cfg.d_model - model.info.centred


def attention_readers(
    block: BlockBridge,
) -> list[tuple[Float[Tensor, "heads d_model d_head"], Float[Tensor, "heads d_head"] | None]]:
    """The query, key and value weights of a block with their biases; key and value may have fewer heads."""
    attn = block.attn
    return [(attn.W_Q, attn.b_Q), (attn.W_K, attn.b_K), (attn.W_V, attn.b_V)]


def kv_heads(attn: AttentionBridge) -> Int[Tensor, " head"]:
    """Which key/value head serves each query head: ``attn.W_V[kv_heads(attn)]`` pairs with ``attn.W_O``.

    Ainslie et al. 2023, "GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints":
    neighbouring query heads share one key/value head; where nothing is shared, each head has its own.
    """
    return torch.arange(len(attn.W_Q)) // (len(attn.W_Q) // len(attn.W_K))


def mlp_readers(block: BlockBridge) -> list[tuple[Float[Tensor, "d_model d_mlp"], Float[Tensor, " d_mlp"] | None]]:
    """``W_in`` of a block with its bias, and ``W_gate`` with its own where the MLP is gated."""
    gate = [] if block.mlp.W_gate is None else [(block.mlp.W_gate, block.mlp.b_gate)]
    return [(block.mlp.W_in, block.mlp.b_in), *gate]


def writer_norms(block: BlockBridge) -> list[tuple[NormalizationBridge, list[Tensor]]]:
    """The norms between a block's writers and the stream, each with the weights whose product it normalises."""
    named = {"ln1_post": [block.attn.W_O, block.attn.b_O], "ln2_post": [block.mlp.W_out, block.mlp.b_out]}
    return _present(block.submodules, named)


def head_norms(block: BlockBridge) -> list[tuple[NormalizationBridge, list[Tensor]]]:
    """The norms on queries and on keys, each with the weights that make what it normalises."""
    attn = block.attn
    return _present(attn.submodules, {"q_norm": [attn.W_Q, attn.b_Q], "k_norm": [attn.W_K, attn.b_K]})


def _present(modules: dict, named: dict[str, list[Tensor | None]]) -> list[tuple[NormalizationBridge, list[Tensor]]]:
    return [(modules[name], [W for W in own if W is not None]) for name, own in named.items() if name in modules]


def norms(model: TransformerBridge) -> list[tuple[NormalizationBridge, list[tuple[Tensor, Tensor | None]]]]:
    """Every LayerNorm or RMSNorm between the stream and its readers, with the weights and biases that read it.

    Where blocks read the stream as it is, only the final norm is one.
    """
    per_block = [
        pair
        for block in model.blocks
        for pair in ((block.ln1, attention_readers(block)), (block.ln2, mlp_readers(block)))
        if not isinstance(pair[0].original_component, torch.nn.Identity)
    ]
    return [*per_block, (model.ln_final, [(model.unembed.W_U, model.unembed.b_U)])]


def fold_norm(norm: NormalizationBridge, reading: list[tuple[Tensor, Tensor | None]]) -> None:
    """Move a norm's gain and bias into the weights that read it, in place.

    ``(xhat * w + b) @ W + b_W == xhat @ (w[:, None] * W) + (b @ W + b_W)``. A LayerNorm's output has mean
    zero, so the mean row of its readers never matters and is removed too (Elhage et al. 2021, "A Mathematical
    Framework for Transformer Circuits", on handling layer normalization; TransformerLens ``fold_layer_norm``).
    """
    bias = getattr(norm, "bias", None)
    for W, b_W in reading:
        if bias is not None:
            b_W += bias @ W  # ``families.complete_blocks`` sees to it that there is one
        W *= norm.weight[:, None]
        if bias is not None:
            W -= W.mean(dim=-2, keepdim=True)
    vars(norm)["gain"] = norm.weight.clone()  # for the lesson on what folding is for
    norm.weight.fill_(1.0)
    if bias is not None:
        bias.zero_()


def fold_value_bias(attn: AttentionBridge) -> None:
    """Move the value biases into the output bias: a pattern's rows sum to one, so ``b_V @ W_O`` is a constant."""
    if attn.b_V is None or attn.b_O is None:
        return
    attn.b_O.add_(torch.einsum("hd,hdm->m", attn.b_V[kv_heads(attn)], attn.W_O))
    attn.b_V.zero_()


def fold_into_makers(norm: NormalizationBridge, made: list[Tensor]) -> None:
    """Move the gain of a norm on queries, keys or what is written into the weights that make it, in place.

    ``x / rms(x) * g == (x * g) / rms((x * g) / g)``: the weights make ``x * g`` from now on, and the norm, which
    keeps ``1 / g`` as its weight, divides that by one number a token (``hook_scale``). After a writer that weight
    reads what was written, so in a rotated stream it is a matrix. A gain of zero counts as one millionth.
    """
    gain = torch.where(norm.weight == 0, 1e-6, norm.weight)
    for W in made:
        # A norm over one head has d_head gains for every head, one over all heads has its own for each.
        W *= gain.reshape(-1, *[1] * (W.ndim - 2), W.shape[-1]) if len(gain) != W.shape[-1] else gain
    component: Any = norm.original_component
    eps = component.eps if hasattr(component, "eps") else component.variance_epsilon
    component.weight.copy_(1 / gain)
    vars(norm)["forward"] = MethodType(partial(_divide, eps=eps), norm)  # as usual it would land on the module it wraps


def _divide(norm: NormalizationBridge, x: Float[Tensor, "*pos d"], *, eps: float) -> Float[Tensor, "*pos d"]:
    x, weight = norm.hook_in(x), norm.weight
    own = x * weight if weight.ndim == 1 else x @ weight
    scale = norm.hook_scale((own.square().mean(dim=-1, keepdim=True) + eps).sqrt())
    return norm.hook_out(norm.hook_normalized(x / scale))


@torch.no_grad()
def fold_and_centre(model: TransformerBridge) -> bool:
    """Fold every norm into its readers; in LayerNorm models also centre what writes to the stream.

    The function computed stays the same, logits included (the unembedding is not centred over the
    vocabulary). Returns whether the writers were centred: RMSNorm keeps the mean, so there centring would
    change the function and is left out.
    """
    is_layer_norm = getattr(model.ln_final, "bias", None) is not None
    for norm, reading in norms(model):
        fold_norm(norm, reading)
    for block in model.blocks:
        fold_value_bias(block.attn)
        for norm, made in (*writer_norms(block), *head_norms(block)):
            fold_into_makers(norm, made)
    for writer in writers(model) if is_layer_norm else []:
        writer -= writer.mean(dim=-1, keepdim=True)
    return is_layer_norm
