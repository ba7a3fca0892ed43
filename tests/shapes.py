"""Small random models of every shape the course supports, with norm gains and biases that are random too.

The default initialisation (gain 1, bias 0) would let a test pass without any folding at all.
"""

import copy
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

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
    "qwen2": transformers.Qwen2Config(
        **{k: v for k, v in GROUPED.items() if k != "head_dim"} | {"hidden_size": 84}, **SHARED
    ),
}


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
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        is_gain = parameter.ndim == 1 and name.endswith("weight")
        scale = 0.3 if is_gain else 0.2 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5
        parameter.data = noise * scale + is_gain
    return model.eval()


def save(kind: str, directory: Path, n_layers: int | None = None, seed: int = 0) -> Path:
    """Write a random model of this kind with its tokenizer as a Hugging Face directory and return the directory."""
    config = copy.deepcopy(CONFIGS[kind])
    if n_layers is not None:
        config.num_hidden_layers = n_layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:n_layers]
    random_model(config, seed).save_pretrained(directory)
    byte_tokenizer().save_pretrained(directory)
    return directory
