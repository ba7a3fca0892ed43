"""Chapter 06: the same component removed in six ways, which do not say the same of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm
from transformer_lens.model_bridge import TransformerBridge

from rsutils.causal.metric import ROWS, difference, logit_difference
from rsutils.causal.parts import Part, chosen, writers
from rsutils.causal.prompts import Prompts
from rsutils.causal.runs import Tail, writer_hook
from rsutils.causal.table import NodeEffects

WAYS = {
    "zero": "nothing",
    "mean": "its mean over all prompts and positions",
    "mean by position": "its mean over all prompts at the same position",
    "resampled": "what it wrote on another of the prompts",
    "fresh": "what it wrote with new names or tokens",
    "swapped": "what it wrote where the other answer is right",
}


@torch.no_grad()
def ablation_effects(
    model: TransformerBridge, prompts: Prompts, parts: list[str] | None = None, progress: bool = True
) -> NodeEffects:
    """How far the logit difference falls when one part's output is replaced, in each of the ways of ``WAYS``.

    All prompts are of one length and end at the answer, so that a position means the same in each. ``resampled`` takes
    the next prompt's output. Later parts are recomputed. If it is interrupted, the rest is NaN.

    Raises:
        CourseError: the model has no such part.
    """
    froms = chosen(writers(model), parts)
    names = [writer_hook(part) for part in froms]
    outputs = {which: _outputs(model, getattr(prompts, which), names) for which in ("tokens", "fresh", "swapped")}
    stream_names = [f"blocks.{layer}.hook_resid_pre" for layer in range(model.cfg.n_layers)]
    streams = _outputs(model, prompts.tokens, stream_names)
    tail, clean = Tail(model, prompts.tokens), logit_difference(model, prompts)
    values = {way: np.full((len(froms), len(prompts)), np.nan, np.float32) for way in WAYS}
    complete = True
    try:
        for i, part in enumerate(tqdm(froms, disable=not progress, unit="part", leave=False)):
            own = {which: out[names[i]] for which, out in outputs.items()}
            if part.kind == "head":
                own = {which: z[:, :, part.head] for which, z in own.items()}
            for way, new in _replacements(own["tokens"], own["fresh"], own["swapped"]).items():
                patched = _replaced(prompts, tail, streams, part, own["tokens"], new)
                values[way][i] = (clean - patched).numpy()
    except KeyboardInterrupt:
        complete = False
    return NodeEffects(Path(model.info.name).name, prompts.family, [part.name for part in froms], values, complete)


def _replacements(
    own: Float[Tensor, "prompt pos d"], fresh: Float[Tensor, "prompt pos d"], swapped: Float[Tensor, "prompt pos d"]
) -> dict[str, Float[Tensor, "prompt pos d"]]:
    """A part's output in each of the ways, for all prompts."""
    return {
        "zero": torch.zeros_like(own),
        "mean": own.mean(dim=(0, 1), keepdim=True).expand_as(own),
        "mean by position": own.mean(dim=0, keepdim=True).expand_as(own),
        "resampled": own.roll(1, dims=0),
        "fresh": fresh,
        "swapped": swapped,
    }


def _replaced(
    prompts: Prompts,
    tail: Tail,
    streams: dict[str, Tensor],
    part: Part,
    own: Float[Tensor, "prompt pos d"],
    new: Float[Tensor, "prompt pos d"],
) -> Float[Tensor, " prompt"]:
    """The logit difference with a part's output replaced."""
    layer = max(part.layer, 0)
    found = []
    for rows in torch.arange(len(prompts)).split(max(1, ROWS // prompts.tokens.shape[1])):
        stream, hooks = streams[f"blocks.{layer}.hook_resid_pre"][rows], []
        if part.layer < 0:
            stream = stream + new[rows] - own[rows]
        else:
            hooks = [(writer_hook(part), _put(part, new[rows]))]
        found.append(difference(tail(layer, stream, hooks), prompts.right[rows], prompts.wrong[rows]))
    return torch.cat(found)


def _put(part: Part, new: Float[Tensor, "prompt pos d"]) -> Callable:
    def hook(x, hook):
        if part.kind != "head":
            return new
        x = x.clone()
        x[:, :, part.head] = new
        return x

    return hook


def _outputs(model: TransformerBridge, tokens: Tensor, names: list[str]) -> dict[str, Tensor]:
    """Some activations of all prompts, from runs of bounded size."""
    step = max(1, ROWS // tokens.shape[1])
    caches = [
        model.run_with_cache(some, names_filter=lambda name: name in names, use_cache=False)[1]
        for some in tokens.split(step)
    ]
    rows = [len(some) for some in tokens.split(step)]
    # Positions are the same for every prompt, and a model may write them once.
    return {
        name: torch.cat([cache[name].expand(n, *cache[name].shape[1:]) for n, cache in zip(rows, caches, strict=True)])
        for name in set(names)
    }
