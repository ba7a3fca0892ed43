"""What each write is worth to an answer, over many prompts: attributed, or cut with a zero or a mean put in."""

import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import ActivationCache
from transformer_lens.model_bridge import TransformerBridge
from transformers import DynamicCache

from rsutils.errors import CourseError
from rsutils.traces.writes import Contrast, hook_name


class Worth(NamedTuple):
    """What each write at the last position is worth to the gap between two answers, on each prompt.

    ``attributed``: its part of the gap, the final norm's scale held at what it was. ``centred``: the same for what
    the write has over its mean over the prompts. ``zeroed`` and ``averaged``: by how much the gap falls when the
    write is set to zero, or to that mean, and everything later reacts.
    """

    names: list[str]
    attributed: Float[Tensor, "prompt write"]
    centred: Float[Tensor, "prompt write"]
    zeroed: Float[Tensor, "prompt write"]
    averaged: Float[Tensor, "prompt write"]


def worth(model: TransformerBridge, contrasts: Sequence[Contrast]) -> Worth:
    """Attribute and cut every write at the last position of every prompt.

    Prompts of one length run together. A cut at the last position changes nothing before it, so the keys and values of
    what stands before are computed once and the last token alone runs again.

    Raises:
        CourseError: there are fewer than two prompts, so no mean, or one has a single token.
    """
    if len(contrasts) < 2 or min(pair.tokens.shape[1] for pair in contrasts) < 2:
        raise CourseError(
            f"expected two prompts or more of two tokens or more, got {len(contrasts)} prompts: add prompts"
        )
    lengths = defaultdict(list)
    for at, pair in enumerate(contrasts):
        lengths[pair.tokens.shape[1]].append(at)
    runs = [_LastToken(model, [contrasts[at] for at in prompts]) for prompts in lengths.values()]
    names = runs[0].names
    mean = torch.cat([run.writes for run in runs], dim=1).mean(dim=1)
    found = [
        torch.stack(
            [
                run.attribute(run.writes),
                run.attribute(run.writes - mean[:, None]),
                torch.stack([run.drop(name, torch.zeros_like(value)) for name, value in zip(names, mean, strict=True)]),
                torch.stack([run.drop(name, value) for name, value in zip(names, mean, strict=True)]),
            ]
        )
        for run in runs
    ]
    order = torch.tensor([at for prompts in lengths.values() for at in prompts]).argsort()
    return Worth(names, *torch.cat(found, dim=2)[:, :, order].transpose(1, 2))


class _LastToken:
    """Prompts of one length, whose last token can be run again without what stands before it."""

    def __init__(self, model: TransformerBridge, contrasts: list[Contrast]) -> None:
        self.model = model
        tokens = torch.cat([pair.tokens for pair in contrasts])
        self.last: Int[Tensor, "prompt 1"] = tokens[:, -1:]
        self.right = torch.tensor([[pair.right] for pair in contrasts])
        self.wrong = torch.tensor([[pair.wrong] for pair in contrasts])
        self.before = DynamicCache()
        model(tokens[:, :-1], past_key_values=self.before, use_cache=True)
        kept: dict[str, Tensor] = {}

        def keep(x, hook):
            kept[hook.name] = x

        wanted = lambda name: name.endswith(("embed", "attn_out", "mlp_out", "ln_final.hook_scale"))  # noqa: E731
        with model.hooks(fwd_hooks=[(wanted, keep)]):
            self.gap = self._gap()
        cache = ActivationCache(kept, model)
        self.names: list[str]
        writes, self.names = cache.decompose_resid(return_labels=True)
        self.writes: Float[Tensor, "write prompt d_model"] = writes[:, :, 0]
        self.scale: Float[Tensor, "prompt 1"] = cache["ln_final.hook_scale"][:, 0]

    def attribute(self, writes: Float[Tensor, "write prompt d_model"]) -> Float[Tensor, "write prompt"]:
        direction = self.model.W_U[:, self.right[:, 0]] - self.model.W_U[:, self.wrong[:, 0]]
        return torch.einsum("wpd,dp->wp", writes / self.scale, direction)

    def drop(self, name: str, value: Float[Tensor, " d_model"]) -> Float[Tensor, " prompt"]:
        """By how much the gap falls with this value in the place of a write."""
        with self.model.hooks(fwd_hooks=[(hook_name(name), lambda x, hook: value.expand_as(x))]):
            return self.gap - self._gap()

    def _gap(self) -> Float[Tensor, " prompt"]:
        logits = []
        keep = [("unembed.hook_out", lambda x, hook: logits.append(x[:, -1]))]  # before a cap, where a model has one
        with self.model.hooks(fwd_hooks=keep):
            self.model(self.last, past_key_values=copy.deepcopy(self.before), use_cache=True)
        return (logits[0].gather(1, self.right) - logits[0].gather(1, self.wrong))[:, 0]
