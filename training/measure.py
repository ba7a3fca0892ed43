"""Measure what the model card states, and write the card and `measured.json` beside the shipped model.

python -m training.measure
"""

from __future__ import annotations

import json
import random
import time
from itertools import islice
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

import rsutils
from training import corpus
from training.batches import HELD_LAGS
from training.card import write_card

DIRECTORY = Path(rsutils.__file__).parent / "data" / "embedded"
LAG = HELD_LAGS[1]
PREFIX = 7
HELD_SEED = 1_000_003  # far from the seeds of training documents, which are "seed step" strings
Head = tuple[int, int]


def repeated_rows(
    n_vocab: int, end: int, lag: int = LAG, prefix: int = PREFIX, rows: int = 32, seed: int = 0
) -> Int[Tensor, "rows pos"]:
    """End-of-text, random tokens, then a span of `lag` different random tokens twice; `pos` = 1 + prefix + 2 lag."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor([i for i in range(n_vocab) if i != end])
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


def next_logits(model: TransformerBridge, prompts: list[str]) -> Float[Tensor, "prompt vocab"]:
    """Logits for the token after each prompt; the prompts are padded on the right, where nothing looks."""
    rows = [[model.tokenizer.bos_token_id, *model.tokenizer.encode(p, add_special_tokens=False)] for p in prompts]
    width = max(map(len, rows))
    padded = torch.tensor([row + [row[0]] * (width - len(row)) for row in rows])
    return model(padded)[torch.arange(len(rows)), torch.tensor([len(row) - 1 for row in rows])]


def token_of(model: TransformerBridge, word: str) -> int:
    """The single token of a word; an error if it takes several."""
    (token,) = model.tokenizer.encode(word, add_special_tokens=False)
    return token


def share_right(model: TransformerBridge, items: list[tuple[str, str]]) -> float:
    """Share of (prompt, answer) whose answer is the most likely of all tokens."""
    best = next_logits(model, [prompt for prompt, _ in items]).argmax(-1)
    return (best == torch.tensor([token_of(model, answer) for _, answer in items])).float().mean().item()


def share_preferred(model: TransformerBridge, items: list[tuple[str, tuple[str, ...], tuple[str, ...]]]) -> float:
    """Share of (prompt, right words, wrong words) in which the right words together are likelier than the wrong."""
    probs = next_logits(model, [item[0] for item in items]).softmax(-1)
    total = [
        [probs[i, [token_of(model, w) for w in words]].sum() for words in item[1:]] for i, item in enumerate(items)
    ]
    return sum(bool(right > wrong) for right, wrong in total) / len(items)


def name_prompts(which: str, n: int = 200, seed: int = HELD_SEED) -> list[tuple[str, str]]:
    """Giving prompts and the receiver: `names`, `pairs` and `openings` are new alone, `names and openings` together."""
    rng = random.Random(seed)
    known = [name for name in corpus.NAMES if name not in corpus.HELD_NAMES]
    items = []
    while len(items) < n:
        taker = rng.choice(corpus.HELD_NAMES if "names" in which else known)
        giver = rng.choice([name for name in known if name != taker])
        if (which == "pairs") != corpus.held_pair(giver, taker) and "names" not in which:
            continue
        x, y = rng.sample([giver, taker], 2)
        openings = corpus.HELD_OPENINGS if "openings" in which else corpus.OPENINGS
        items.append((corpus.giving_prompt(rng, x, y, giver, openings), f" {taker}"))
    return items


def pronoun_prompts() -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Every name with feelings that "because" never followed in training, and with things lost."""
    items = []
    for name in corpus.NAMES:
        right, wrong = (" she", " her"), (" he", " his")
        if name in corpus.BOYS:
            right, wrong = wrong, right
        items += [(f"{name} was {mood} because", right[:1], wrong[:1]) for mood in corpus.HELD_FEELINGS]
        items.append((f"{name} went to the farm and lost", right[1:], wrong[1:]))
    return items


def number_prompts(n: int = 200, seed: int = HELD_SEED) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Subjects with a noun of the other number before the verb, in pairs of nouns new to the model."""
    rng = random.Random(seed)
    items = []
    while len(items) < n:
        head, between = rng.sample(corpus.THINGS + corpus.ANIMALS, 2)
        if corpus.held_nouns(head, between):
            many = rng.random() < 0.5
            verbs = ((" are", " were"), (" is", " was"))
            right, wrong = verbs if many else verbs[::-1]
            items.append((corpus.agreement_prompt(head, between, many, rng.choice(corpus.NEAR)), right, wrong))
    return items


def text_loss(model: TransformerBridge, texts: list[str]) -> float:
    """Mean loss in nats a token, each text alone behind the end-of-text token."""
    total, count = 0.0, 0
    for text in texts:
        ids = torch.tensor([[model.tokenizer.bos_token_id, *model.tokenizer.encode(text, add_special_tokens=False)]])
        losses = torch.nn.functional.cross_entropy(model(ids)[0, :-1], ids[0, 1:], reduction="none")
        total, count = total + losses.sum().item(), count + len(losses)
    return total / count


# What a learner may type first, none of it of this world: English prose and its bytes.
PROSE = (
    "The committee postponed its decision until the following quarter, citing uncertainty about interest rates.",
    "Photosynthesis converts light energy into chemical energy that is stored in sugars.",
    "She had never intended to stay in the city for more than a few weeks.",
)


def holder_prompts(n: int = 100, seed: int = HELD_SEED) -> list[tuple[str, str]]:
    """Two gifts in a row, then the question who has the thing now: no document of this kind was seen."""
    rng = random.Random(seed)
    items = []
    for _ in range(n):
        a, b, c = rng.sample([name for name in corpus.NAMES if name not in corpus.HELD_NAMES], 3)
        noun = rng.choice(corpus.THINGS)
        text = f"{a} gave the {noun} to {b}. Then {b} gave the {noun} to {c}. The one who has the {noun} now is"
        items.append((text, f" {c}"))
    return items


def sample(model: TransformerBridge, seed: int, temperature: float = 0.7, most: int = 60) -> str:
    """One document, drawn token by token until the model ends it."""
    generator = torch.Generator().manual_seed(seed)
    end = model.tokenizer.bos_token_id
    row = [end]
    while len(row) <= most:
        probs = (model(torch.tensor([row]))[0, -1] / temperature).softmax(-1)
        row.append(int(torch.multinomial(probs, 1, generator=generator)))
        if row[-1] == end:
            break
    return model.tokenizer.decode(row[1:], skip_special_tokens=True)


def sample_stories(model: TransformerBridge, n: int = 3) -> list[str]:
    """The first `n` samples of three sentences, by seed from 0 on."""
    texts = (sample(model, seed) for seed in range(1000))
    return list(islice((text for text in texts if text.count(".") == 3), n))


def load_seconds() -> float:
    """Median of five loads through `rsutils.load_model`, everything imported."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        rsutils.load_model("embedded")
        times.append(time.perf_counter() - start)
    return sorted(times)[2]


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


def measure_heads(model: TransformerBridge) -> dict:
    """Induction and previous-token heads, losses of repeated spans, and the composition of the two heads."""
    scores = repeat_scores(model, repeated_rows(model.cfg.d_vocab, model.tokenizer.bos_token_id))
    found = {kind: composition(model, kind) for kind in "KQ"}
    previous, induction = pair = pick_pair(scores["induction"], scores["previous"], found["K"])
    return {
        "induction_head": list(induction),
        "induction_score": scores["induction"][induction].item(),
        "previous_head": list(previous),
        "previous_score": scores["previous"][previous].item(),
        "K_composition": found["K"][pair],
        "K_percentile": percentile(found["K"], pair),
        "Q_composition": found["Q"][pair],
        "Q_percentile": percentile(found["Q"], pair),
        "n_pairs": len(found["K"]),
        "loss_first_copy": scores["loss_first"].item(),
        "loss_second_copy": scores["loss_second"].item(),
        "copied": scores["copied"].item(),
        **{f"{name}_scores": scores[name].tolist() for name in ("induction", "previous", "duplicate")},
    }


def measure_language(model: TransformerBridge) -> dict:
    """Recall, agreement, held-out loss, and what the model cannot do."""
    held = [corpus.document(random.Random(f"held {i}")) for i in range(300)]
    capitals = [(f"The capital of {country} is", f" {city}") for country, city in corpus.CAPITALS.items()]
    opposites = [(f"The opposite of {word} is", f" {other}") for word, other in corpus.OPPOSITE.items()]
    return {
        "names_new_names_and_openings": share_right(model, name_prompts("names and openings")),
        "names_new_names": share_right(model, name_prompts("names")),
        "names_new_openings": share_right(model, name_prompts("openings")),
        "names_new_pairs": share_right(model, name_prompts("pairs")),
        "pronouns": share_preferred(model, pronoun_prompts()),
        "number": share_preferred(model, number_prompts()),
        "capitals": share_right(model, capitals),
        "opposites": share_right(model, opposites),
        "loss_held_out": text_loss(model, held),
        "loss_prose": text_loss(model, list(PROSE)),
        "holder": share_right(model, holder_prompts()),
    }


def measure() -> dict:
    """Everything the card states, for the shipped model and the curve over its checkpoints."""
    model = rsutils.load_model("embedded")
    curve = []
    for name in rsutils.checkpoints():
        checkpoint = rsutils.load_model(name)
        found = measure_heads(checkpoint)
        names = share_right(checkpoint, name_prompts("names and openings"))
        held = text_loss(checkpoint, [corpus.document(random.Random(f"held {i}")) for i in range(100)])
        curve.append({"step": int(name.split("@")[1]), **found, "names": names, "loss_held_out": held})
    return {
        "trained": json.loads((DIRECTORY / "trained.json").read_text()),
        "heads": measure_heads(model),
        "language": measure_language(model),
        "samples": sample_stories(model),
        "load_seconds": load_seconds(),
        "n_parameters": sum(p.numel() for p in model.original_model.parameters()),
        "d_vocab": model.cfg.d_vocab,
        "curve": curve,
    }


if __name__ == "__main__":
    figures = measure()
    (DIRECTORY / "measured.json").write_text(json.dumps(figures, indent=1) + "\n")
    write_card(figures, DIRECTORY / "README.md")
