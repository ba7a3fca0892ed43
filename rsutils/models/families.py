"""What sets the decoder families apart, and the one form that the course gives them all.

A family is described by its properties. Most of them are brought into one form before anything is measured: a gain
stored as its distance from one becomes the gain itself, constants that multiply what is written or read go into the
weights, positions count from zero, and every block has a norm of its own before each of its two readers. What is left
(norms after writers, norms on queries and keys, capped scores and logits, attention to near tokens alone) is asked for
in ``rsutils.models.properties``.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import nn
from transformer_lens.conversion_utils.conversion_steps import BaseTensorConversion
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components import (
    BlockBridge,
    NormalizationBridge,
    RMSNormalizationBridge,
)


@dataclass(frozen=True)
class Family:
    """What a family of decoders has: the rest is as in GPT-2.

    Attributes:
        norm: ``"LayerNorm"`` or ``"RMSNorm"``.
        where: the norms of a block stand ``"before"`` its readers, ``"after"`` its writers, or at ``"both"``.
        gain: how it is stored: ``"as is"``, ``"less one"``, or ``"none"`` where a norm has no gain.
        gated: whether the MLP has a gate.
        positions: ``"learned"``, ``"rotary"`` (halves of a head turn) or ``"rotary pairs"`` (neighbours turn).
        parallel: whether attention and MLP read the same stream.
        one_norm: whether they also share one norm.
        head_norms: whether queries and keys are normalised inside the head.
    """

    norm: str = "LayerNorm"
    where: str = "before"
    gain: str = "as is"
    gated: bool = False
    positions: str = "rotary"
    parallel: bool = False
    one_norm: bool = False
    head_norms: bool = False


_LLAMA = Family("RMSNorm", gated=True)
FAMILIES = {
    "gemma": Family("RMSNorm", gain="less one", gated=True),
    "gemma2": Family("RMSNorm", "both", "less one", gated=True),
    "gemma3_text": Family("RMSNorm", "both", "less one", gated=True, head_norms=True),
    "gpt2": Family(positions="learned"),
    "gpt_neo": Family(positions="learned"),
    "gpt_neox": Family(parallel=True),
    "gptj": Family(positions="rotary pairs", parallel=True, one_norm=True),
    "granite": _LLAMA,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "olmo": Family(gain="none", gated=True),
    "olmo2": Family("RMSNorm", "after", gated=True, head_norms=True),
    "opt": Family(positions="learned"),
    "phi": Family(parallel=True, one_norm=True),
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": Family("RMSNorm", gated=True, head_norms=True),
    "smollm3": _LLAMA,
    "stablelm": Family(gated=True),
}
# What other decoders have that no formula of the course covers.
IN_THE_WAY = {
    "bloom": "it adds to the scores a number for each distance (ALiBi), and normalises its embedding",
    "codegen": "it mixes queries, keys and values in one shuffled matrix",
    "cohere": "it multiplies its logits, and its blocks run in parallel behind one LayerNorm without a bias",
    "falcon": "its heads share keys or add a number for each distance, depending on the version",
    "gemma3": "it sees images too; of Gemma 3 the course reads the models of text alone (gemma3_text)",
    "gpt_bigcode": "its heads share one key and one value, in a matrix of its own layout",
    "gpt_oss": "its MLP sends each token to a few of many experts",
    "mamba": "it has no attention",
    "mixtral": "its MLP sends each token to a few of many experts",
    "mpt": "it adds to the scores a number for each distance (ALiBi)",
    "olmoe": "its MLP sends each token to a few of many experts",
    "qwen2_moe": "its MLP sends each token to a few of many experts",
    "qwen3_moe": "its MLP sends each token to a few of many experts",
}


def in_the_way(config: transformers.PretrainedConfig) -> str:
    """What a model of a known family has, by its own configuration, that the course cannot read; empty if nothing."""

    def is_on(name: str) -> bool:
        return bool(getattr(config, name, None))

    if getattr(config, "do_layer_norm_before", True) is False:
        return "its norms stand on the stream itself, after each addition"
    if getattr(config, "word_embed_proj_dim", config.hidden_size) != config.hidden_size:
        return "its embedding is narrower than its stream"
    if is_on("clip_qkv"):
        return "it cuts off large queries, keys and values"
    if is_on("qk_layernorm"):
        return "its heads normalise queries and keys with a LayerNorm"
    if config.model_type == "stablelm" and is_on("use_parallel_residual"):
        return "it runs attention and MLP in parallel, as no other StableLM does"
    return ""


def context(config: transformers.PretrainedConfig, n_ctx: int) -> int:
    """How many tokens of ``n_ctx`` turn by one set of frequencies: LongRoPE has another for longer texts."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(kind for kind in rope.values() if isinstance(kind, dict))]
    longest = [kind["original_max_position_embeddings"] for kind in kinds if kind.get("rope_type") == "longrope"]
    return min([n_ctx, *longest])


def make_plain(hf_model: transformers.PreTrainedModel) -> None:
    """Bring a Hugging Face model into the form that ``Family`` describes, in place; it computes the same function."""
    family = FAMILIES[hf_model.config.model_type]
    for parent, name, module in _children(hf_model):
        kind = type(module).__name__
        if family.gain == "none" and kind.endswith("LayerNorm"):
            setattr(parent, name, nn.LayerNorm(hf_model.config.hidden_size, eps=1e-5))
        elif family.gain == "less one" and kind.endswith("RMSNorm"):
            norm = nn.RMSNorm(module.weight.shape, eps=module.eps)
            norm.weight.data = 1 + module.weight.data
            setattr(parent, name, norm)
        elif hasattr(module, "offset") and kind.endswith("Embedding"):
            module.weight = nn.Parameter(module.weight[module.offset :].detach().clone())
            module.num_embeddings, module.offset = len(module.weight), 0
        elif kind == "GPTNeoSelfAttention":
            _divide_scores(module)


@torch.no_grad()
def fold_constants(hf_model: transformers.PreTrainedModel) -> None:
    """Multiply the constants that scale embedding, writes, scores and logits into the weights, in place.

    The embedding and the unembedding have weights of their own by now.
    """
    config = hf_model.config
    embed: Any = hf_model.get_input_embeddings()
    unembed: Any = hf_model.get_output_embeddings()
    base: Any = hf_model.base_model
    if hasattr(embed, "embed_scale"):
        embed.weight *= embed.embed_scale
        embed.embed_scale.fill_(1.0)
        embed.scalar_embed_scale = 1.0
    if hasattr(base, "embedding_multiplier"):
        embed.weight *= base.embedding_multiplier
        base.embedding_multiplier = config.embedding_multiplier = 1.0
    if hasattr(config, "logits_scaling"):
        unembed.weight /= config.logits_scaling
        config.logits_scaling = 1.0
    for _, _, module in _children(hf_model):
        if hasattr(module, "residual_multiplier"):
            for linear in (module.self_attn.o_proj, module.mlp.down_proj):
                for parameter in linear.parameters():
                    parameter *= module.residual_multiplier
            module.residual_multiplier = config.residual_multiplier = 1.0
        d_head = getattr(module, "head_dim", None)
        if d_head and isinstance(getattr(module, "scaling", None), float) and module.scaling != d_head**-0.5:
            # A norm would undo what its own input is multiplied with.
            first = getattr(module, "q_norm", None) or module.q_proj
            for parameter in first.parameters():
                parameter *= module.scaling * d_head**0.5
            module.scaling = d_head**-0.5


def complete_blocks(model: TransformerBridge, family: Family) -> None:
    """Give every block a norm before each of its two readers, and LayerNorm's readers the biases that it folds into.

    Where attention and MLP share a norm, the MLP gets a copy; where the stream is read as it is, the norm does nothing.
    """
    model.cfg.rmsnorm_uses_offset = False  # ``make_plain`` took it out
    for norm in model.modules():
        if isinstance(norm, NormalizationBridge):
            norm._uses_weight_offset_override = False  # else an edited scale brings it back
    for block in model.blocks:
        if family.one_norm:
            _own_norm(block, model.cfg)
        if family.where == "after":
            _no_norm(block, model.cfg)
        # Where Hugging Face flattens batch and positions, TransformerLens restores them at some of the norm's hooks.
        for hook in (block.ln2.hook_scale, block.ln2.hook_normalized):
            if inner := block.ln2.hook_in.hook_conversion:
                hook.hook_conversion = _Restored(inner)
        if family.norm == "LayerNorm":
            for linear in _reading(block):
                if linear.bias is None:
                    linear.bias = nn.Parameter(torch.zeros(linear.weight.shape[0]))


class _Restored(BaseTensorConversion):
    """A hook's conversion that hands back the very tensor it was given where nobody changed it.

    TransformerLens's norms take another form returned for an edit and compute by another route, off by rounding.
    """

    def __init__(self, inner: BaseTensorConversion):
        super().__init__()
        self.inner = inner

    def handle_conversion(self, input_value, *full_context):
        self.given, self.shown = input_value, self.inner.handle_conversion(input_value)
        return self.shown

    def revert(self, input_value, *full_context):
        return self.given if input_value is self.shown else self.inner.revert(input_value)


def _children(root: nn.Module) -> Iterator[tuple[Any, str, Any]]:
    """Every module below ``root`` with its parent and its name there; the list is made first, for it may change."""
    return iter([(parent, name, child) for parent in root.modules() for name, child in parent.named_children()])


def _divide_scores(attn: Any) -> None:
    """Scores that are not divided by ``sqrt(d_head)`` are from now on, and the queries are that much larger."""
    attn.q_proj.weight.data *= attn.head_dim**0.5
    inner = attn._attn
    attn._attn = lambda query, *rest: inner(query * attn.head_dim**-0.5, *rest)


def _reading(block: BlockBridge) -> list[nn.Linear]:
    mlp = [block.mlp.submodules[name] for name in ("gate", "in") if name in block.mlp.submodules]
    bridges = [*(block.attn.submodules[name] for name in "qkv"), *mlp]
    return [bridge.original_component for bridge in bridges if isinstance(bridge.original_component, nn.Linear)]


def _add(block: BlockBridge, name: str, bridge: NormalizationBridge, norm: nn.Module) -> NormalizationBridge:
    bridge.set_original_component(norm)
    bridge.eval()
    block.submodules[name] = bridge
    block.add_module(name, bridge)
    return bridge


def _own_norm(block: BlockBridge, cfg) -> None:
    ln1 = block.ln1
    ln2 = _add(block, "ln2", NormalizationBridge("ln2", cfg), copy.deepcopy(ln1.original_component))
    ln2.use_native_layernorm_autograd = ln1.use_native_layernorm_autograd
    entered: list[torch.Tensor] = []

    def keep(_: nn.Module, args: tuple) -> None:
        entered[:] = args[:1]

    def read(_: nn.Module, args: tuple) -> tuple:
        return (ln2(entered.pop()), *args[1:])

    ln1.register_forward_pre_hook(keep)
    block.mlp.register_forward_pre_hook(read)


def _no_norm(block: BlockBridge, cfg) -> None:
    ln1, ln2 = (_add(block, name, RMSNormalizationBridge(name, cfg), nn.Identity()) for name in ("ln1", "ln2"))

    def attend(_: nn.Module, args: tuple, kwargs: dict) -> tuple:
        if args:
            return (ln1(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": ln1(kwargs["hidden_states"])}

    block.attn.register_forward_pre_hook(attend, with_kwargs=True)
    block.mlp.register_forward_pre_hook(lambda _, args: (ln2(args[0]), *args[1:]))
