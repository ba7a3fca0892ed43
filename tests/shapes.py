"""Small random models of every shape the course supports, with norm gains and biases that are random too.

The default initialisation (gain 1, bias 0) would let a test pass without any folding at all.
"""

import copy
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from rsutils.models.families import FAMILIES

SHARED = {"vocab_size": 257, "bos_token_id": 0, "eos_token_id": 0}
GROUPED = {
    "hidden_size": 66,
    "intermediate_size": 71,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 14,
    "max_position_embeddings": 61,
    "tie_word_embeddings": True,
}
UNSTATED_HEAD = {key: value for key, value in GROUPED.items() if key != "head_dim"}
PAD = {"pad_token_id": 0}
LOCAL = {"sliding_window": 7, "layer_types": ["sliding_attention", "full_attention"] * 2 + ["sliding_attention"]}
CONFIGS = {
    "gpt2": transformers.GPT2Config(n_positions=61, n_embd=65, n_layer=3, n_head=5, n_inner=71, **SHARED),
    "gpt_neox": transformers.GPTNeoXConfig(
        hidden_size=70,
        intermediate_size=71,
        num_hidden_layers=3,
        num_attention_heads=5,
        max_position_embeddings=61,
        **SHARED,
    ),
    "llama": transformers.LlamaConfig(**GROUPED, **SHARED),
    "mistral": transformers.MistralConfig(**GROUPED, sliding_window=None, **SHARED),
    "qwen2": transformers.Qwen2Config(**UNSTATED_HEAD | {"hidden_size": 84}, **SHARED),
}
# The families whose form differs from those above; the tests that run for every model run for each of these too.
CONFIGS |= {
    "gemma": transformers.GemmaConfig(**GROUPED, **SHARED, **PAD),
    "gemma2": transformers.Gemma2Config(
        **GROUPED,
        **LOCAL,
        query_pre_attn_scalar=11,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=3.0,
        **SHARED,
        **PAD,
    ),
    "gemma3_text": transformers.Gemma3TextConfig(**GROUPED, **LOCAL, query_pre_attn_scalar=11, **SHARED, **PAD),
    "gpt_neo": transformers.GPTNeoConfig(
        hidden_size=65,
        num_layers=3,
        attention_types=[[["global", "local"], 1], [["global"], 1]],
        num_heads=5,
        intermediate_size=71,
        window_size=7,
        max_position_embeddings=61,
        **SHARED,
    ),
    "gptj": transformers.GPTJConfig(n_positions=61, n_embd=70, n_layer=3, n_head=5, rotary_dim=6, n_inner=71, **SHARED),
    "granite": transformers.GraniteConfig(
        **UNSTATED_HEAD | {"hidden_size": 84},
        embedding_multiplier=3.0,
        logits_scaling=0.7,
        residual_multiplier=0.3,
        attention_multiplier=0.13,
        **SHARED,
        **PAD,
    ),
    "olmo": transformers.OlmoConfig(**UNSTATED_HEAD | {"hidden_size": 84}, **SHARED, **PAD),
    "olmo2": transformers.Olmo2Config(**UNSTATED_HEAD | {"hidden_size": 84}, **SHARED, **PAD),
    "opt": transformers.OPTConfig(
        hidden_size=65,
        num_hidden_layers=3,
        ffn_dim=71,
        max_position_embeddings=61,
        num_attention_heads=5,
        word_embed_proj_dim=65,
        **SHARED,
    ),
    "phi": transformers.PhiConfig(
        **UNSTATED_HEAD | {"hidden_size": 96, "num_key_value_heads": 6, "tie_word_embeddings": False}, **SHARED, **PAD
    ),
    "phi3": transformers.Phi3Config(**UNSTATED_HEAD | {"hidden_size": 84}, **SHARED, **PAD),
    "qwen3": transformers.Qwen3Config(**GROUPED, **SHARED),
    "smollm3": transformers.SmolLM3Config(
        **UNSTATED_HEAD | {"hidden_size": 84}, no_rope_layers=[1, 0, 1, 1, 0], **SHARED, **PAD
    ),
    "stablelm": transformers.StableLmConfig(**UNSTATED_HEAD | {"hidden_size": 96}, use_qkv_bias=True, **SHARED, **PAD),
}
# What sets families apart is in these: learned positions; parallel blocks; RMSNorm, a gate and shared keys; norms at
# both sides, caps and local attention; norms after writers and on queries and keys; neighbouring pairs and one norm.
UNLIKE = ("gpt2", "gpt_neox", "llama", "gemma2", "olmo2", "gptj")
every_family = pytest.mark.parametrize("model", CONFIGS, indirect=True)


def byte_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """A tokenizer with one token a byte, so that any text encodes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(["<|endoftext|>", *alphabet])}, merges=[]))
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )


def random_model(config: transformers.PretrainedConfig, seed: int = 0) -> transformers.PreTrainedModel:
    """A model of this configuration whose every parameter is random, gains around one."""
    generator = torch.Generator().manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    is_less_one = FAMILIES[config.model_type].gain == "less one"
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        is_gain = parameter.ndim == 1 and name.endswith("weight")
        scale = 0.3 if is_gain else 0.2 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5
        parameter.data = noise * scale + (is_gain and not is_less_one)
    return model.eval()


def save(kind: str, directory: Path, n_layers: int | None = None, seed: int = 0) -> Path:
    """Write a random model of this kind with its tokenizer as a Hugging Face directory and return the directory."""
    config = copy.deepcopy(CONFIGS[kind])
    if n_layers is not None:
        config.num_hidden_layers = n_layers
        for name in ("layer_types", "no_rope_layers", "attention_layers"):
            if kinds := getattr(config, name, None):
                setattr(config, name, kinds[:n_layers])
    random_model(config, seed).save_pretrained(directory)
    byte_tokenizer().save_pretrained(directory)
    return directory
