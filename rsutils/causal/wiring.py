"""Chapter 06: many edges cut at once: every reader hears a sum of its own, and everything after it is recomputed."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.causal.changes import MLP, Attention, Unembedding, scalings
from rsutils.causal.metric import Estimate, share
from rsutils.causal.parts import MODES, Part, readers, writers
from rsutils.causal.prompts import Prompts
from rsutils.causal.runs import run_both
from rsutils.compare import bootstrap


class Wiring:
    """A model's clean and corrupt run, and what comes out when some edges carry the one and the rest the other.

    A reader hears each writer as it is *now*, recomputed from what that writer itself heard, where their edge is
    whole, and as it was in the corrupt run where the edge is cut. With all edges whole the clean run comes out, with
    none the corrupt one. The embedding and the positions are clean. No run of the model after the first two.

    Memory: two streams of all prompts for each writer.

    Raises:
        CourseError: there is no such corruption, or a part of the model that this algebra does not know.
    """

    @torch.no_grad()
    def __init__(self, model: TransformerBridge, prompts: Prompts, corruption: str = "fresh") -> None:
        runs = self.runs = run_both(model, prompts, corruption)
        self.writers, self.readers = writers(model), readers(model)
        stream = runs.clean["blocks.0.hook_resid_pre"]
        self.corrupt = torch.stack([runs.change(part).expand_as(stream) for part in self.writers])
        self.attention = [Attention(runs, layer) for layer in range(model.cfg.n_layers)]
        self.mlps = [MLP(runs, part) for part in self.readers if part.kind == "in"]
        self.can = torch.tensor([[reader.hears(writer) for reader in self.readers] for writer in self.writers])

    @cached_property
    def reversed(self) -> "Wiring":
        """The same with the two runs in each other's place."""
        prompts, corruption = self.runs.prompts, self.runs.corruption
        corrupt = replace(prompts, tokens=prompts.corrupt(corruption), fresh=prompts.tokens)
        return Wiring(self.runs.model, corrupt)

    def restored(self, whole: Bool[Tensor, "writer reader"]) -> float:
        """The share of what corruption takes that comes back when the edges of ``whole`` alone are whole."""
        return share(self.runs.clean_metric, self.metric(whole), self.runs.corrupt_metric)

    def estimate(self, whole: Bool[Tensor, "writer reader"]) -> Estimate:
        """The same with its interval over prompts."""
        metrics = self.runs.clean_metric, self.metric(whole), self.runs.corrupt_metric
        return Estimate(share(*metrics), bootstrap(share, *metrics))

    @torch.no_grad()
    def metric(self, whole: Bool[Tensor, "writer reader"]) -> Float[Tensor, " prompt"]:
        """The logit difference when the edges of ``whole`` alone are whole; one that cannot exist counts as none."""
        now = torch.zeros_like(self.corrupt)
        for layer, (attention, mlp) in enumerate(zip(self.attention, self.mlps, strict=True)):
            heads = [i for i, part in enumerate(self.writers) if part.kind == "head" and part.layer == layer]
            now[heads] = attention.made(*self._heads(now, whole, layer, attention))
            shifts = {}
            for j, part in self._of(layer, ("in", "gate")):
                (change,) = self._heard(now, whole[:, [j]], j)
                shifts[part.kind] = mlp.shifts(change, *scalings(self.runs, part, change)["live"])[part.kind]
            now[heads[-1] + 1] = mlp.made(shifts)
        (change,) = self._heard(now, whole[:, [-1]], -1)
        unembedding = Unembedding(self.runs, self.readers[-1])
        return self.runs.clean_metric - unembedding.changes(change)["live"]

    def _heads(
        self, now: Float[Tensor, "writer prompt pos d_model"], whole: Tensor, layer: int, attention: Attention
    ) -> list[Float[Tensor, "prompt head pos d_head"]]:
        """Changes of the queries, keys and values, each head's from what it alone hears."""
        places = list(self._of(layer, MODES))
        columns = [j for j, _ in places]
        # Readers that hear the same are computed once: all of a layer where whole nodes are cut.
        sums, which = whole[:, columns].unique(dim=1, return_inverse=True)
        found = [torch.zeros_like(attention.queries) for _ in MODES]
        for i, change in enumerate(self._heard(now, sums, columns[0])):
            shifts = attention.shifts(change, *scalings(self.runs, self.readers[columns[0]], change)["live"])
            for at, (_, part) in enumerate(places):
                if which[at] == i:
                    mode = MODES.index(part.kind)
                    found[mode][:, part.head] = shifts[mode][:, part.head]
        return found

    def _heard(
        self, now: Float[Tensor, "writer prompt pos d_model"], whole: Bool[Tensor, "writer sum"], reader: int
    ) -> Float[Tensor, "sum prompt pos d_model"]:
        """What a reader hears beside its clean stream, for each column of whole edges."""
        before = self.can[:, reader]
        keep = whole[before].T.float()
        # The parts are in the order of writing, so those before a reader are the first ones.
        n = len(keep[0])
        heard = keep @ now[:n].flatten(1) + (1 - keep) @ self.corrupt[:n].flatten(1)
        return heard.view(len(keep), *now.shape[1:])

    def _of(self, layer: int, kinds: tuple[str, ...]) -> Iterator[tuple[int, Part]]:
        return ((j, part) for j, part in enumerate(self.readers) if part.layer == layer and part.kind in kinds)
