"""Chapter 05: which head writes what a later head reads, from the weights alone."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.compare import DepthMap, null_deviation
from rsutils.errors import CourseError
from rsutils.models import kv_heads, n_directions

MODES = ("Q", "K", "V")
METRICS = ("norm", "score", "z")


@dataclass(frozen=True)
class Circuits:
    """Every head's circuits as thin factors: one side of the circuit in full, of the other side only its size.

    ``write[i].T @ write[i] == W_OV.T @ W_OV`` for the OV circuit of head ``i``, so ``norm(X @ W_OV.T)`` and
    ``norm(X @ write[i].T)`` agree for every ``X``; ``read["Q"]`` stands so for ``W_QK.T``, ``read["K"]`` for
    ``W_QK`` and ``read["V"]`` for ``W_OV.T``. Biases are not part of a circuit.

    Attributes:
        labels: ``"L0H0"``, ``"L0H1"``, ... in the order of the first axis.
        n_heads: heads in a layer.
        width: dimensions of the stream that carry anything: ``d_model``, and one less where writers are centred.
    """

    labels: list[str]
    n_heads: int
    width: int
    write: Float[Tensor, "head d_head d_model"]
    read: dict[str, Float[Tensor, "head d_head d_model"]]

    def index(self, label: str) -> int:
        """Where the head called ``label`` stands on the first axis.

        Raises:
            CourseError: there is no such head.
        """
        if label not in self.labels:
            raise CourseError(f"expected a head from {self.labels[0]} to {self.labels[-1]}, got {label!r}")
        return self.labels.index(label)


@dataclass(frozen=True)
class Composition:
    """How strongly each head feeds each head of a later layer; NaN where the destination is not later.

    Each is a matrix by mode (``"Q"``, ``"K"``, ``"V"``), row = source head, column = destination head:
    ``norm`` of the composed circuits, ``score`` (that over the product of the two norms; Elhage et al. 2021,
    "A Mathematical Framework for Transformer Circuits", on composition), and ``z``, the standard deviations
    by which score**2 exceeds its mean when a random rotation stands between the two circuits.
    """

    labels: list[str]
    norm: dict[str, Float[Tensor, "source destination"]]
    score: dict[str, Float[Tensor, "source destination"]]
    z: dict[str, Float[Tensor, "source destination"]]

    def top(self, mode: str, n: int = 10, metric: str = "z") -> list[tuple[str, str, float]]:
        """The ``n`` strongest pairs as (source, destination, value), strongest first."""
        matrix = getattr(self, metric)[mode]
        order = matrix.nan_to_num(-torch.inf).flatten().argsort(descending=True)[: min(n, self.n_pairs)].tolist()
        pairs = [divmod(flat, len(self.labels)) for flat in order]
        return [(self.labels[s], self.labels[d], matrix[s, d].item()) for s, d in pairs]

    def rank(self, mode: str, source: str, destination: str, metric: str = "z") -> int:
        """1 for the strongest of all ``n_pairs`` pairs."""
        matrix = getattr(self, metric)[mode]
        return 1 + int((matrix > matrix[self.labels.index(source), self.labels.index(destination)]).sum())

    @property
    def n_pairs(self) -> int:
        """Pairs with the source in an earlier layer than the destination."""
        return int((~self.norm["V"].isnan()).sum())


def circuits(model: TransformerBridge, offset: int | None = 0) -> Circuits:
    """The thin factors of every head, by one small QR a weight.

    With rotary positions a head's W_QK depends on how far the key lies behind the query:
    ``W_Q @ rotation(offset) @ W_K.T`` (Su et al. 2021, "RoFormer", section 3.2). ``offset`` picks the
    distance in tokens; ``None`` leaves out the side that does not read the source (``norm(W_OV @ W_Q)`` for
    Q), which no rotation changes. Models with learned positions have one W_QK: there an offset changes
    nothing. V-composition never depends on it.
    """
    turn = None if offset is None else rotation(model, offset)
    write, read = [], {mode: [] for mode in MODES}
    for block in model.blocks:
        W_Q, W_K, W_V, W_O = (getattr(block.attn, name) for name in ("W_Q", "W_K", "W_V", "W_O"))
        serves = kv_heads(block.attn)
        write.append(_r(W_V)[serves] @ W_O)
        read["V"].append(_r(W_O.mT) @ W_V[serves].mT)
        read["Q"].append(W_Q.mT if turn is None else (_r(W_K) @ turn.T)[serves] @ W_Q.mT)
        read["K"].append(W_K[serves].mT if turn is None else _r(W_Q) @ turn @ W_K[serves].mT)
    return Circuits(
        labels=model.all_head_labels,
        n_heads=model.cfg.n_heads,
        width=n_directions(model),
        write=torch.cat(write),
        read={mode: torch.cat(thin) for mode, thin in read.items()},
    )


def rotation(model: TransformerBridge, offset: int) -> Float[Tensor, "d_head d_head"]:
    """What stands between W_Q and W_K.T for a key ``offset`` tokens behind its query; identity without RoPE."""
    eye = torch.eye(model.cfg.d_head)
    if model.cfg.positional_embedding_type != "rotary":
        return eye
    cos, sin = model.rotary_emb(eye[None], torch.tensor([[offset]]))
    rotary, rest = eye.split([cos.shape[-1], len(eye) - cos.shape[-1]], dim=-1)
    first, second = rotary.chunk(2, dim=-1)
    return torch.cat([rotary * cos[0] + torch.cat([-second, first], dim=-1) * sin[0], rest], dim=-1)


def composition(c: Circuits, rows: int = 64) -> Composition:
    """Q-, K- and V-composition of every head with every head of a later layer.

    ``norm(W @ R.T)**2 == <W.T @ W, R.T @ R>``: two symmetric ``d_model x d_model`` matrices a pair, which is
    less work than multiplying the pair's factors. They are made and used ``rows`` rows at a time (upper
    triangle only), so memory above ``c`` is ``n_heads * n_layers * rows * d_model`` floats.
    """
    n_all, _, d_model = c.write.shape
    squared = torch.zeros(len(MODES), n_all, n_all, dtype=torch.float64)
    for start in range(0, d_model, rows):
        write = _gram_rows(c.write[: -c.n_heads], start, rows)
        for first in range(c.n_heads, n_all, c.n_heads):
            here = slice(first, first + c.n_heads)
            read = _gram_rows(torch.cat([c.read[mode][here] for mode in MODES]), start, rows)
            read[:, :, :rows] /= 2  # the diagonal block stands for itself, every other block for its mirror too
            found = write[:first].flatten(1) @ read.flatten(1).T
            squared[:, :first, here] += 2 * found.view(first, len(MODES), -1).transpose(0, 1)
    layer = torch.arange(n_all) // c.n_heads
    squared[:, layer[:, None] >= layer] = torch.nan
    size, spread = _moments(c.write, c.width)
    result = {metric: {} for metric in METRICS}
    for mode, square in zip(MODES, squared.clamp(min=0), strict=True):
        read_size, read_spread = _moments(c.read[mode], c.width)
        share = square / torch.outer(size, read_size)
        result["norm"][mode] = square.sqrt().float()
        result["score"][mode] = share.sqrt().float()
        result["z"][mode] = ((share - 1 / c.width) / null_deviation(c.width, spread[:, None], read_spread)).float()
    return Composition(labels=c.labels, **result)


def by_depth(model: TransformerBridge, scores: Composition) -> dict[tuple[str, str], DepthMap]:
    """Scores between every two layers over chance, by mode and by how the pairs of heads are summed up (``OVER``).

    ``rms`` is 1 for random directions whatever the number of heads, since chance is a root mean square too, and it
    hides a few strong pairs among many weak ones. ``max`` shows them, but lies above 1 by chance already, the more
    so the more heads there are: compare it with an untrained model, not across models.
    """
    name, n, found = Path(model.info.name).name, model.cfg.n_heads, {}
    for mode in MODES:
        times = (scores.score[mode].double() * n_directions(model) ** 0.5).unflatten(0, (-1, n)).unflatten(2, (-1, n))
        found[mode, "rms"] = DepthMap(name, times.square().mean(dim=(1, 3)).sqrt().numpy())
        found[mode, "max"] = DepthMap(name, times.amax(dim=(1, 3)).numpy())
    return found


def components(
    c: Circuits, mode: str, source: int, destination: int
) -> Float[Tensor, "source_component destination_component"]:
    """The part of the pair's squared composition that runs between each two singular directions; sums to one.

    Rows are the directions the source's OV circuit writes, columns those the destination's circuit reads, each
    by falling singular value (Merullo et al. 2024, "Talking Heads: Understanding Inter-layer Communication in
    Transformer Language Models", scores such components one by one).
    """
    _, s_write, directions = torch.linalg.svd(c.write[source], full_matrices=False)
    _, s_read, read_directions = torch.linalg.svd(c.read[mode][destination], full_matrices=False)
    between = s_write[:, None] * (directions @ read_directions.T) * s_read
    return between.square() / between.square().sum()


def null_scores(
    c: Circuits, mode: str, source: int, destination: int, n: int = 500, seed: int = 0
) -> Float[Tensor, " draw"]:
    """Scores of one pair under ``n`` random rotations between its circuits: what ``z`` knows in closed form.

    Only where the source writes is drawn, ``d_head`` orthonormal directions; its singular values stay.
    """
    generator = torch.Generator().manual_seed(seed)
    s = torch.linalg.svdvals(c.write[source])
    reader = c.read[mode][destination]
    norms = []
    for _ in range(n):
        draw = torch.randn(c.write.shape[2], len(s), generator=generator)
        if c.width < len(draw):
            draw -= draw.mean(dim=0)
        norms.append((s[:, None] * (torch.linalg.qr(draw).Q.T @ reader.T)).norm())
    return torch.stack(norms) / (s.norm() * reader.norm())


def _r(W: Float[Tensor, "head tall thin"]) -> Float[Tensor, "head thin thin"]:
    """The R of W = QR: as large as W, without its directions in the tall space."""
    return torch.linalg.qr(W, mode="r").R


def _gram_rows(thin: Float[Tensor, "head d_head d_model"], start: int, rows: int) -> Float[Tensor, "head rows columns"]:
    """Rows ``start`` to ``start + rows`` of each ``thin.T @ thin``, from column ``start`` on."""
    return thin[:, :, start : start + rows].mT @ thin[:, :, start:]


def _moments(
    thin: Float[Tensor, "head d_head d_model"], width: int
) -> tuple[Float[Tensor, " head"], Float[Tensor, " head"]]:
    """``sum(s**2)`` of each head's singular values, and its spread ``sum(s**4) / sum(s**2)**2``, in float64."""
    gram = (thin @ thin.mT).double()
    size = gram.diagonal(dim1=1, dim2=2).sum(-1)
    return size, gram.square().sum((1, 2)) / size**2
