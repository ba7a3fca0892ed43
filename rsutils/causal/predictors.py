"""Chapter 06: everything in chapters 03 to 05 that could tell, without an intervention, which edges matter."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64
from transformer_lens.model_bridge import TransformerBridge

from rsutils import heads
from rsutils.causal.metric import ROWS
from rsutils.causal.parts import MODES, Part, can_hear, readers, writers
from rsutils.causal.prompts import Prompts
from rsutils.causal.runs import of_writer, scale_hook, writer_hook
from rsutils.causal.weights import read, whole_map, written
from rsutils.errors import CourseError
from rsutils.models import kv_heads


@dataclass(frozen=True)
class Predictors:
    """A number an edge from each predictor, those of edges that cannot exist included: they are the control.

    Attributes:
        sources, destinations: names of the writers and of the readers.
        can: which edges exist, since the reader comes after the writer.
        values: by name; NaN where a predictor says nothing of an edge.
    """

    sources: list[Part]
    destinations: list[Part]
    values: dict[str, Float64[np.ndarray, "source destination"]]

    @property
    def can(self) -> Bool[np.ndarray, "source destination"]:
        """Which edges exist."""
        return can_hear(self.sources, self.destinations)

    def of(self, name: str) -> Float64[np.ndarray, "source destination"]:
        """One predictor's numbers.

        Raises:
            CourseError: there is no such predictor.
        """
        if name not in self.values:
            raise CourseError(f"expected a predictor among {', '.join(self.values)}, got {name!r}: choose one of these")
        return self.values[name]


def from_weights(model: TransformerBridge) -> Predictors:
    """What the weights say of every edge: chapter 04's metrics of all, chapter 05's of heads, size and closeness.

    ``size of W_OV`` is the source's alone (of an MLP, ``W_out``'s); ``closeness`` is minus the layers between. Neither
    asks whether the source's directions meet the reader's.
    """
    sources, destinations = writers(model), readers(model)
    maps = whole_map(model), whole_map(model, of_controls=True)
    values = {name: np.where(maps[0].there, *(each.metric(name) for each in maps)) for name in ("norm", "score", "z")}
    values |= _composition(model, sources, destinations)
    size = np.array([_size(model, writer) for writer in sources])
    values["size of W_OV"] = np.repeat(size[:, None], len(destinations), axis=1)
    values["closeness"] = -np.array([[float(r.layer - w.layer) for r in destinations] for w in sources])
    return Predictors(sources, destinations, values)


@torch.no_grad()
def sent(model: TransformerBridge, prompts: Prompts) -> Float64[np.ndarray, "source destination"]:
    """Root mean square of ``w / scale @ W`` over the tokens of clean prompts: how much a source really sends.

    No intervention and no gradient, but the model has to run; first positions are left out. For edges that cannot
    exist it is what the source would send.
    """
    sources, destinations = writers(model), readers(model)
    squares, count = np.zeros((len(sources), len(destinations))), 0
    for batch in prompts.tokens.split(max(1, ROWS // prompts.tokens.shape[1])):
        names = {writer_hook(writer) for writer in sources} | {scale_hook(reader) for reader in destinations}
        _, cache = model.run_with_cache(batch, names_filter=lambda name, names=names: name in names)
        count += batch[:, 1:].numel()
        for layer_readers in _by_scale(destinations):
            columns = [destinations.index(reader) for reader in layer_readers]
            scale = cache[scale_hook(layer_readers[0])][:, 1:].flatten(0, 1)
            W = [read(model, reader) for reader in layer_readers]
            for row, writer in enumerate(sources):
                x = of_writer(model, writer, cache[writer_hook(writer)])[:, 1:].flatten(0, 1) / scale
                gram = x.T @ x  # norm(x @ W)**2 = <x.T @ x, W @ W.T>
                squares[row, columns] += [((gram @ each) * each).sum().item() for each in W]
    return np.sqrt(squares.clip(min=0) / count)


def _composition(
    model: TransformerBridge, sources: list[Part], destinations: list[Part]
) -> dict[str, Float64[np.ndarray, "source destination"]]:
    """Chapter 05's composition of heads, NaN for all other edges and for those that cannot exist."""
    metrics = ("norm", "score", "z")
    found = {f"composition {metric}": np.full((len(sources), len(destinations)), np.nan) for metric in metrics}
    scores = heads.composition(heads.circuits(model))
    row = [i for i, part in enumerate(sources) if part.kind == "head"]
    for mode in MODES:
        column = [i for i, part in enumerate(destinations) if part.kind == mode]
        for metric in metrics:
            found[f"composition {metric}"][np.ix_(row, column)] = scores[mode].metric(metric)
    return found


def _size(model: TransformerBridge, writer: Part) -> float:
    W = written(model, writer)
    if writer.kind == "head":
        attn = model.blocks[writer.layer].attn
        W = attn.W_V[kv_heads(attn)[writer.head]] @ W
    return torch.linalg.norm(W).item()


def _by_scale(destinations: list[Part]) -> Iterator[list[Part]]:
    for hook in dict.fromkeys(map(scale_hook, destinations)):
        yield [reader for reader in destinations if scale_hook(reader) == hook]
