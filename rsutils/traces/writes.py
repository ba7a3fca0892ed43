"""Chapter 02: what each component writes into the residual stream, and what becomes of it.

The drawings of the same quantities are in ``traces.figures`` and ``traces.attribution``.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens import ActivationCache
from transformer_lens.model_bridge import TransformerBridge

from rsutils import models
from rsutils.errors import CourseError
from rsutils.models import check_index, shown

KEPT = ("embed", "pos_embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "pattern", "v", "z")
KEPT_BY_NAME = ("ln1_post.hook_scale", "ln_final.hook_scale", "unembed.hook_out")


@dataclass(frozen=True)
class Trace:
    """One prompt's way through a model: every write to the stream, and the stream itself.

    ``writes`` holds the embedding, the positions (where the model adds them to the stream) and each layer's
    attention and MLP output, called ``names`` as TransformerLens calls them. ``streams`` is the stream the
    model computed: before the first layer, then after each layer. ``logits`` is what the unembedding reads, before
    any cap. ``cache`` is TransformerLens's, without the batch axis; where norms follow the writers, its ``z`` is
    divided by theirs, so that ``z @ W_O`` is what a head writes.
    """

    model: TransformerBridge
    tokens: Int[Tensor, "1 pos"]
    labels: list[str]
    names: list[str]
    writes: Float[Tensor, "write pos d_model"]
    streams: Float[Tensor, "point pos d_model"]
    logits: Float[Tensor, "pos d_vocab"]
    cache: ActivationCache

    @property
    def points(self) -> list[str]:
        """Names of the points of ``streams``: the layer's number, after ``"in"`` for what enters the first layer."""
        return ["in", *map(str, range(len(self.streams) - 1))]


def trace(model: TransformerBridge, text: str | Int[Tensor, "1 pos"]) -> Trace:
    """Run a prompt once and keep every write to its residual stream.

    Args:
        text: the prompt, or its tokens.

    Raises:
        CourseError: ``text`` is empty or longer than the model's context, or its tokens are not one prompt's.
    """
    if isinstance(text, str):
        tokens = models.tokens(model, text)
    else:
        tokens = text
        models.check_ids(model, tokens)
        if len(tokens) > 1:
            raise CourseError(f"expected the tokens of one prompt, got {len(tokens)} rows: trace one after the other")
    _, cache = model.run_with_cache(
        tokens, names_filter=lambda name: name.split("hook_")[-1] in KEPT or name.endswith(KEPT_BY_NAME)
    )
    cache = cache.remove_batch_dim()
    models.divide_by_writer_norms(model, cache)
    writes, names = cache.decompose_resid(return_labels=True)
    streams = torch.stack([cache["resid_pre", 0], *(cache["resid_post", i] for i in range(model.cfg.n_layers))])
    labels = [str(token) for token in model.to_str_tokens(tokens[0])]
    return Trace(model, tokens, labels, names, writes, streams, cache["unembed.hook_out"], cache)


def rebuild(found: Trace) -> Float[Tensor, "point pos d_model"]:
    """The stream before the first layer and after each layer, as nothing but the running sum of the writes.

    Adds in the order the model does, so that the sum equals ``found.streams`` bit for bit: attention first and
    MLP next, or, in a block that runs both in parallel, the sum of the two at once.
    """
    n_layers = found.model.cfg.n_layers
    stream = found.writes[: -2 * n_layers].sum(dim=0)
    points = [stream]
    for attn_out, mlp_out in found.writes[-2 * n_layers :].unflatten(0, (n_layers, 2)):
        stream = stream + (attn_out + mlp_out) if _is_parallel(found) else stream + attn_out + mlp_out
        points.append(stream)
    return torch.stack(points)


def read_streams(found: Trace) -> Float[Tensor, "write pos d_model"]:
    """What was in the stream when each write was computed: zero for the embedding, which reads tokens alone.

    An MLP reads the stream with its layer's attention already in it, except in a parallel block, where both
    read what entered the block.
    """
    embeds = found.writes[: -2 * found.model.cfg.n_layers]
    before = list(embeds.cumsum(dim=0) - embeds)
    for layer in range(found.model.cfg.n_layers):
        entered = found.streams[layer]
        before += [entered, entered if _is_parallel(found) else found.cache["resid_mid", layer]]
    return torch.stack(before)


class Measures(NamedTuple):
    """Four numbers about each write at each position.

    ``norm``: its length. ``cosine_before``: with the stream it was computed from (NaN for the embedding).
    ``cosine_final``: with the stream after the last layer. ``share``: the part of the final stream's squared
    norm that it accounts for, ``write @ final / (final @ final)``; a position's shares sum to one.
    """

    norm: Float[Tensor, "write pos"]
    cosine_before: Float[Tensor, "write pos"]
    cosine_final: Float[Tensor, "write pos"]
    share: Float[Tensor, "write pos"]


def measure(found: Trace) -> Measures:
    """Size, direction and share of every write."""
    writes, final, before = found.writes, found.streams[-1], read_streams(found)
    norm = writes.norm(dim=-1)
    along_final = (writes * final).sum(dim=-1)
    cosine_before = (writes * before).sum(dim=-1) / (norm * before.norm(dim=-1))
    final_norm = final.norm(dim=-1)
    return Measures(norm, cosine_before, along_final / (norm * final_norm), along_final / final_norm**2)


class Growth(NamedTuple):
    """``factor``: by how much the norm is multiplied at each step; ``r2``: the share of log-norm's variance fitted."""

    factor: float
    r2: float


def growth(norms: Float[Tensor, " point"]) -> Growth:
    """Least-squares line through the logarithm of the norms, one step apart.

    Heimersheim and Turner 2023, "Residual stream norms grow exponentially over the forward pass", fit GPT-2 XL.
    Any line fits two norms, and a flat one norms that are all the same: there R² is one and says nothing.

    Raises:
        CourseError: there are fewer than two norms, or one that is not above zero.

    >>> fit = growth(torch.tensor([3.0, 6.0, 12.0, 24.0]))
    >>> round(fit.factor, 4), round(fit.r2, 4)
    (2.0, 1.0)
    """
    if norms.ndim != 1 or len(norms) < 2:
        raise CourseError(
            f"expected at least 2 norms of shape [point] to fit a line, got {list(norms.shape)}: take a model with "
            "more layers, or one position's norms"
        )
    if not (norms.isfinite() & (norms > 0)).all():
        raise CourseError(f"expected norms above zero, got {shown(norms.tolist())}: no logarithm can be taken of them")
    logs = norms.double().log()
    step = torch.arange(len(norms)).double() - (len(norms) - 1) / 2
    away = logs - logs.mean()
    slope = (step @ away) / (step @ step)
    r2 = 1 - (away - slope * step).square().sum() / away.square().sum() if away.abs().max() > 1e-12 else torch.ones(())
    return Growth(slope.exp().item(), r2.item())


def by_source_position(found: Trace, layer: int, head: int, destination: int) -> Float[Tensor, "source d_model"]:
    """What a head brings to position ``destination`` from each source position: ``pattern * (v @ W_O)``.

    The sum over sources is the head's whole write there; ``attn_out`` is the sum over heads plus ``b_O``.
    Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits", on attention heads as moving
    information. Grouped-query heads share their group's ``v``.

    Raises:
        CourseError: there is no such layer, head or position.
    """
    layer = check_index("layer", layer, found.model.cfg.n_layers)
    head = check_index("head", head, found.model.cfg.n_heads)
    destination = check_index("position", destination, len(found.labels))
    attn = found.model.blocks[layer].attn
    pattern = found.cache["pattern", layer][head, destination]
    v = found.cache["v", layer][:, models.kv_heads(attn)[head]]
    scale = models.writer_scale(found.model, found.cache, layer, "attn")
    return pattern[:, None] * (v @ attn.W_O[head]) / scale[destination % len(scale)]


@dataclass(frozen=True)
class Contrast:
    """Two answers to one prompt: the tokens after which they part, and the token with which each goes on.

    ``words`` are those two tokens as text, the right one first.
    """

    tokens: Int[Tensor, "1 pos"]
    right: int
    wrong: int
    words: tuple[str, str]

    def gap(self, logits: Float[Tensor, "*points d_vocab"]) -> Float[Tensor, "*points"]:
        """How far the right token's logit lies above the wrong one's.

        Raises:
            CourseError: there is no logit for one of them.
        """
        if not logits.ndim or logits.shape[-1] <= max(self.right, self.wrong):
            raise CourseError(
                f"expected logits for the whole vocabulary, tokens {self.right} and {self.wrong} in it, got shape "
                f"{list(logits.shape)}: hand over a position's logits"
            )
        return logits[..., self.right] - logits[..., self.wrong]


def contrast(model: TransformerBridge, prompt: str, right: str, wrong: str) -> Contrast:
    """Where two answers to a prompt part.

    Where the answers begin with the same tokens (a tokenizer that cuts names into pieces, or one of bytes),
    these are put behind the prompt, and the first token that differs is the answer.

    Raises:
        CourseError: one answer is the beginning of the other, or the prompt is empty or too long.
    """
    tokens = models.tokens(model, prompt)
    pair = [model.to_tokens(answer, prepend_bos=False)[0].tolist() for answer in (right, wrong)]
    for i, (a, b) in enumerate(zip(*pair, strict=False)):
        if a != b:
            shared = torch.tensor([pair[0][:i]], dtype=torch.long)
            words = str(model.to_string([a])), str(model.to_string([b]))
            return Contrast(torch.cat([tokens, shared], dim=1), a, b, words)
    raise CourseError(
        f"expected two answers that part somewhere, got {shown(right)} and {shown(wrong)}: choose another pair"
    )


def zero_ablated(found: Trace, name: str, position: int) -> Trace:
    """The same prompt run again with one write set to zero at one position; what comes later may react.

    The model runs as it is: what ``found`` was itself run without is there again.

    Raises:
        CourseError: no write has this name, or there is no such position.
    """
    if name not in found.names:
        raise CourseError(f"expected one of the writes {', '.join(found.names)}, got {shown(name)}: take one of these")
    position = check_index("position", position, len(found.labels))

    def cut(value, hook):
        value = value.clone()
        value[:, position] = 0
        return value

    with found.model.hooks(fwd_hooks=[(hook_name(name), cut)]):
        return trace(found.model, found.tokens)


def hook_name(write: str) -> str:
    """TransformerLens's name of the activation that a write is.

    >>> hook_name("0_attn_out"), hook_name("pos_embed")
    ('blocks.0.hook_attn_out', 'hook_pos_embed')
    """
    layer, _, kind = write.partition("_")
    return f"blocks.{layer}.hook_{kind}" if layer.isdigit() else f"hook_{write}"


def _is_parallel(found: Trace) -> bool:
    return bool(getattr(found.model.cfg, "parallel_attn_mlp", False))
