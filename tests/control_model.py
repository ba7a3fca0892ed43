"""A trained model without induction, for the tests of what finds it: GlassLM's English model out of a package.

The pip package ``glassllm`` carries four layers of LLaMA's make as a NumPy file (1.6 MB): RMSNorm, rotary positions
over neighbouring coordinates, shared keys, a gated MLP and one matrix for embedding and unembedding.
"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import torch
import transformers
from packages import BUILD, fetch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

DIRECTORY = BUILD / "models" / "glassllm-en"
PACKAGE, VERSION = "glassllm", "0.1.0"
SPECIALS = ["<pad>", "<unk>", "<bos>", "<eos>"]


def control_model() -> Path | None:
    """The model's directory, made on the first call; None where the package cannot be had."""
    if not (DIRECTORY / "tokenizer.json").is_file():
        wheel = fetch(PACKAGE, VERSION)
        if wheel is None:
            return None
        with zipfile.ZipFile(wheel) as archive:
            weights = dict(np.load(io.BytesIO(archive.read("glassllm/weights/en.npz"))))
            words = json.loads(archive.read("glassllm/weights/en.tokenizer.json"))
        convert(weights)
        tokenizer(words).save_pretrained(DIRECTORY)  # last, as the mark of a finished directory
    return DIRECTORY


def convert(weights: dict[str, np.ndarray]) -> None:
    """Write the weights as a LLaMA model of transformers, which rotates halves of a head and not neighbours."""
    config = json.loads(str(weights.pop("__config__")))
    llama = transformers.LlamaConfig(
        vocab_size=config["vocab_size"],
        hidden_size=config["d_model"],
        intermediate_size=weights["blocks.0.ffn.W1"].shape[1],
        num_hidden_layers=config["n_layers"],
        num_attention_heads=config["n_heads"],
        num_key_value_heads=config["n_kv_heads"],
        max_position_embeddings=config["max_len"],
        rope_parameters={"rope_type": "default", "rope_theta": config["rope_base"]},
        rms_norm_eps=config["eps"],
        tie_word_embeddings=True,
        bos_token_id=SPECIALS.index("<bos>"),
        eos_token_id=SPECIALS.index("<eos>"),
        pad_token_id=SPECIALS.index("<pad>"),
    )
    names = {
        "norm1.gamma": "input_layernorm.weight",
        "norm2.gamma": "post_attention_layernorm.weight",
        "attn.W_Q": "self_attn.q_proj.weight",
        "attn.W_K": "self_attn.k_proj.weight",
        "attn.W_V": "self_attn.v_proj.weight",
        "attn.W_O": "self_attn.o_proj.weight",
        "ffn.W1": "mlp.gate_proj.weight",
        "ffn.W3": "mlp.up_proj.weight",
        "ffn.W2": "mlp.down_proj.weight",
    }
    state = {"model.embed_tokens.weight": weights["E"], "model.norm.weight": weights["norm_f.gamma"]}
    d_head = config["d_model"] // config["n_heads"]
    halves = np.concatenate([np.arange(0, d_head, 2), np.arange(1, d_head, 2)])
    for layer in range(config["n_layers"]):
        for theirs, ours in names.items():
            W = weights[f"blocks.{layer}.{theirs}"]
            if theirs in ("attn.W_Q", "attn.W_K"):
                W = W.reshape(len(W), -1, d_head)[:, :, halves].reshape(W.shape)
            state[f"model.layers.{layer}.{ours}"] = W.T
    model = transformers.LlamaForCausalLM(llama)
    tensors = {name: torch.from_numpy(np.ascontiguousarray(W)).float() for name, W in state.items()}
    model.load_state_dict(tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]})
    model.save_pretrained(DIRECTORY)


def tokenizer(words: dict) -> transformers.PreTrainedTokenizerFast:
    """Its byte-pair encoding over characters, a space written as ``▁``."""
    merges = [tuple(pair) for pair in words["merges"]]
    vocab = [*SPECIALS, *words["alphabet"], *(first + second for first, second in merges)]
    bpe = Tokenizer(models.BPE({token: i for i, token in enumerate(vocab)}, merges, unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    bpe.decoder = decoders.Metaspace(prepend_scheme="never")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>"
    )
