"""Chapter 06: effects estimated from one backward pass, and from several on the way to the corruption.

Attribution patching takes the metric's slope where the model stands and goes the whole way of a change on it (Nanda
2023, "Attribution Patching: Activation Patching At Industrial Scale"; Syed et al. 2023, "Attribution Patching
Outperforms Automated Circuit Discovery", for edges). Where the slope is flat, as behind a saturated softmax, it sees
nothing; the mean of the slopes along the way from the clean to the corrupt embedding sees more (Hanna et al. 2024,
"Have Faith in Faithfulness", EAP-IG).
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.causal.changes import MLP, Attention, Unembedding, first_order
from rsutils.causal.edges import TOKENS, grouped
from rsutils.causal.metric import difference
from rsutils.causal.parts import MODES, Part, chosen, readers, writers
from rsutils.causal.prompts import Prompts
from rsutils.causal.runs import Runs, run_both, writer_hook
from rsutils.causal.table import EdgeEffects, NodeEffects
from rsutils.errors import CourseError
from rsutils.heads.arguments import check_whole


def node_attribution(
    model: TransformerBridge,
    prompts: Prompts,
    corruption: str = "fresh",
    steps: int = 1,
    parts: list[str] | None = None,
) -> NodeEffects:
    """How far the logit difference would fall by slope when a part's output becomes that of the corrupt run.

    ``steps`` slopes are taken, from the clean embedding on and short of the corrupt one.

    Raises:
        CourseError: there is no such part or corruption, or no step.
    """
    froms = chosen(writers(model), parts)
    found = np.full((len(froms), len(prompts)), np.nan, np.float32)
    for batch, runs in _batches(model, prompts, corruption):
        slopes = _slopes(runs, sorted({writer_hook(part) for part in froms}), steps)
        for i, part in enumerate(froms):
            name = writer_hook(part)
            falls = -(runs.corrupt[name] - runs.clean[name]) * slopes[name]
            falls = falls[:, :, part.head] if part.kind == "head" else falls
            found[i, batch] = falls.sum(dim=(1, 2)).numpy()
    return NodeEffects(_name(model), prompts.family, [part.name for part in froms], {_called(steps): found})


def edge_attribution(
    model: TransformerBridge,
    prompts: Prompts,
    corruption: str = "fresh",
    steps: int = 1,
    sources: list[str] | None = None,
    destinations: list[str] | None = None,
) -> EdgeEffects:
    """How far the logit difference would fall by slope when one edge is patched: beside ``total_effects``.

    The change of what a reader gets is taken to first order too, its norm included.

    Raises:
        CourseError: there is no such part or corruption, or no step, or the model shows its scores without using what
            is put in their place.
    """
    froms, groups = chosen(writers(model), sources), grouped(chosen(readers(model), destinations))
    tos = [part for group in groups for part in group]
    found = np.full((len(froms), len(tos), len(prompts)), np.nan, np.float32)
    at = {part.name: i for i, part in enumerate(tos)}
    for batch, runs in _batches(model, prompts, corruption):
        slopes = _slopes(runs, sorted({name for part in tos for name in _read_hooks(runs, part)}), steps)
        for group in groups:
            falls = _falls(runs, group, slopes)
            for i, writer in enumerate(froms):
                if group[0].hears(writer):
                    made = falls(runs.change(writer))
                    found[i, [at[part.name] for part in group], batch] = made.numpy()
    names = [part.name for part in froms], [part.name for part in tos]
    return EdgeEffects(_name(model), prompts.family, corruption, *names, {_called(steps): found})


def _batches(model: TransformerBridge, prompts: Prompts, corruption: str) -> Iterator[tuple[slice, Runs]]:
    step = max(1, TOKENS // 2 // prompts.tokens.shape[1])
    for start in range(0, len(prompts), step):
        batch = slice(start, start + step)
        yield batch, run_both(model, prompts[batch], corruption)


def _slopes(runs: Runs, names: list[str], steps: int) -> dict[str, Tensor]:
    """The metric's mean slope at each hook, over embeddings on the way from the clean to the corrupt run."""
    steps = check_whole("a number of steps", steps, 1, 1000)
    prompts, way = runs.prompts, runs.corrupt["hook_embed"] - runs.clean["hook_embed"]
    total: dict[str, Tensor] = {}
    for step in range(steps):
        nudges: dict[str, Tensor] = {}

        def nudge(x, hook, name, nudges=nudges):
            # What a hook is handed is a view that the model does not go on with; what it gives back, it does.
            nudges[name] = torch.zeros_like(x, requires_grad=True)
            return x + nudges[name]

        hooks: list[tuple[str | Callable, Callable]] = [
            ("hook_embed", lambda x, hook, step=step: x + way * (step / steps))
        ]
        hooks += [(name, partial(nudge, name=name)) for name in names]
        with torch.enable_grad():
            logits = runs.model.run_with_hooks(prompts.tokens, fwd_hooks=hooks, use_cache=False)[:, -1]
            metric = difference(logits, prompts.right, prompts.wrong).sum()
            asked = [nudges[name] for name in names]
            is_used = metric.requires_grad
            slopes = torch.autograd.grad(metric, asked, allow_unused=True) if is_used else [None] * len(asked)
        for name, slope in zip(names, slopes, strict=True):
            if slope is None:
                raise CourseError(
                    f"expected a model that goes on with what {name} is given, got one that only shows it: patch the "
                    "edges with total_effects instead"
                )
            total[name] = total.get(name, 0) + slope / steps
    return total


def _read_hooks(runs: Runs, reader: Part) -> list[str]:
    """Where what a reader makes of the stream can be nudged, per head also where heads share keys and values."""
    if reader.kind == "unembed":
        return []
    if reader.kind in MODES:
        return [f"blocks.{reader.layer}.attn.hook_{'z' if reader.kind == 'V' else 'attn_scores'}"]
    linear = "_linear" if reader.kind == "in" and runs.model.cfg.gated_mlp else ""
    return [f"blocks.{reader.layer}.mlp.hook_pre{linear}"]


def _falls(
    runs: Runs, group: list[Part], slopes: dict[str, Tensor]
) -> Callable[[Tensor], Float[Tensor, "part prompt"]]:
    """What the slopes make of a change that each of one layer's readers alone reads."""
    slope = {part.kind: slopes[name] for part in group for name in _read_hooks(runs, part)}
    if group[0].kind == "unembed":
        unembedding = Unembedding(runs, group[0])
        return lambda change: unembedding.fall(change, *first_order(runs, group[0], change))[None]
    if group[0].kind in ("in", "gate"):
        mlp = MLP(runs, group[0])

        def of_mlp(change: Tensor) -> Tensor:
            pre = mlp.shifts(change, *first_order(runs, group[0], change))
            return torch.stack([-(pre[part.kind] * slope[part.kind]).sum(dim=(1, 2)) for part in group])

        return of_mlp
    attention = Attention(runs, group[0].layer)

    def of_heads(change: Tensor) -> Tensor:
        q, k, v = attention.shifts(change, *first_order(runs, group[0], change))
        made = {
            "Q": lambda: q @ attention.keys.mT * slope["Q"],
            "K": lambda: attention.queries @ k.mT * slope["K"],
            "V": lambda: attention.pattern @ v * slope["V"].transpose(1, 2),
        }
        falls = {kind: -made[kind]().sum(dim=(2, 3)) for kind in slope}
        return torch.stack([falls[part.kind][:, part.head] for part in group])

    return of_heads


def _called(steps: int) -> str:
    return "slope" if steps == 1 else f"{steps} slopes"


def _name(model: TransformerBridge) -> str:
    return Path(model.info.name).name
