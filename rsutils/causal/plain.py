"""The slow twin of ``causal.edges``: the model is run for each edge, as a learner would. The tests compare the two."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.causal.metric import difference
from rsutils.causal.parts import MODES, chosen, is_parallel, readers, writers
from rsutils.causal.prompts import Prompts
from rsutils.causal.runs import writer_hook
from rsutils.errors import CourseError
from rsutils.models import kv_heads

Edits = dict[str, Callable[[Tensor], Tensor]]


class PlainEffect(NamedTuple):
    """One edge: what it brings to its reader, and how far the logit difference falls; see ``edge``."""

    direct: Float[Tensor, " prompt"]
    total: Float[Tensor, " prompt"]


@torch.no_grad()
def edge(
    model: TransformerBridge,
    prompts: Prompts,
    source: str,
    destination: str,
    corruption: str = "fresh",
    norm: str = "live",
) -> PlainEffect:
    """One edge by runs of the model: what ``direct_effects`` and ``total_effects`` (live) say of it.

    The reader's layer is run on ``x - w + w~``; then the clean prompts are run with what the reader alone got of it.

    Raises:
        CourseError: there is no such writer, reader, corruption or norm, or the reader does not come later.
    """
    (writer,), (reader,) = chosen(writers(model), [source]), chosen(readers(model), [destination])
    if norm not in ("live", "frozen") or not reader.hears(writer):
        raise CourseError(
            f"expected a norm among live, frozen and a later reader than {source}, got {norm!r} and {destination}: "
            "choose another"
        )
    name = writer_hook(writer)
    clean, corrupt = (_run(model, tokens, keep=[name])[0] for tokens in (prompts.tokens, prompts.corrupt(corruption)))
    change = corrupt[name] - clean[name]
    if writer.kind == "head":
        change = change[:, :, writer.head] @ model.blocks[writer.layer].attn.W_O[writer.head]
    metric = lambda logits: difference(logits, prompts.right, prompts.wrong)  # noqa: E731
    block, is_head, is_mlp = f"blocks.{reader.layer}.", reader.kind in MODES, reader.kind in ("in", "gate")
    scale = "ln_final.hook_scale" if not (is_head or is_mlp) else block + ("ln1" if is_head else "ln2") + ".hook_scale"
    if is_head:
        gets, reads = block + f"attn.hook_{reader.kind.lower()}", block + "hook_resid_pre"
    elif is_mlp:
        linear = "_linear" if reader.kind == "in" and model.cfg.gated_mlp else ""
        gets = block + f"mlp.hook_pre{linear}"
        reads = block + ("hook_resid_pre" if is_parallel(model) else "hook_resid_mid")
    else:
        gets, reads = None, f"blocks.{reader.layer - 1}.hook_resid_post"
    kept, logits = _run(model, prompts.tokens, keep=[scale])
    edits: Edits = {reads: lambda x: x + change}
    if norm == "frozen":
        edits[scale] = lambda _: kept[scale]
    got, changed = _run(model, prompts.tokens, edits, [gets] if gets else [])
    if gets is None:
        fall = metric(logits) - metric(changed)
        return PlainEffect(fall, fall)
    hear = lambda x: got[gets]  # noqa: E731
    if is_head:
        heads = kv_heads(model.blocks[reader.layer].attn)
        at = reader.head if reader.kind == "Q" else int(heads[reader.head])
        hear = lambda x: torch.where(torch.arange(x.shape[2])[:, None] == at, got[gets], x)  # noqa: E731
    seen = block + {"Q": "attn.hook_pattern", "K": "attn.hook_pattern", "V": "attn.hook_z"}.get(
        reader.kind, "hook_mlp_out"
    )
    made = block + ("attn.hook_z" if is_head else "hook_mlp_out")
    before, _ = _run(model, prompts.tokens, keep=[seen])
    z, _ = _run(model, prompts.tokens, {gets: hear}, [seen, made])
    difference_made = z[seen] - before[seen]
    if reader.kind in ("Q", "K"):
        size = difference_made[:, reader.head].abs().sum(-1) / 2
    elif reader.kind == "V":
        size = (difference_made[:, :, reader.head] @ model.blocks[reader.layer].attn.W_O[reader.head]).norm(dim=-1)
    else:
        size = difference_made.norm(dim=-1)
    touched = prompts.touched(corruption).float()
    # A key that heads share changes them all: the edge is one head's.
    alone = lambda x: torch.where(torch.arange(x.shape[2])[:, None] == reader.head, z[made], x) if is_head else z[made]  # noqa: E731
    _, patched = _run(model, prompts.tokens, {made: alone})
    return PlainEffect((size * touched).sum(-1) / touched.sum(-1), metric(logits) - metric(patched))


def _run(
    model: TransformerBridge, tokens: Tensor, edits: Edits | None = None, keep: list[str] | None = None
) -> tuple[dict[str, Tensor], Float[Tensor, "prompt d_vocab"]]:
    """Run with some activations replaced by what ``edits`` make of them; what is kept, and the last logits."""
    kept: dict[str, Tensor] = {}

    def save(x, hook, name):
        kept[name] = x

    hooks: list[tuple] = [(name, lambda x, hook, edit=edit: edit(x)) for name, edit in (edits or {}).items()]
    hooks += [(name, lambda x, hook, name=name: save(x, hook, name)) for name in keep or []]
    return kept, model.run_with_hooks(tokens, fwd_hooks=hooks, use_cache=False)[:, -1]
