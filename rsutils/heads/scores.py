"""Chapter 05: which head writes what a later head reads, from the weights alone."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils import compare
from rsutils.compare import DepthMap, PairScores, z_scores
from rsutils.errors import CourseError
from rsutils.heads.arguments import MODES, check_mode, check_whole
from rsutils.models import check_index, kv_heads, n_directions, rotate_halves, shown

ROWS = 64  # of the Gram matrices that are held at a time


@dataclass(frozen=True)
class Circuits:
    """Every head's circuits as thin factors: one side of the circuit in full, of the other side only its size.

    ``write[i].T @ write[i] == W_OV.T @ W_OV`` for the OV circuit of head ``i``, so ``norm(X @ W_OV.T)`` and
    ``norm(X @ write[i].T)`` agree for every ``X``; ``read["Q"]`` stands so for ``W_QK.T``, ``read["K"]`` for
    ``W_QK`` and ``read["V"]`` for ``W_OV.T``. Biases are not part of a circuit.

    Attributes:
        model: the model's name.
        labels: ``"L0H0"``, ``"L0H1"``, ... in the order of the first axis.
        n_heads: heads in a layer.
        n_directions: how many directions of the stream readers can see.
    """

    model: str
    labels: list[str]
    n_heads: int
    n_directions: int
    write: Float[Tensor, "head d_head d_model"]
    read: dict[str, Float[Tensor, "head d_head d_model"]]

    def index(self, label: str) -> int:
        """Where the head called ``label`` stands on the first axis.

        Raises:
            CourseError: there is no such head.
        """
        if label not in self.labels:
            raise CourseError(
                f"expected a head from {self.labels[0]} to {self.labels[-1]}, got {shown(label)}: name one of these"
            )
        return self.labels.index(label)

    def place(self, source: str, destination: str) -> tuple[int, int]:
        """Where the two heads of a pair stand on the first axis.

        Raises:
            CourseError: there is no such head, or the destination is not in a later layer than the source.
        """
        i, j = self.index(source), self.index(destination)
        if i // self.n_heads >= j // self.n_heads:
            raise CourseError(f"expected a head of a later layer than {source}, got {destination}: choose a later one")
        return i, j


class Components(NamedTuple):
    """Between which singular directions of its two heads a pair's composition runs; see ``components``."""

    mode: str
    source: str
    destination: str
    shares: Float[Tensor, "source_component destination_component"]


@torch.no_grad()
def circuits(model: TransformerBridge, offset: int | None = 0) -> Circuits:
    """The thin factors of every head, by one small QR a weight.

    With rotary positions a head's W_QK depends on how far the key lies behind the query:
    ``W_Q @ rotation(offset) @ W_K.T`` (Su et al. 2021, "RoFormer", section 3.2). ``offset`` picks the
    distance in tokens; ``None`` leaves out the side that does not read the source (``norm(W_OV @ W_Q)`` for
    Q), which no rotation changes. Models with learned positions have one W_QK: there an offset changes
    nothing. V-composition never depends on it. Where queries and keys are normalised inside the head, their gains are
    in the weights, and a head's scores are those of its W_QK over two numbers, one a token: a composition score,
    which no factor changes, says the same there, its ``norm`` is before those numbers.

    Raises:
        CourseError: the offset is negative or beyond the model's context.
    """
    write: list[Tensor] = []
    read: dict[str, list[Tensor]] = {mode: [] for mode in MODES}
    for layer, block in enumerate(model.blocks):
        turn = None if offset is None else rotation(model, offset, layer)
        W_Q, W_K, W_V, W_O = (getattr(block.attn, name) for name in ("W_Q", "W_K", "W_V", "W_O"))
        serves = kv_heads(block.attn)
        write.append(_r(W_V)[serves] @ W_O)
        read["V"].append(_r(W_O.mT) @ W_V[serves].mT)
        read["Q"].append(W_Q.mT if turn is None else (_r(W_K) @ turn.T)[serves] @ W_Q.mT)
        read["K"].append(W_K[serves].mT if turn is None else _r(W_Q) @ turn @ W_K[serves].mT)
    return Circuits(
        model=Path(model.info.name).name,
        labels=model.all_head_labels,
        n_heads=model.cfg.n_heads,
        n_directions=n_directions(model),
        write=torch.cat(write),
        read={mode: torch.cat(thin) for mode, thin in read.items()},
    )


def rotation(model: TransformerBridge, offset: int, layer: int = 0) -> Float[Tensor, "d_head d_head"]:
    """What stands between W_Q and W_K.T for a key ``offset`` tokens behind its query; identity without RoPE.

    Few models turn each layer in its own way: there ``layer`` matters. Where positions are scaled so that queries and
    keys grow by a factor (Peng et al. 2024, "YaRN", section 3.4), its square is part of what stands between them.

    Raises:
        CourseError: the offset is negative or beyond the model's context.
    """
    offset = check_whole("an offset", offset, 0, model.cfg.n_ctx - 1)
    eye = torch.eye(model.cfg.d_head)
    attn = model.blocks[check_index("layer", layer, model.cfg.n_layers)].attn.original_component
    if model.cfg.positional_embedding_type != "rotary" or not getattr(attn, "use_rope", True):
        return eye
    if hasattr(attn, "embed_positions"):  # neighbouring coordinates turn: all sines of a position, then all cosines
        sin, cos = attn.embed_positions[offset].chunk(2)
        pairs = [torch.stack([torch.stack([c, s]), torch.stack([-s, c])]) for s, c in zip(sin, cos, strict=True)]
        return torch.block_diag(*pairs, torch.eye(len(eye) - 2 * len(pairs)))
    rotary_emb = model.rotary_emb.original_component
    kind = [attn.layer_type] if hasattr(rotary_emb, "layer_types") else []
    cos, sin = rotary_emb(eye[None], torch.tensor([[offset, 0]]), *kind)
    # The query turns, the key does not: what grows there grows by the cosine of no angle.
    return rotate_halves(eye, cos[0, :1] * cos[0, 1:], sin[0, :1] * cos[0, 1:])


def composition(c: Circuits, acausal: bool = False) -> dict[str, PairScores]:
    """Q-, K- and V-composition of every head with every head of a later layer, by mode.

    ``norm(W @ R.T)**2 == <W.T @ W, R.T @ R>``: two symmetric ``d_model x d_model`` matrices a pair, which is
    less work than multiplying the pair's factors. They are made and used ``ROWS`` rows at a time (upper
    triangle only), so memory above ``c`` is ``n_heads * n_layers * ROWS * d_model`` floats.

    ``acausal`` asks for the control instead: the pairs that cannot communicate, since the writer stands in the
    reader's layer (the reader itself included) or in a later one.

    Raises:
        CourseError: a head's circuit is zero or not finite: its score and z would be NaN.
    """
    n_all, _, d_model = c.write.shape
    write_size, write_spread = _moments(c, c.write)
    squared = torch.zeros(len(MODES), n_all, n_all, dtype=torch.float64)
    for start in range(0, d_model, ROWS):
        write = _gram_rows(c.write, start)
        for first in range(0, n_all, c.n_heads):
            here, by = slice(first, first + c.n_heads), slice(first, None) if acausal else slice(first)
            read = _gram_rows(torch.cat([c.read[mode][here] for mode in MODES]), start)
            read[:, :, :ROWS] /= 2  # the diagonal block stands for itself, every other block for its mirror too
            found = write[by].flatten(1) @ read.flatten(1).T
            squared[:, by, here] += 2 * found.view(-1, len(MODES), c.n_heads).transpose(0, 1)
    layer = np.arange(n_all) // c.n_heads
    cannot = torch.from_numpy(compare.cannot_communicate(layer, layer))
    squared[:, ~cannot if acausal else cannot] = torch.nan
    result = {}
    for mode, square in zip(MODES, squared.clamp(min=0), strict=True):
        read_size, read_spread = _moments(c, c.read[mode])
        share = square / torch.outer(write_size, read_size)
        result[mode] = PairScores(
            model=c.model,
            sources=c.labels,
            destinations=c.labels,
            n_directions=c.n_directions,
            norm=square.sqrt().numpy(),
            score=share.sqrt().numpy(),
            z=z_scores(share, c.n_directions, write_spread[:, None], read_spread).numpy(),
        )
    return result


def at_random(c: Circuits, seed: int = 0) -> Circuits:
    """The same heads, each writing in directions drawn at random: what the null says of all pairs at once.

    Singular values stay, so that ``composition`` of it shows how far luck alone takes a score, a z or the largest of
    many, and how skewed the null of a circuit of low rank is.
    """
    generator = torch.Generator().manual_seed(check_whole("a seed", seed, 0, 2**63 - 1))
    drawn = []
    for write in c.write:
        sizes = torch.linalg.svdvals(write.double())[: c.n_directions]
        directions = compare.random_directions(len(sizes), write.shape[1], c.n_directions, generator)
        drawn.append((sizes[:, None] * directions.T).to(write.dtype))
    return replace(c, write=torch.stack(drawn))


def by_depth(model: TransformerBridge, scores: dict[str, PairScores]) -> dict[tuple[str, str], DepthMap]:
    """Scores between every two layers over chance, by mode and by how the pairs of heads are summed up.

    ``rms`` is 1 for random directions whatever the number of heads, since chance is a root mean square too, and it
    hides a few strong pairs among many weak ones. ``max`` shows them, but lies above 1 by chance already, the more
    so the more heads there are: compare it with an untrained model, not across models.

    Raises:
        CourseError: the scores are another model's, or the model has one layer only.
    """
    shape, found = (model.cfg.n_layers, model.cfg.n_heads) * 2, {}
    for mode, pairs in scores.items():
        if pairs.sources != model.all_head_labels:
            raise CourseError(
                f"expected scores of {' x '.join(map(str, shape[:2]))} heads, got {len(pairs.sources)}: measure this "
                "model's own with composition(circuits(model))"
            )
        times = (pairs.score / pairs.chance).reshape(shape)
        found[mode, "rms"] = DepthMap(pairs.model, np.sqrt(np.square(times).mean(axis=(1, 3))))
        found[mode, "max"] = DepthMap(pairs.model, times.max(axis=(1, 3)))
    return found


def components(c: Circuits, mode: str, source: str, destination: str) -> Components:
    """The part of the pair's squared composition that runs between each two singular directions; sums to one.

    Rows are the directions the source's OV circuit writes, columns those the destination's circuit reads, each
    by falling singular value (Merullo et al. 2024, "Talking Heads: Understanding Inter-layer Communication in
    Transformer Language Models", scores such components one by one).

    Raises:
        CourseError: there is no such mode or pair.
    """
    write, read = _factors(c, mode, source, destination)
    _, s_write, directions = torch.linalg.svd(write, full_matrices=False)
    _, s_read, read_directions = torch.linalg.svd(read, full_matrices=False)
    between = (s_write[:, None] * (directions @ read_directions.T) * s_read).square()
    return Components(mode, source, destination, between / between.sum())


def null_scores(
    c: Circuits, mode: str, source: str, destination: str, n: int = 500, seed: int = 0
) -> Float[Tensor, " draw"]:
    """Scores of one pair under ``n`` random rotations between its circuits: what ``z`` knows in closed form.

    Raises:
        CourseError: there is no such mode or pair, or no draw is asked for.
    """
    write, read = _factors(c, mode, source, destination)
    n, seed = check_whole("a number of draws", n, 1, 100_000), check_whole("a seed", seed, 0, 2**63 - 1)
    return compare.null_scores(write, read.T, c.n_directions, n, seed).float()


def _factors(
    c: Circuits, mode: str, source: str, destination: str
) -> tuple[Float[Tensor, "d_head d_model"], Float[Tensor, "d_head d_model"]]:
    """What the source of a pair writes and what its destination reads, as thin factors."""
    check_mode(mode)
    i, j = c.place(source, destination)
    return c.write[i], c.read[mode][j]


def _r(W: Float[Tensor, "head tall thin"]) -> Float[Tensor, "head thin thin"]:
    """The R of W = QR: as large as W, without its directions in the tall space."""
    return torch.linalg.qr(W, mode="r").R


def _gram_rows(thin: Float[Tensor, "head d_head d_model"], start: int) -> Float[Tensor, "head rows columns"]:
    """``ROWS`` rows of each ``thin.T @ thin`` from row ``start`` on, and from column ``start`` on."""
    return thin[:, :, start : start + ROWS].mT @ thin[:, :, start:]


def _moments(
    c: Circuits, thin: Float[Tensor, "head d_head d_model"]
) -> tuple[Float[Tensor, " head"], Float[Tensor, " head"]]:
    """``sum(s**2)`` of each head's singular values, and its spread ``sum(s**4) / sum(s**2)**2``, in float64."""
    gram = (thin @ thin.mT).double()
    size = gram.diagonal(dim1=1, dim2=2).sum(-1)
    if wrong := [label for label, each in zip(c.labels, size.tolist(), strict=True) if not 0 < each < float("inf")]:
        raise CourseError(
            f"expected circuits of finite numbers that are not all zero, got {', '.join(wrong[:3])}: "
            "put back the weights of such a head"
        )
    return size, gram.square().sum((1, 2)) / size**2
