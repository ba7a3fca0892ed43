"""Scores of the embedded model's heads on repeated random tokens, and how the heads compose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from training.batches import HELD_LAGS

LAG = HELD_LAGS[1]
PREFIX = 7
Head = tuple[int, int]


def repeated_rows(
    pool: list[int], end: int, lag: int = LAG, prefix: int = PREFIX, rows: int = 32, seed: int = 0
) -> Int[Tensor, "rows pos"]:
    """End-of-text, tokens of `pool`, then a span of `lag` different ones twice; `pos` = 1 + prefix + 2 lag."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor(pool)
    span = ids[torch.rand(rows, len(ids), generator=generator).topk(lag).indices]
    before = ids[torch.randint(len(ids), (rows, prefix), generator=generator)]
    return torch.cat([torch.full((rows, 1), end), before, span, span], dim=1)


def _forward(model: TransformerBridge, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.cfg.n_layers)]
    logits, cache = model.run_with_cache(tokens, names_filter=lambda name: name in names)
    return logits, [cache[name] for name in names]


def repeat_scores(model: TransformerBridge, tokens: Int[Tensor, "rows pos"], lag: int = LAG) -> dict[str, Tensor]:
    """Scores of every head and losses on rows of `repeated_rows`.

    Returns `induction` (attention from a token of the second copy to the token after its first copy), `previous`
    (attention to the position before, from position 2 on, so that the end-of-text token is not an answer) and
    `duplicate` (attention to the first copy), each `[layer, head]`; `loss_first` and `loss_second` in nats a token
    (the span's first token left out of both) and `copied`, the share of the second copy predicted right.
    """
    logits, patterns = _forward(model, tokens)
    end = tokens.shape[1]
    second = torch.arange(end - lag, end)
    later = torch.arange(2, end)

    def mean_attention(query: Tensor, key: Tensor) -> Float[Tensor, "layer head"]:
        return torch.stack([pattern[:, :, query, key].mean((0, 2)) for pattern in patterns])

    predict = second[:-1]
    first_loss, second_loss = (
        torch.nn.functional.cross_entropy(logits[:, at].flatten(0, 1), tokens[:, at + 1].flatten())
        for at in (predict - lag, predict)
    )
    return {
        "induction": mean_attention(second, second - lag + 1),
        "previous": mean_attention(later, later - 1),
        "duplicate": mean_attention(second, second - lag),
        "loss_first": first_loss,
        "loss_second": second_loss,
        "copied": (logits[:, predict].argmax(-1) == tokens[:, predict + 1]).float().mean(),
    }


def best_head(scores: Float[Tensor, "layer head"]) -> Head:
    """Layer and index of the head that scores highest."""
    return divmod(int(scores.argmax()), scores.shape[1])


def composition(model: TransformerBridge, kind: str = "K") -> dict[tuple[Head, Head], float]:
    """K- or Q-composition of every head with every head of a later layer, from folded weights.

    norm(W_OV1 @ W_QK2.T) for K and norm(W_OV1 @ W_QK2) for Q, over the product of the two norms: Elhage et al. 2021,
    "A Mathematical Framework for Transformer Circuits".
    """
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    heads = [(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    w_q, w_k, w_v, w_o = model.W_Q, model.W_K, model.W_V, model.W_O  # each access makes a copy
    ov = {h: w_v[h] @ w_o[h] for h in heads}
    qk = {h: w_q[h] @ w_k[h].T for h in heads}
    reads = {h: w.T if kind == "K" else w for h, w in qk.items()}
    return {
        (one, two): float((ov[one] @ reads[two]).norm() / (ov[one].norm() * reads[two].norm()))
        for one in heads
        for two in heads
        if one[0] < two[0]
    }


def percentile(scores: dict[tuple[Head, Head], float], pair: tuple[Head, Head]) -> float:
    """Percentage of the other pairs that score below `pair`."""
    others = [score for key, score in scores.items() if key != pair]
    return 100 * sum(score < scores[pair] for score in others) / len(others)


def pick_pair(
    induction: Float[Tensor, "layer head"],
    previous: Float[Tensor, "layer head"],
    k_scores: dict[tuple[Head, Head], float],
) -> tuple[Head, Head]:
    """A previous-token head and a later induction head: the pair above one half that K-composes most.

    Where no pair has both scores above one half, the best induction head and the best previous-token head before it.
    """
    good = [(one, two) for one, two in k_scores if previous[one] >= 0.5 and induction[two] >= 0.5]
    if good:
        return max(good, key=k_scores.get)
    later = induction.clone()
    later[0] = 0  # no layer stands before the first
    two = best_head(later)
    return best_head(previous[: two[0]]), two


@contextmanager
def without(model: TransformerBridge, head: Head) -> Iterator[None]:
    """Within the block, the head writes nothing."""
    w_o = model.blocks[head[0]].attn.W_O
    kept = w_o[head[1]].clone()
    w_o[head[1]] = 0
    try:
        yield
    finally:
        w_o[head[1]] = kept


def measure_heads(model: TransformerBridge, pool: list[int], lag: int = LAG, prefix: int = PREFIX) -> dict:
    """Induction, previous-token and duplicate-token heads, losses of repeated spans of `pool`, and how heads compose.

    `induction_without_previous` and `..._duplicate` are the induction head's score when the other head writes nothing.
    """
    tokens = repeated_rows(pool, model.tokenizer.bos_token_id, lag, prefix)
    scores = repeat_scores(model, tokens, lag)
    found = {kind: composition(model, kind) for kind in "KQ"}
    previous, induction = pair = pick_pair(scores["induction"], scores["previous"], found["K"])
    duplicate = best_head(scores["duplicate"][: induction[0]])
    result = {
        "lag": lag,
        "induction_head": list(induction),
        "induction_score": scores["induction"][induction].item(),
        "previous_head": list(previous),
        "previous_score": scores["previous"][previous].item(),
        "duplicate_head": list(duplicate),
        "duplicate_score": scores["duplicate"][duplicate].item(),
        "n_pairs": len(found["K"]),
        "K_composition": found["K"][pair],
        "K_percentile": percentile(found["K"], pair),
        "Q_duplicate": found["Q"][duplicate, induction],
        "Q_duplicate_percentile": percentile(found["Q"], (duplicate, induction)),
        "loss_first_copy": scores["loss_first"].item(),
        "loss_second_copy": scores["loss_second"].item(),
        "copied": scores["copied"].item(),
    }
    for name, head in (("previous", previous), ("duplicate", duplicate)):
        with without(model, head):
            result[f"induction_without_{name}"] = repeat_scores(model, tokens, lag)["induction"][induction].item()
    return result
