"""Chapter 06: what a reader makes of a changed stream, from cached runs and its weights: the model is not run again.

A writer's change ``d`` is added to what one reader reads, ``x' = x + d``. With the norm *frozen* the reader sees
``x' / scale(x)``, with the norm *live* ``x' / scale(x')``. Both follow from one product ``d @ W``, since
``scale(x')**2 = scale(x)**2 + mean(2 * x * d + d * d)``, ``x`` and ``d`` centred where the norm centres.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers.activations import ACT2FN

from rsutils.causal.parts import Part
from rsutils.causal.runs import Runs
from rsutils.errors import CourseError
from rsutils.models import (
    attention_readers,
    beyond_attention,
    kv_heads,
    mlp_readers,
    rotate_halves,
    turns_halves,
    writer_norms,
)

NORMS = ("live", "frozen")


class AttentionChange(NamedTuple):
    """What each head of a layer makes of the change when its Q, its K or its V alone reads it.

    ``Q`` and ``K`` are changes of the pattern, ``V`` of what is carried (``z``) under the clean pattern.
    """

    Q: Float[Tensor, "prompt head query_pos key_pos"]
    K: Float[Tensor, "prompt head query_pos key_pos"]
    V: Float[Tensor, "prompt head pos d_head"]


class Attention:
    """The heads of one layer in the clean run, and what they make of a change."""

    def __init__(self, runs: Runs, layer: int) -> None:
        attn, clean = runs.model.blocks[layer].attn, runs.clean
        self.runs, self.reader, self.attn = runs, Part("", "Q", layer, 0, 0), attn
        self.group = kv_heads(attn)
        weights, biases = zip(*attention_readers(runs.model.blocks[layer]), strict=True)
        self.W = torch.cat([W.transpose(0, 1).flatten(1) for W in weights], dim=1)
        self.sizes = [len(W) for W in weights]
        at = lambda name: clean[f"blocks.{layer}.attn.hook_{name}"]  # noqa: E731
        q, k, v = at("q"), at("k"), at("v")
        # What the readers see is bilinear in the scores only without their biases.
        self.seen = [x if b is None else x - b for x, b in zip((q, k, v), biases, strict=True)]
        _refuse_what_is_unknown(runs, layer)
        self.cos_sin = (at("cos"), at("sin")) if turns_halves(runs.model, layer) else None
        scaling = getattr(attn.original_component, "scaling", runs.model.cfg.d_head**-0.5)
        self.queries = self._heads_first(q, turned=True) * scaling
        self.keys = self._heads_first(k, turned=True)[:, self.group]
        self.values = self._heads_first(v)[:, self.group]
        # Up to a number a query these are the scores, mask included; some models' score hooks show patterns.
        self.pattern, self.scaling = at("pattern"), scaling
        self.scores = self.pattern.log()
        self._check()

    def changes(self, change: Float[Tensor, "prompt pos d_model"]) -> dict[str, AttentionChange]:
        """What the heads make of a change of what they read, by norm."""
        product = change @ self.W
        found = {}
        for norm, (keep, factor) in scalings(self.runs, self.reader, change).items():
            q, k, v = self._shifts(product, keep, factor)
            found[norm] = AttentionChange(
                (self.scores + q @ self.keys.mT).softmax(-1) - self.pattern,
                (self.scores + self.queries @ k.mT).softmax(-1) - self.pattern,
                self.pattern @ v,
            )
        return found

    def shifts(
        self, change: Float[Tensor, "prompt pos d_model"], keep: Tensor | None, factor: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Changes of the queries (rotated and scaled), the keys (rotated) and the values, one a query head."""
        return self._shifts(change @ self.W, keep, factor)

    def _shifts(self, product: Tensor, keep: Tensor | None, factor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shifts = []
        products = product.unflatten(-1, (-1, self.runs.model.cfg.d_head)).split(self.sizes, dim=2)
        for seen, of_change in zip(self.seen, products, strict=True):
            shift = of_change * factor[..., None]
            shifts.append(shift if keep is None else shift + seen * keep[..., None])
        q, k, v = shifts
        return (
            self._heads_first(q, turned=True) * self.scaling,
            self._heads_first(k, turned=True)[:, self.group],
            self._heads_first(v)[:, self.group],
        )

    def made(self, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "head prompt pos d_model"]:
        """What each head writes more when its queries, keys and values all change (as ``shifts`` gives them)."""
        scores = self.scores + (self.queries + q) @ (self.keys + k).mT - self.queries @ self.keys.mT
        z = scores.softmax(-1) @ (self.values + v) - self.pattern @ self.values
        return z.transpose(0, 1) @ self.attn.W_O[:, None]

    def carried(self, change: AttentionChange, mode: str) -> Float[Tensor, "prompt head pos d_head"]:
        """What a change of one mode makes of ``z``."""
        return change.V if mode == "V" else getattr(change, mode) @ self.values

    def _heads_first(self, x: Float[Tensor, "prompt pos head d_head"], turned: bool = False) -> Tensor:
        """``[prompt, head, pos, d_head]``, rotated as this layer rotates its queries and keys."""
        x = x.transpose(1, 2)
        if not turned or self.cos_sin is None:
            return x
        cos, sin = self.cos_sin
        return rotate_halves(x, cos[:, None], sin[:, None])

    def _check(self) -> None:
        """Refuse attention that its queries and keys do not rebuild: it has a part that this algebra does not know."""
        rebuilt = (self.queries[:1] @ self.keys[:1].mT).masked_fill(self.pattern[:1] == 0, -torch.inf).softmax(-1)
        if not torch.allclose(rebuilt, self.pattern[:1], rtol=0, atol=1e-3):
            raise CourseError("expected attention that queries and keys rebuild, got another: measure another model")


def in_the_way(model: TransformerBridge) -> str:
    """What keeps this algebra from a model's edges, as a clause; empty for most models."""
    if any(map(writer_norms, model.blocks)):
        return "norms stand after its writers"
    return next((f"its attention {more[0]}" for i in range(model.cfg.n_layers) if (more := _unknown(model, i))), "")


def _unknown(model: TransformerBridge, layer: int) -> list[str]:
    """What attention does beyond the algebra of changes; a near window is in the mask."""
    known = ("window", "no turns")
    return [sentence for what, sentence in beyond_attention(model, layer).items() if what not in known]


def _refuse_what_is_unknown(runs: Runs, layer: int) -> None:
    if more := _unknown(runs.model, layer):
        raise CourseError(
            f"expected attention by queries and keys alone, got one that {more[0]}: measure another model, or remove "
            "whole parts with ablation_effects"
        )


class MLP:
    """One MLP in the clean run, and what it makes of a change."""

    def __init__(self, runs: Runs, reader: Part) -> None:
        block = runs.model.blocks[reader.layer]
        self.runs, self.reader, self.act, self.W_out = runs, reader, ACT2FN[runs.model.cfg.act_fn], block.mlp.W_out
        self.weights = [W for W, _ in mlp_readers(block)]
        xhat = normed(runs, reader)
        self.seen = [xhat @ W for W in self.weights]
        self.biases = [0 if b is None else b for _, b in mlp_readers(block)]
        self.post = self._post(self.seen)
        b_out = 0 if block.mlp.b_out is None else block.mlp.b_out
        written = runs.clean[f"blocks.{reader.layer}.hook_mlp_out"][:1]
        if not torch.allclose(self.post[:1] @ self.W_out + b_out, written, rtol=1e-3, atol=1e-3):
            raise CourseError("expected an MLP that its weights rebuild, got another: measure another model")

    def changes(self, change: Float[Tensor, "prompt pos d_model"]) -> dict[str, dict[str, Tensor]]:
        """By norm and by the branch that alone reads the change (``in``, ``gate``): the change of the MLP's output."""
        products = [change @ W for W in self.weights]
        found: dict[str, dict[str, Tensor]] = {}
        for norm, (keep, factor) in scalings(self.runs, self.reader, change).items():
            shifts = self._shifts(products, keep, factor)
            found[norm] = {}
            for i, kind in enumerate(shifts):
                seen = [x + shifts[kind] if i == j else x for j, x in enumerate(self.seen)]
                found[norm][kind] = (self._post(seen) - self.post) @ self.W_out
        return found

    def shifts(
        self, change: Float[Tensor, "prompt pos d_model"], keep: Tensor | None, factor: Tensor
    ) -> dict[str, Float[Tensor, "prompt pos d_mlp"]]:
        """Changes of the pre-activations, by branch."""
        return self._shifts([change @ W for W in self.weights], keep, factor)

    def made(self, shifts: dict[str, Tensor]) -> Float[Tensor, "prompt pos d_model"]:
        """What it writes more when all of its pre-activations change (as ``shifts`` gives them)."""
        seen = [x + shift for x, shift in zip(self.seen, shifts.values(), strict=True)]
        return (self._post(seen) - self.post) @ self.W_out

    def _shifts(self, products: list[Tensor], keep: Tensor | None, factor: Tensor) -> dict[str, Tensor]:
        shifts = [
            product * factor if keep is None else product * factor + seen * keep
            for product, seen in zip(products, self.seen, strict=True)
        ]
        return dict(zip(("in", "gate"), shifts, strict=False))

    def _post(self, seen: list[Float[Tensor, "prompt pos d_mlp"]]) -> Float[Tensor, "prompt pos d_mlp"]:
        pre = [x + b for x, b in zip(seen, self.biases, strict=True)]
        return self.act(pre[0]) if len(pre) == 1 else pre[0] * self.act(pre[1])


class Unembedding:
    """The logit difference after the last position, and what it makes of a change."""

    def __init__(self, runs: Runs, reader: Part) -> None:
        self.runs, self.reader = runs, reader
        W_U, prompts = runs.model.unembed.W_U, runs.prompts
        self.along = (W_U[:, prompts.right] - W_U[:, prompts.wrong]).T[:, None]
        self.seen = (normed(runs, reader)[:, -1:] * self.along).sum(-1, keepdim=True)

    def changes(self, change: Float[Tensor, "prompt pos d_model"]) -> dict[str, Float[Tensor, " prompt"]]:
        """By norm: how far the metric falls."""
        return {norm: self.fall(change, *how) for norm, how in scalings(self.runs, self.reader, change).items()}

    def fall(
        self, change: Float[Tensor, "prompt pos d_model"], keep: Tensor | None, factor: Tensor
    ) -> Float[Tensor, " prompt"]:
        """How far the metric falls when its norm does that."""
        more = (change[:, -1:] * self.along).sum(-1, keepdim=True) * factor[:, -1:]
        return -(more if keep is None else self.seen * keep[:, -1:] + more)[:, 0, 0]


def scalings(
    runs: Runs, reader: Part, change: Float[Tensor, "prompt pos d_model"]
) -> dict[str, tuple[Float[Tensor, "prompt pos 1"] | None, Float[Tensor, "prompt pos 1"]]]:
    """By norm: what ``x' @ W / scale - x @ W / scale(x)`` is made of, a factor of the old and one of ``change @ W``.

    The factor of the old is None where it is zero: a frozen norm leaves it as it is.
    """
    x, scale = _centred(runs, runs.stream(reader), reader), runs.scale(reader)
    d = _centred(runs, change, reader)
    live = (scale.square() + (d * (2 * x + d)).mean(-1, keepdim=True)).sqrt()
    return {"live": (scale / live - 1, 1 / live), "frozen": (None, 1 / scale)}


def first_order(
    runs: Runs, reader: Part, change: Float[Tensor, "prompt pos d_model"]
) -> tuple[Float[Tensor, "prompt pos 1"], Float[Tensor, "prompt pos 1"]]:
    """The live norm's two factors as if a change were small."""
    x, scale = _centred(runs, runs.stream(reader), reader), runs.scale(reader)
    along = (x * _centred(runs, change, reader)).mean(-1, keepdim=True)
    return -along / scale.square(), 1 / scale


def normed(runs: Runs, reader: Part) -> Float[Tensor, "prompt pos d_model"]:
    """What a reader sees in the clean run."""
    return _centred(runs, runs.stream(reader), reader) / runs.scale(reader)


def _centred(runs: Runs, x: Float[Tensor, "prompt pos d_model"], reader: Part) -> Float[Tensor, "prompt pos d_model"]:
    norm = runs.model.ln_final if reader.kind == "unembed" else runs.model.blocks[reader.layer].ln1
    return x if norm.uses_rms_norm else x - x.mean(dim=-1, keepdim=True)
