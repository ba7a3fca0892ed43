"""Chapter 05: what heads attend to, and what is lost without one of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.errors import CourseError
from rsutils.heads.arguments import check_whole, head_labels
from rsutils.heads.scores import rotation
from rsutils.models import check_ids, check_index, kv_heads, shown, tokens

# Heads of GPT-2 small by what they were published to do: Wang et al. 2022, "Interpretability in the Wild: a
# Circuit for Indirect Object Identification in GPT-2 small", sections 3.1 to 3.3.
GPT2_SMALL_HEADS = {
    "previous token": ["L2H2", "L4H11"],
    "duplicate token": ["L0H1", "L0H10", "L3H0"],
    "induction": ["L5H5", "L5H8", "L5H9", "L6H9"],
    "S-inhibition": ["L7H3", "L7H9", "L8H6", "L8H10"],
    "name mover": ["L9H6", "L9H9", "L10H0"],
    "negative name mover": ["L10H7", "L11H10"],
}


def published_heads(model: TransformerBridge) -> dict[str, list[str]]:
    """Published roles of the model's heads: known for GPT-2 small, empty for any other model."""
    return GPT2_SMALL_HEADS if model.info.name in ("gpt2", "openai-community/gpt2") else {}


def repeated_tokens(
    model: TransformerBridge, length: int = 30, batch: int = 4, seed: int = 0, among: Sequence[int] | None = None
) -> Int[Tensor, "batch pos"]:
    """``batch`` rows of BOS + span + span, a span being ``length`` different random tokens; pos = 1 + 2 * length.

    The tokens are drawn from the whole vocabulary, or from those ``among`` which they are to be.

    Raises:
        CourseError: that is longer than the model's context, or there are too few tokens, or others than the model's.
    """
    usable = usable_tokens(model, among)
    length = check_whole("a length", length, 2, min((model.cfg.n_ctx - 1) // 2, len(usable)))
    batch, seed = check_whole("a batch", batch, 1, 1000), check_whole("a seed", seed, 0, 2**63 - 1)
    generator = torch.Generator().manual_seed(seed)
    spans = torch.stack([usable[torch.randperm(len(usable), generator=generator)[:length]] for _ in range(batch)])
    bos = torch.full((batch, 1), model.tokenizer.bos_token_id)
    return torch.cat([bos, spans, spans], dim=1)


def usable_tokens(model: TransformerBridge, among: Sequence[int] | None = None) -> Int[Tensor, " token"]:
    """Every token that stands for text, or those ``among`` which they are to be; special tokens are left out.

    Raises:
        CourseError: some of these are not the model's.
    """
    special, n_tokens = set(model.tokenizer.all_special_ids), min(model.cfg.d_vocab, len(model.tokenizer))
    drawn_from = range(n_tokens) if among is None else sorted(set(among))
    if not all(i in range(n_tokens) for i in drawn_from):
        raise CourseError(f"expected token ids from 0 to {n_tokens - 1}, got {shown(drawn_from)}: take the model's own")
    return torch.tensor([i for i in drawn_from if i not in special])


def patterns(
    model: TransformerBridge, ids: Int[Tensor, "batch pos"]
) -> Float[Tensor, "layer batch head query_pos key_pos"]:
    """Every head's attention pattern on any tokens.

    Raises:
        CourseError: the ids are empty, too many for the context, or not of this model's vocabulary.
    """
    check_ids(model, ids)
    return _run(model, ids)[1]


def attend(
    model: TransformerBridge, ids: Int[Tensor, "batch pos"]
) -> tuple[Float[Tensor, "layer batch head query_pos key_pos"], Float[Tensor, ""]]:
    """Every head's attention pattern, and the mean loss in nats on the second copy of ``repeated_tokens``.

    The first token of the copy is left out of the loss: nothing foretells it.

    Raises:
        CourseError: the rows are not those of ``repeated_tokens``.
    """
    check_ids(model, ids)
    length = (ids.shape[1] - 1) // 2
    if length < 2 or ids.shape[1] % 2 == 0 or not torch.equal(ids[:, 1 : length + 1], ids[:, length + 1 :]):
        raise CourseError(
            f"expected rows of BOS and a span twice, got {shown(ids[0].tolist())}: make them with "
            "repeated_tokens(model), or see patterns for other text"
        )
    losses, pattern = _run(model, ids)
    return pattern, losses[:, length + 1 :].mean()


def head_scores(
    pattern: Float[Tensor, "layer batch head query_pos key_pos"],
) -> dict[str, Float[Tensor, "layer head"]]:
    """Mean attention, on rows of ``repeated_tokens``, that a head pays where its role would have it look.

    All from the second copy: ``"previous token"`` to the position before, ``"duplicate token"`` to the same
    token in the first copy, ``"induction"`` to the token after that (Olsson et al. 2022, "In-context Learning
    and Induction Heads", definition by prefix matching).

    Raises:
        CourseError: the pattern is not that of ``repeated_tokens``, or holds NaN.
    """
    if pattern.ndim != 5 or pattern.shape[-1] != pattern.shape[-2] or pattern.shape[-1] % 2 == 0:
        raise CourseError(
            f"expected patterns [layer, batch, head, query, key] over 1 + 2 * length positions, got "
            f"{list(pattern.shape)}: take what attend(model, repeated_tokens(model)) gives"
        )
    if not pattern.numel() or pattern.shape[-1] < 5 or not pattern.isfinite().all():
        raise CourseError(
            f"expected finite attention over 5 positions or more, got {list(pattern.shape)} with "
            f"{int((~pattern.isfinite()).sum())} values that are not: take what attend gives"
        )
    length = (pattern.shape[-1] - 1) // 2
    behind = {"previous token": 1, "duplicate token": length, "induction": length - 1}
    queries = range(length + 1, 2 * length + 1)
    return {
        role: torch.stack([pattern[..., q, q - distance] for q in queries]).mean(dim=(0, 2))
        for role, distance in behind.items()
    }


def best_role(scores: dict[str, Float[Tensor, "layer head"]], label: str) -> tuple[str, float]:
    """The role of ``head_scores`` in which the head called ``label`` scores highest, and that score.

    Raises:
        CourseError: there are no scores, or no such head.

    >>> best_role({"previous token": torch.tensor([[0.1, 0.9]]), "induction": torch.tensor([[0.25, 0.2]])}, "L0H0")
    ('induction', 0.25)
    """
    labels = head_labels(scores)
    if label not in labels:
        raise CourseError(f"expected a head from L0H0 to {labels[-1]}, got {shown(label)}: name one of these")
    own = {role: score.flatten()[labels.index(label)].item() for role, score in scores.items()}
    return max(own.items(), key=lambda item: item[1])


def who_plays(scores: dict[str, Float[Tensor, "layer head"]], role: str) -> str:
    """Which heads play a role, in a sentence: those that pay more than half of their attention where it would look.

    Raises:
        CourseError: there are no scores of that role.

    >>> who_plays({"induction": torch.tensor([[0.1, 0.9], [0.6, 0.2]])}, "induction")
    'induction: played by L0H1 (0.90), L1H0 (0.60)'
    >>> who_plays({"induction": torch.tensor([[0.1, 0.3]])}, "induction")
    'induction: played by no head; the nearest, L0H1, pays 0.30 of its attention there'
    """
    labels = head_labels(scores)
    if role not in scores:
        raise CourseError(f"expected a role among {', '.join(scores)}, got {shown(role)}: choose one of these")
    values, order = scores[role].flatten().sort(descending=True, stable=True)
    players = [f"{labels[i]} ({value:.2f})" for i, value in zip(order, values, strict=True) if value > 0.5]
    if not players:
        return (
            f"{role}: played by no head; the nearest, {labels[order[0]]}, pays {values[0]:.2f} of its attention there"
        )
    return f"{role}: played by {', '.join(players[:5])}" + f" and {len(players) - 5} more" * (len(players) > 5)


@contextmanager
def mean_ablated(model: TransformerBridge, layer: int, head: int) -> Iterator[TransformerBridge]:
    """Inside the ``with``, one head's output is replaced by its mean over batch and positions (mean ablation).

    Two heads are ablated by one ``with`` inside the other, in either order.

    Raises:
        CourseError: there is no such head.
    """
    layer, head = check_index("layer", layer, model.cfg.n_layers), check_index("head", head, model.cfg.n_heads)

    def ablate(z, hook):
        is_head = torch.arange(z.shape[2])[:, None] == head
        return torch.where(is_head, z.mean(dim=(0, 1)), z)

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", ablate)]):
        yield model


@dataclass(frozen=True)
class Effects:
    """What mean-ablating each head does, on one batch of ``repeated_tokens``; NaN where the destination is not later.

    Attributes:
        pattern: mean total variation distance (0 to 1) between the destination's attention with and without
            the source, over the queries of the second copy.
        induction: how far the destination's induction score falls.
        loss: how far the loss on the second copy rises, in nats.
    """

    pattern: Float[Tensor, "source destination"]
    induction: Float[Tensor, "source destination"]
    loss: Float[Tensor, " source"]


def ablate_each_head(model: TransformerBridge, ids: Int[Tensor, "batch pos"]) -> Effects:
    """Ablate every head in turn: one forward pass a head.

    Raises:
        CourseError: the rows are not those of ``repeated_tokens``.
    """
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    before, loss_before = attend(model, ids)
    copy = slice((ids.shape[1] + 1) // 2, None)
    found = Effects(*(torch.full((n_layers * n_heads,) * k, torch.nan) for k in (2, 2, 1)))
    for source in range(n_layers * n_heads):
        layer, head = divmod(source, n_heads)
        later = slice((layer + 1) * n_heads, None)
        with mean_ablated(model, layer, head):
            after, loss = attend(model, ids)
        found.loss[source] = loss - loss_before
        distance = (after - before)[..., copy, :].abs().sum(-1).mean(dim=(1, 3)) / 2
        drop = head_scores(before)["induction"] - head_scores(after)["induction"]
        found.pattern[source, later] = distance.flatten()[later]
        found.induction[source, later] = drop.flatten()[later]
    return found


@dataclass(frozen=True)
class TokenTable:
    """One circuit of one head between tokens, the same ones in rows and columns; see ``token_table``."""

    layer: int
    head: int
    circuit: str
    words: list[str]
    values: Float[Tensor, "token other"]


def token_table(model: TransformerBridge, text: str, layer: int, head: int, circuit: str) -> TokenTable:
    """One circuit of one head between the tokens of ``text``, as if it read their embeddings (direct path).

    ``"OV"``: row = attended token, column = token whose logit changes, relative to the vocabulary's mean and
    before the final norm. ``"QK"``: row = query, column = key one token behind, attention score before the
    softmax and any norm on queries and keys. Embeddings are scaled to root mean square 1, as the norm before the
    head does; positions and biases are left out.

    Raises:
        CourseError: there is no such head or circuit, or the text is empty or too long.
    """
    layer, head = check_index("layer", layer, model.cfg.n_layers), check_index("head", head, model.cfg.n_heads)
    ids = list(dict.fromkeys(tokens(model, text)[0].tolist()))
    attn = model.blocks[layer].attn
    group = kv_heads(attn)[head]
    embedded = torch.nn.functional.rms_norm(model.W_E[ids], (model.cfg.d_model,))
    match circuit:
        case "OV":
            logits = embedded @ attn.W_V[group] @ attn.W_O[head]
            values = logits @ model.W_U[:, ids] - (logits @ model.W_U.mean(dim=1))[:, None]
        case "QK":
            queries = embedded @ attn.W_Q[head] @ rotation(model, 1, layer)
            values = queries @ (embedded @ attn.W_K[group]).T / model.cfg.d_head**0.5
        case _:
            raise CourseError(f"expected a circuit among OV, QK, got {shown(circuit)}: choose one of these")
    words = [str(word) for word in model.to_str_tokens(torch.tensor(ids), prepend_bos=False)]
    return TokenTable(layer, head, circuit, words, values)


def _run(
    model: TransformerBridge, ids: Int[Tensor, "batch pos"]
) -> tuple[Float[Tensor, "batch next"], Float[Tensor, "layer batch head query_pos key_pos"]]:
    """The loss on every token but the first, and every head's pattern."""
    losses, cache = model.run_with_cache(
        ids,
        return_type="loss",
        loss_per_token=True,
        names_filter=lambda name: name.endswith("attn.hook_pattern"),
    )
    return losses, torch.stack([cache["pattern", layer] for layer in range(model.cfg.n_layers)])
