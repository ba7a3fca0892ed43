"""Chapter 04: how strongly every writer of the stream is coupled to every later reader, beside what chance gives."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.compare import DepthMap, PairScores, cannot_communicate, check_n_directions, z_scores
from rsutils.errors import CourseError
from rsutils.models import mlp_readers, n_directions, tokens

METRICS = {
    "norm": "norm of writer @ reader",
    "score": "norm / size",
    "z": "standard deviations above chance",
    "size": "norm of writer x norm of reader",
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
class Writer:
    """What writes to the stream, one direction a row; the embedding stands in layer -1."""

    name: str
    layer: int
    weight: Float[Tensor, "rows d_model"]

    @property
    def gram(self) -> Float[np.ndarray, "d_model d_model"]:
        """``weight.T @ weight``: which directions it writes in, and how much."""
        return _gram(self.weight.T)


@dataclass(frozen=True)
class Reader:
    """What reads from the stream, one direction a column; the unembedding stands after the last layer."""

    name: str
    layer: int
    weight: Float[Tensor, "d_model columns"]

    @property
    def gram(self) -> Float[np.ndarray, "d_model d_model"]:
        """``weight @ weight.T``: which directions it reads, and how much."""
        return _gram(self.weight)


class Overlaps(NamedTuple):
    """``<A, B>`` of each wanted pair of Grams (NaN for others), and each Gram's trace and square."""

    inner: Float64[np.ndarray, "source destination"]
    write_trace: Float64[np.ndarray, " source"]
    write_square: Float64[np.ndarray, " source"]
    read_trace: Float64[np.ndarray, " destination"]
    read_square: Float64[np.ndarray, " destination"]


def sources(model: TransformerBridge) -> list[Writer]:
    """The embedding and every MLP's ``W_out``, in the order in which they write; views on the model's weights."""
    mlps = [Writer(f"mlp {layer}", layer, block.mlp.W_out) for layer, block in enumerate(model.blocks)]
    return [Writer("embed", -1, model.embed.weight), *mlps]


def destinations(model: TransformerBridge) -> list[Reader]:
    """Every MLP's ``W_in`` (and ``W_gate``, where it is gated) and the unembedding, in the order in which they read."""
    mlps = [
        Reader(f"mlp {layer}{kind}", layer, W)
        for layer, block in enumerate(model.blocks)
        for kind, (W, _) in zip(("", " gate"), mlp_readers(block), strict=False)
    ]
    return [*mlps, Reader("unembed", len(model.blocks), model.unembed.W_U)]


def all_pairs(model: TransformerBridge, sentences: Iterable[str] = ()) -> PairScores:
    """Every pair of a loaded model in the metrics of ``METRICS``; ``weighted`` only where there are ``sentences``.

    The null counts the directions that the stream offers (``n_directions``).

    Raises:
        CourseError: ``sentences`` is one text, or one of them is empty, no text or longer than the model's context.
    """
    writers, readers = sources(model), destinations(model)
    if isinstance(sentences, str):
        raise CourseError(f"expected a list of sentences, got one text: write [{sentences[:20]!r}]")
    outputs, scales = activations(model, texts) if (texts := list(sentences)) else ([], {})
    found, n = overlaps(writers + outputs, readers), len(writers)
    weights = found._replace(
        inner=found.inner[:n], write_trace=found.write_trace[:n], write_square=found.write_square[:n]
    )
    scores = _scores(writers, readers, weights, n_directions(model), Path(model.info.name).name)
    if not outputs:
        return scores
    weighted = found.inner[n:] ** 0.5 / np.array([scales[reader.layer] for reader in readers])
    return replace(scores, more=scores.more | {"weighted": weighted})


def measure(writers: Sequence[Writer], readers: Sequence[Reader], n_directions: int, model: str = "") -> PairScores:
    """All metrics that need weights alone, for every pair whose writer writes before its reader reads.

    With write Gram ``A = W_out.T @ W_out`` and read Gram ``B = W_in @ W_in.T``, both ``[d_model, d_model]``,
    ``norm(W_out @ W_in)_F^2 = <A, B>``: one Gram matrix a layer takes the place of one large product a pair.
    If a random rotation of the ``n_directions`` = d directions stood between the two, ``<A, B>`` would have mean
    ``tr(A) tr(B) / d`` and variance ``2 norm(A0)^2 norm(B0)^2 / ((d - 1)(d + 2))``, where ``A0 = A - tr(A)/d I``:
    the first gives ``chance = 1/sqrt(d)``, both give ``z`` (``compare.z_scores``), and ``rho = cos(A0, B0)``.

    Memory: one ``d_model x d_model`` float32 matrix a writer and five more. Inner products are summed in float64.

    Raises:
        CourseError: there is no writer or no reader, or they are zero, not finite or not of one stream, or
            ``n_directions`` does not belong to it.
    """
    return _scores(writers, readers, overlaps(writers, readers), n_directions, model)


def controls(model: TransformerBridge) -> PairScores:
    """The pairs of MLPs whose writer stands at or after the reader, in the metrics that need weights alone.

    Nothing that the one writes ever reaches the other, in whatever directions it writes. What such pairs share is no
    communication, so pairs that can communicate have to be compared with them, and not with chance alone.
    """
    writers, readers = sources(model)[1:], destinations(model)[:-1]
    found = overlaps(writers, readers, of_controls=True)
    return _scores(writers, readers, found, n_directions(model), Path(model.info.name).name)


def together(
    scores: PairScores, controls: PairScores, metric: str
) -> tuple[Float64[np.ndarray, "source destination"], Bool[np.ndarray, "source destination"]]:
    """A metric of every two MLPs, whether they can communicate or not, and which of them can.

    Raises:
        CourseError: the controls are not those of the scores' MLPs, or there is no such metric.
    """
    inner = mlps(scores)
    if (inner.sources, inner.destinations) != (controls.sources, controls.destinations):
        raise CourseError(
            f"expected controls of {len(inner.sources)} MLPs that write and {len(inner.destinations)} that read, got "
            f"{len(controls.sources)} and {len(controls.destinations)}: take coupling.controls of the same MLPs"
        )
    if not (inner.there ^ controls.there).all():
        raise CourseError("expected each pair once, as one that can communicate or not, got others: see controls()")
    return np.where(inner.there, inner.metric(metric), controls.metric(metric)), inner.there


def overlaps(writers: Sequence[Writer], readers: Sequence[Reader], of_controls: bool = False) -> Overlaps:
    """The Grams' inner products, from which every metric follows; see ``measure`` for memory and errors.

    Those of the pairs that can communicate, or with ``of_controls`` those of the pairs that cannot.
    """
    check_one_stream(writers, readers)
    A = [writer.gram for writer in writers]
    write_trace, write_square = _trace_and_square(A)
    write_layer, read_layer = np.array([w.layer for w in writers]), np.array([r.layer for r in readers])
    wanted = cannot_communicate(write_layer, read_layer) == of_controls
    inner = np.full(wanted.shape, np.nan)
    read_trace, read_square = np.empty((2, len(readers)))
    for j, reader in enumerate(readers):
        B = reader.gram
        read_trace[j], read_square[j] = (x.item() for x in _trace_and_square([B]))
        B = B.astype(np.float64)
        for i in np.flatnonzero(wanted[:, j]):
            inner[i, j] = max(0.0, np.vdot(A[i], B))
    return Overlaps(inner, write_trace, write_square, read_trace, read_square)


def mlps(scores: PairScores) -> PairScores:
    """The pairs of MLPs alone, without the two ends, which are as large as the vocabulary and hide the rest."""
    return scores.among(
        *([name for name in names if name.startswith("mlp")] for names in (scores.sources, scores.destinations))
    )


def distance(scores: PairScores) -> Float64[np.ndarray, "source destination"]:
    """How many layers lie between each two MLPs, 1 for neighbours; NaN for pairs that have no values.

    Pairs that cannot communicate (``controls``) have distances of 0, an MLP with itself, and below.
    """
    inner = mlps(scores)
    write_layer, read_layer = (
        np.array([_layer(name) for name in names]) for names in (inner.sources, inner.destinations)
    )
    return np.where(inner.there, read_layer - write_layer[:, None], np.nan)


def by_distance(scores: PairScores, metric: str) -> dict[int, float]:
    """Mean of a metric over the pairs of MLPs at each distance in layers; empty where no MLP comes after another."""
    apart, values = distance(scores), mlps(scores).metric(metric)
    return {int(d): float(values[apart == d].mean()) for d in np.unique(apart[~np.isnan(apart)])}


def nearness(
    values: Float64[np.ndarray, "source destination"], apart: Float64[np.ndarray, "source destination"]
) -> float:
    """Mean over neighbours (``apart`` is 1) as a multiple of the mean over pairs further apart; NaN without both.

    >>> nearness(np.array([[3.0, 2.0], [np.nan, 5.0]]), np.array([[1.0, 2.0], [np.nan, 1.0]]))
    2.0
    """
    near, far = values[apart == 1], values[apart > 1]
    return float(near.mean() / far.mean()) if len(near) and len(far) else float("nan")


def by_depth(scores: PairScores) -> DepthMap:
    """Score of every two MLPs over chance, to put beside other models' (``compare.figures``).

    A gated MLP reads twice, and both count: side by side, ``[W_in, W_gate]`` is one reader, whose squared norms are
    the sums of theirs and whose chance is the same. Comparing ``W_in`` alone would leave out half of what it reads.

    Raises:
        CourseError: no MLP comes after another.
    """
    inner = mlps(scores)
    layers = len(inner.sources)
    norm, size = ((inner.metric(name) ** 2).reshape(layers, layers, -1).sum(axis=2) for name in ("norm", "size"))
    return DepthMap(scores.model, np.sqrt(norm / size) / scores.chance)


@torch.no_grad()
def activations(model: TransformerBridge, sentences: Iterable[str]) -> tuple[list[Writer], dict[int, float]]:
    """What each source really writes on some text, and the scale that stands before each destination.

    Returns a ``Writer`` a source whose weight ``[tokens, d_model]`` is its output, centred over tokens and divided
    by ``sqrt(tokens)``, so that ``norm(weight @ W_in)_F`` is the root mean square of what varies in the reader's
    input; and by layer the norm's mean scale (the unembedding under ``n_layers``). First positions are left out:
    a model treats them as a place to rest attention, and their norms can be a hundred times the others'.

    Raises:
        CourseError: a sentence is empty, no text or longer than the model's context, or all are one token long.
    """
    texts = list(sentences)
    for text in texts:
        if not isinstance(text, str):
            raise CourseError(f"expected sentences, got {type(text).__name__}: write each as a text in quotes")
    layers = range(len(model.blocks))
    written = {-1: "hook_embed"} | {layer: f"blocks.{layer}.hook_mlp_out" for layer in layers}
    scaled = {layer: f"blocks.{layer}.ln2.hook_scale" for layer in layers} | {len(layers): "ln_final.hook_scale"}
    wanted = {*written.values(), *scaled.values()}
    ids = [tokens(model, text) for text in texts]
    if sum(each.shape[1] - 1 for each in ids) < 2:
        raise CourseError("expected text with two tokens or more after its first, got fewer: write a longer sentence")
    caches = [model.run_with_cache(each, names_filter=lambda name: name in wanted)[1] for each in ids]
    seen = {name: torch.cat([cache[name][0, 1:] for cache in caches]) for name in wanted}
    outputs = []
    for source in sources(model):
        out = seen[written[source.layer]]
        outputs.append(Writer(f"{source.name} on text", source.layer, (out - out.mean(dim=0)) / len(out) ** 0.5))
    return outputs, {layer: seen[name].mean().item() for layer, name in scaled.items()}


def check_one_stream(writers: Sequence[Writer], readers: Sequence[Reader]) -> None:
    """Refuse writers and readers that have no stream in common.

    Raises:
        CourseError: there are none of a kind, or their ``d_model`` differ.
    """
    if not writers or not readers:
        raise CourseError(
            f"expected writers and readers, got {len(writers)} and {len(readers)}: "
            "take coupling.sources(model) and coupling.destinations(model)"
        )
    widths = {writer.weight.shape[1] for writer in writers} | {reader.weight.shape[0] for reader in readers}
    if len(widths) > 1:
        raise CourseError(
            f"expected writers [rows, d_model] and readers [d_model, columns] of one stream, got d_model "
            f"{sorted(widths)}: take both from one model"
        )


def _scores(
    writers: Sequence[Writer], readers: Sequence[Reader], found: Overlaps, n_directions: int, model: str
) -> PairScores:
    check_n_directions(n_directions, writers[0].weight.shape[1])
    names = [*(writer.name for writer in writers), *(reader.name for reader in readers)]
    for name, square in zip(names, (*found.write_square, *found.read_square), strict=True):
        if not 0 < square < np.inf:
            raise CourseError(
                f"expected weights that are finite and not zero, got others in {name}: load the model again"
            )
    size = np.where(np.isnan(found.inner), np.nan, np.outer(found.write_trace, found.read_trace) ** 0.5)
    share = found.inner / size**2
    with np.errstate(divide="ignore", invalid="ignore"):  # a part that is equally large in all directions has no z
        write_spread, read_spread = found.write_square / found.write_trace**2, found.read_square / found.read_trace**2
        z = z_scores(share, n_directions, write_spread[:, None], read_spread)
    z[~np.isfinite(z)] = np.nan
    return PairScores(
        model=model,
        sources=[writer.name for writer in writers],
        destinations=[reader.name for reader in readers],
        n_directions=n_directions,
        norm=found.inner**0.5,
        score=share**0.5,
        z=z,
        more={"size": size, "rho": z / ((n_directions - 1) * (n_directions + 2) / 2) ** 0.5},
    )


def _gram(W: Float[Tensor, "d_model columns"]) -> Float[np.ndarray, "d_model d_model"]:
    """``W @ W.T``, in NumPy: it sees that both factors are one matrix and does half the multiplications of torch."""
    factor = W.detach().numpy()
    return factor @ factor.T


def _trace_and_square(grams: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    traces = [np.trace(G, dtype=np.float64) for G in grams]
    return np.array(traces), np.array([np.einsum("ij,ij->", G, G, dtype=np.float64) for G in grams])


def _layer(name: str) -> int:
    """Of ``mlp 3`` or ``mlp 3 gate``."""
    return int(name.split()[1])
