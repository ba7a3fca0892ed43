"""Write the trained model as package data: half precision, one directory that Hugging Face reads, checked by hash."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from pathlib import Path

import torch
from jaxtyping import Int
from safetensors.torch import save_file
from torch import Tensor
from transformers import GPT2LMHeadModel

UNSUMMED = ("SHA256SUMS", "README.md", "measured.json")  # written after the model, or by its measurement
SHIPPED = Path(__file__).parent.parent / "rsutils" / "data" / "embedded"


def save_weights(model: GPT2LMHeadModel, path: Path) -> None:
    """Save the weights in float16 under GPT-2's names; the unembedding is the embedding and is not stored twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {name: w.to(torch.float16).contiguous() for name, w in model.state_dict().items()}
    del weights["lm_head.weight"]
    save_file(weights, path, metadata={"format": "pt"})


def write_config(model: GPT2LMHeadModel, path: Path) -> None:
    """Save the configuration under the activation's usual name, `gelu_new`, of which the tanh form is the kernel."""
    config = model.config.to_diff_dict() | {
        "architectures": ["GPT2LMHeadModel"],
        "activation_function": "gelu_new",
        "dtype": "float16",
        "use_cache": True,
    }
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write_sums(directory: Path) -> None:
    """Write SHA256SUMS over every other file of the directory."""
    files = sorted(p for p in directory.rglob("*") if p.is_file() and p.name not in UNSUMMED)
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(directory).as_posix()}" for p in files]
    (directory / "SHA256SUMS").write_text("\n".join(lines) + "\n")


@torch.no_grad()
def cost_of_halving(model: GPT2LMHeadModel, tokens: Int[Tensor, "rows pos"]) -> float:
    """Mean KL divergence, in nats a token, of the float16 weights' predictions from the model's own."""
    halved = copy.deepcopy(model).half().float()
    full, half = (m(tokens).logits.log_softmax(-1) for m in (model, halved))
    return (full.exp() * (full - half)).sum(-1).mean().item()


def export(model: GPT2LMHeadModel, run: Path, out: Path, facts: dict) -> None:
    """Write the finished model, its tokenizer, the kept checkpoints of the run and facts of its making to `out`."""
    save_weights(model, out / "model.safetensors")
    write_config(model, out / "config.json")
    (out / "trained.json").write_text(json.dumps(facts, indent=1) + "\n")
    shutil.copytree(run / "tokenizer", out, dirs_exist_ok=True)
    shutil.copytree(run / "checkpoints", out / "checkpoints", dirs_exist_ok=True)
    write_sums(out)
