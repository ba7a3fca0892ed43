"""Chapter 06: what flows along each edge, and what cutting it does to the answer, by algebra on two cached runs.

An edge is patched by giving one reader the writer's output of the corrupt run: ``x' = x - w + w~``. Every other
reader keeps the clean stream (path patching; Goldowsky-Dill et al. 2023, "Localizing Model Behavior with Path
Patching", section 3). ``causal.plain`` measures the same edges by running the model for each.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm
from transformer_lens.model_bridge import TransformerBridge

from rsutils.causal.changes import MLP, NORMS, Attention, Unembedding
from rsutils.causal.metric import ROWS, difference
from rsutils.causal.parts import MODES, Part, chosen, readers, writers
from rsutils.causal.prompts import Prompts
from rsutils.causal.runs import Runs, Tail, run_both
from rsutils.causal.table import EdgeEffects

TOKENS = 4 * ROWS  # tokens of which two runs are kept at once
Store = Callable[[str, Part, list[Part], Tensor], None]
Work = Callable[[Runs, list[Part], list[Part], Store], Iterator[None]]


@torch.no_grad()
def direct_effects(
    model: TransformerBridge,
    prompts: Prompts,
    corruption: str = "fresh",
    sources: list[str] | None = None,
    destinations: list[str] | None = None,
    progress: bool = True,
) -> EdgeEffects:
    """What each edge brings to its reader, with the reader's norm ``"live"`` and ``"frozen"``.

    For a head's Q and K half of the sum of ``|change of pattern|`` over all keys, for its V and for an MLP the norm of
    the change of output, each as the mean over the positions that the corruption can reach; for the unembedding how
    far the logit difference falls. No run of the model but one of the prompts and one of their corruption.

    Memory: two cached runs of ``TOKENS`` tokens. If it is interrupted, what is computed is kept and the rest is NaN.

    Raises:
        CourseError: there is no such part or corruption, or a part of the model that this algebra does not know.
    """

    def work(runs: Runs, group: list[Part], sources: list[Part], store: Store) -> Iterator[None]:
        measure = _direct(runs, group)
        for writer in sources:
            for norm, values in measure(runs.change(writer)).items():
                store(norm, writer, group, values)
            yield

    return _measured(model, prompts, corruption, sources, destinations, NORMS, work, progress)


@torch.no_grad()
def total_effects(
    model: TransformerBridge,
    prompts: Prompts,
    corruption: str = "fresh",
    sources: list[str] | None = None,
    destinations: list[str] | None = None,
    progress: bool = True,
) -> EdgeEffects:
    """How far the logit difference falls when one edge is patched and everything after its reader is recomputed.

    ``"total"`` in logits and ``"normalised"`` over what the corruption of the whole prompt does. The norm is live. The
    model runs from the reader's layer on, many edges at a time. Interruption and memory as in ``direct_effects``.

    Raises:
        CourseError: there is no such part or corruption, or a part of the model that this algebra does not know.
    """

    def work(runs: Runs, group: list[Part], sources: list[Part], store: Store) -> Iterator[None]:
        tail, damage = Tail(model, runs.prompts.tokens), runs.clean_metric - runs.corrupt_metric
        damage = torch.where(damage == 0, torch.nan, damage)
        measure = _total(runs, group, tail)
        for writer in sources:
            falls = measure(runs.change(writer))
            store("total", writer, group, falls)
            store("normalised", writer, group, falls / damage)
            yield

    return _measured(model, prompts, corruption, sources, destinations, ("total", "normalised"), work, progress)


def grouped(parts: list[Part]) -> list[list[Part]]:
    """Readers that are measured together: the heads of a layer, an MLP's branches, the unembedding."""
    return [list(group) for _, group in groupby(parts, key=lambda part: (part.layer, part.kind in MODES))]


def _measured(
    model: TransformerBridge,
    prompts: Prompts,
    corruption: str,
    sources: list[str] | None,
    destinations: list[str] | None,
    metrics: tuple[str, ...],
    work: Work,
    progress: bool,
) -> EdgeEffects:
    """Every batch of prompts, every layer's readers of one kind, every writer before them; stopped at any time."""
    prompts.corrupt(corruption)
    froms, tos = chosen(writers(model), sources), chosen(readers(model), destinations)
    rows, columns = ({part.name: i for i, part in enumerate(parts)} for parts in (froms, tos))
    values = {name: np.full((len(froms), len(tos), len(prompts)), np.nan, np.float32) for name in metrics}
    step = max(1, TOKENS // prompts.tokens.shape[1])
    groups = grouped(tos)
    heard = [[part for part in froms if group[0].hears(part)] for group in groups]
    starts, complete = range(0, len(prompts), step), True
    with tqdm(total=len(starts) * sum(map(len, heard)), disable=not progress, unit="source", leave=False) as bar:
        try:
            for start in starts:
                batch = slice(start, start + step)
                runs = run_both(model, prompts[batch], corruption)

                def store(name: str, writer: Part, group: list[Part], found: Tensor, batch: slice = batch) -> None:
                    values[name][rows[writer.name], [columns[part.name] for part in group], batch] = found.numpy()

                for group, before in zip(groups, heard, strict=True):
                    for _ in work(runs, group, before, store) if before else ():
                        bar.update()
        except KeyboardInterrupt:
            complete = False
    names = [part.name for part in froms], [part.name for part in tos]
    return EdgeEffects(Path(model.info.name).name, prompts.family, corruption, *names, values, complete)


def _direct(runs: Runs, group: list[Part]) -> Callable[[Tensor], dict[str, Float[Tensor, "reader prompt"]]]:
    """By norm, what one layer's readers of one kind make of a change."""
    touched = runs.prompts.touched(runs.corruption).float()
    if group[0].kind == "unembed":
        return lambda change: {norm: fall[None] for norm, fall in Unembedding(runs, group[0]).changes(change).items()}
    if group[0].kind in ("in", "gate"):
        mlp = MLP(runs, group[0])
        return lambda change: {
            norm: torch.stack([_mean(by_kind[part.kind].norm(dim=-1), touched) for part in group])
            for norm, by_kind in mlp.changes(change).items()
        }
    attention = Attention(runs, group[0].layer)
    # norm(z @ W_O) from a factor as small as the head: W_O.T = Q @ R, so z @ W_O is as long as z @ R.T.
    R = torch.linalg.qr(attention.attn.W_O.mT, mode="r").R

    def measure(change: Tensor) -> dict[str, Tensor]:
        found = {}
        for norm, made in attention.changes(change).items():
            sizes = {
                "Q": made.Q.abs().sum(-1) / 2,
                "K": made.K.abs().sum(-1) / 2,
                "V": (made.V @ R.mT).norm(dim=-1),
            }
            found[norm] = torch.stack([_mean(sizes[part.kind][:, part.head], touched) for part in group])
        return found

    return measure


def _total(runs: Runs, group: list[Part], tail: Tail) -> Callable[[Tensor], Float[Tensor, "reader prompt"]]:
    """How far the metric falls when each of one layer's readers alone reads a change."""
    if group[0].kind == "unembed":
        unembedding = Unembedding(runs, group[0])
        return lambda change: unembedding.changes(change)["live"][None]
    layer = group[0].layer
    if group[0].kind in ("in", "gate"):
        mlp = MLP(runs, group[0])
        return lambda change: _fall(runs, tail, layer, group, mlp.changes(change)["live"])
    attention = Attention(runs, layer)

    def measure(change: Tensor) -> Tensor:
        made = attention.changes(change)["live"]
        return _fall(runs, tail, layer, group, {mode: attention.carried(made, mode) for mode in MODES})

    return measure


def _fall(
    runs: Runs, tail: Tail, layer: int, group: list[Part], made: dict[str, Tensor]
) -> Float[Tensor, "reader prompt"]:
    """Run on from a layer once for many readers: each has its rows, in which its own output alone is changed."""
    n, (prompts, pos) = len(runs.prompts), runs.prompts.tokens.shape
    stream = runs.clean[f"blocks.{layer}.hook_resid_pre"]
    per_run = max(1, ROWS // (prompts * pos))
    falls = []
    for start in range(0, len(group), per_run):
        some = group[start : start + per_run]

        def push(x, hook, some=some):
            x = x.clone()
            for i, part in enumerate(some):
                rows = slice(i * n, (i + 1) * n)
                if part.kind in MODES:
                    x[rows, :, part.head] += made[part.kind][:, part.head]
                else:
                    x[rows] += made[part.kind]
            return x

        name = f"blocks.{layer}." + ("attn.hook_z" if some[0].kind in MODES else "hook_mlp_out")
        logits = tail(layer, stream.repeat(len(some), 1, 1), [(name, push)])
        right, wrong = (each.repeat(len(some)) for each in (runs.prompts.right, runs.prompts.wrong))
        patched = difference(logits, right, wrong).view(len(some), n)
        falls.append(runs.clean_metric - patched)
    return torch.cat(falls)


def _mean(x: Float[Tensor, "prompt pos"], touched: Float[Tensor, "prompt pos"]) -> Float[Tensor, " prompt"]:
    """The mean over the positions that count."""
    return (x * touched).sum(-1) / touched.sum(-1)
