"""Chapter 04: how strongly every writer of the stream is coupled to every later reader, beside what chance gives."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.compare import DepthMap
from rsutils.models import mlp_readers, n_directions, tokens

METRICS = {
    "raw": "norm of writer @ reader",
    "size": "norm of writer x norm of reader",
    "normalised": "raw / size",
    "z": "standard deviations above chance",
    "rho": "alignment beyond chance",
    "weighted": "really sent, on text",
}
SENTENCES = (
    "The cat sat on the mat and looked at the dog.",
    "Anna gave the red ball to Tom.",
    "It was a cold day, so they stayed at home.",
    "One, two, three, four, five, six, seven.",
    "The king of France lives in Paris.",
    "She opened the box and found a small key.",
    "He ran and ran and ran until he fell.",
    "Why did the bird fly away?",
    "The boy said that he was not hungry.",
    "My sister likes apples, and I like pears.",
    "After the rain the sun came out again.",
    "They went to the park to play with a kite.",
    "The opposite of hot is cold.",
    "Once upon a time there was a little girl.",
    "Tom and Anna were friends. Anna and Tom played.",
    "The old man walked slowly down the road.",
)


@dataclass(frozen=True)
class Part:
    """One writer, weight ``[rows, d_model]``, or one reader, ``[d_model, columns]``; see ``sources``."""

    name: str
    layer: int
    weight: Float[Tensor, "rows columns"]


@dataclass(frozen=True)
class Coupling:
    """Every pair of one model: for each metric a matrix, row = source, column = destination, NaN where there is none.

    ``distance`` is in layers (the embedding is layer -1). ``chance`` is the root mean square of the normalised
    coupling when directions are random.
    """

    model: str
    sources: list[str]
    destinations: list[str]
    distance: Float64[np.ndarray, "source destination"]
    chance: float
    values: dict[str, Float64[np.ndarray, "source destination"]]

    def table(self) -> list[dict[str, str | float]]:
        """The same as one long table: a row for each pair and metric, with its source, destination, metric, value."""
        return [
            {"source": source, "destination": destination, "metric": metric, "value": float(matrix[i, j])}
            for metric, matrix in self.values.items()
            for i, source in enumerate(self.sources)
            for j, destination in enumerate(self.destinations)
            if not np.isnan(matrix[i, j])
        ]

    def top(self, metric: str, n: int = 10) -> list[dict[str, str | float]]:
        """The ``n`` strongest pairs of a metric, strongest first."""
        rows = [row for row in self.table() if row["metric"] == metric]
        return sorted(rows, key=lambda row: -row["value"])[:n]

    def mlps(self) -> "Coupling":
        """The pairs of MLPs alone, without the two ends, which are as large as the vocabulary and hide the rest."""
        rows, columns = (
            [k for k, name in enumerate(names) if name.startswith("mlp")] for names in (self.sources, self.destinations)
        )
        inner = np.ix_(rows, columns)
        return replace(
            self,
            sources=[self.sources[i] for i in rows],
            destinations=[self.destinations[j] for j in columns],
            distance=self.distance[inner],
            values={metric: matrix[inner] for metric, matrix in self.values.items()},
        )


def sources(model: TransformerBridge) -> list[Part]:
    """The embedding and every MLP's ``W_out``, in the order in which they write; views on the model's weights."""
    mlps = [Part(f"mlp {layer}", layer, block.mlp.W_out) for layer, block in enumerate(model.blocks)]
    return [Part("embed", -1, model.embed.weight), *mlps]


def destinations(model: TransformerBridge) -> list[Part]:
    """Every MLP's ``W_in`` (and ``W_gate``, where it is gated) and the unembedding, in the order in which they read."""
    mlps = [
        Part(f"mlp {layer}{kind}", layer, W)
        for layer, block in enumerate(model.blocks)
        for kind, (W, _) in zip(("", " gate"), mlp_readers(block), strict=False)
    ]
    return [*mlps, Part("unembed", len(model.blocks), model.unembed.W_U)]


def all_pairs(model: TransformerBridge, sentences: Iterable[str] = ()) -> Coupling:
    """Measure every pair of a loaded model; with ``sentences``, the metric ``weighted`` too.

    The null counts the directions that the stream offers (``n_directions``).

    Raises:
        CourseError: a sentence is empty or longer than the model's context.
    """
    name = Path(model.info.name).name
    if not (sentences := list(sentences)):
        return measure(sources(model), destinations(model), n_directions(model), name)
    outputs, scales = activations(model, sentences)
    both = measure(sources(model) + outputs, destinations(model), n_directions(model), name)
    n = len(outputs)
    values = {metric: matrix[:n] for metric, matrix in both.values.items()}
    values["weighted"] = both.values["raw"][n:] / [scales[d.layer] for d in destinations(model)]
    return Coupling(both.model, both.sources[:n], both.destinations, both.distance[:n], both.chance, values)


def measure(sources: list[Part], destinations: list[Part], dimensions: int, name: str = "") -> Coupling:
    """All metrics that need weights alone, for every pair whose source writes before its destination reads.

    With write Gram ``A = W_out.T @ W_out`` and read Gram ``B = W_in @ W_in.T``, both ``[d_model, d_model]``,
    ``norm(W_out @ W_in)_F^2 = <A, B>``: one Gram matrix a layer takes the place of one large product a pair.
    If a random rotation of the ``dimensions`` = d directions stood between the two, ``<A, B>`` would have mean
    ``tr(A) tr(B) / d`` and variance ``2 norm(A0)^2 norm(B0)^2 / ((d - 1)(d + 2))``, where ``A0 = A - tr(A)/d I``:
    the first gives ``chance = 1/sqrt(d)``, both give ``z``, and ``rho = cos(A0, B0)``.

    Memory: one ``d_model x d_model`` float32 matrix a source and five more. Inner products are summed in float64.
    """
    A = [gram(source.weight.T) for source in sources]
    trace_A, square_A = _trace_and_square(A)
    distance = np.array([[d.layer - s.layer for d in destinations] for s in sources], dtype=np.float64)
    distance[distance <= 0] = np.nan
    product = np.full_like(distance, np.nan)
    trace_B, square_B = np.empty((2, len(destinations)))
    for j, destination in enumerate(destinations):
        B = gram(destination.weight)
        trace_B[j], square_B[j] = (x.item() for x in _trace_and_square([B]))
        B = B.astype(np.float64)
        for i in range(len(sources)):
            if not np.isnan(distance[i, j]):
                product[i, j] = np.vdot(A[i], B)
    mean = np.outer(trace_A, trace_B) / dimensions
    # norm(A0)^2 = norm(A)^2 - tr(A)^2 / d
    spread = np.outer(square_A - trace_A**2 / dimensions, square_B - trace_B**2 / dimensions) ** 0.5
    values = {"raw": product**0.5, "size": np.where(np.isnan(product), np.nan, np.outer(trace_A, trace_B) ** 0.5)}
    values["normalised"] = values["raw"] / values["size"]
    values["rho"] = (product - mean) / spread
    values["z"] = values["rho"] * ((dimensions - 1) * (dimensions + 2) / 2) ** 0.5
    names = [s.name for s in sources], [d.name for d in destinations]
    return Coupling(name, *names, distance, dimensions**-0.5, values)


def by_distance(found: Coupling, metric: str) -> dict[int, float]:
    """Mean of a metric over the pairs of MLPs at each distance in layers."""
    mlps = found.mlps()
    distances = np.unique(mlps.distance[~np.isnan(mlps.distance)])
    return {int(d): float(mlps.values[metric][mlps.distance == d].mean()) for d in distances}


def by_depth(found: Coupling) -> DepthMap:
    """Normalised coupling of every two MLPs over chance, to put beside other models' (``compare.figures``).

    A gated MLP reads twice, and both count: side by side, ``[W_in, W_gate]`` is one reader, whose squared norms are
    the sums of theirs and whose chance is the same. Comparing ``W_in`` alone would leave out half of what it reads.
    """
    mlps = found.mlps()
    layers = len(mlps.sources)
    raw, size = ((mlps.values[metric] ** 2).reshape(layers, layers, -1).sum(axis=2) for metric in ("raw", "size"))
    return DepthMap(found.model, np.sqrt(raw / size) / found.chance)


def gram(W: Float[Tensor, "d_model columns"]) -> Float[np.ndarray, "d_model d_model"]:
    """``W @ W.T``, in NumPy: it sees that both factors are one matrix and does half the multiplications of torch."""
    factor = W.detach().numpy()
    return factor @ factor.T


@torch.no_grad()
def activations(model: TransformerBridge, sentences: Iterable[str]) -> tuple[list[Part], dict[int, float]]:
    """What each source really writes on some text, and the scale that stands before each destination.

    Returns a ``Part`` a source whose weight ``[tokens, d_model]`` is its output, centred over tokens and divided
    by ``sqrt(tokens)``, so that ``norm(weight @ W_in)_F`` is the root mean square of what varies in the reader's
    input; and by layer the norm's mean scale (the unembedding under ``n_layers``). First positions are left out:
    a model treats them as a place to rest attention, and their norms can be a hundred times the others'.
    """
    layers = range(len(model.blocks))
    written = {-1: "hook_embed"} | {layer: f"blocks.{layer}.hook_mlp_out" for layer in layers}
    scaled = {layer: f"blocks.{layer}.ln2.hook_scale" for layer in layers} | {len(layers): "ln_final.hook_scale"}
    wanted = {*written.values(), *scaled.values()}
    caches = [
        model.run_with_cache(tokens(model, text), names_filter=lambda name: name in wanted)[1] for text in sentences
    ]
    seen = {name: torch.cat([cache[name][0, 1:] for cache in caches]) for name in wanted}
    parts = []
    for part in sources(model):
        out = seen[written[part.layer]]
        parts.append(Part(part.name, part.layer, (out - out.mean(dim=0)) / len(out) ** 0.5))
    return parts, {layer: seen[name].mean().item() for layer, name in scaled.items()}


def _trace_and_square(grams: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    traces = [np.trace(G, dtype=np.float64) for G in grams]
    return np.array(traces), np.array([np.einsum("ij,ij->", G, G, dtype=np.float64) for G in grams])
