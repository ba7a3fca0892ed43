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
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

import rsutils
from training import corpus, prompts
from training.batches import HELD_LAGS, pair_row, shuffled_tokens
from training.card import write_card
from training.heads import LAG, measure_heads
from training.recipe import Recipe

LAGS = (HELD_LAGS[0], 30, HELD_LAGS[1])  # two that training never had, and one between that it had
DIRECTORY = Path(rsutils.__file__).parent / "data" / "embedded"


def next_logits(model: TransformerBridge, texts: list[str]) -> Float[Tensor, "prompt vocab"]:
    """Logits for the token after each text; the texts are padded on the right, where nothing looks."""
    rows = [[model.tokenizer.bos_token_id, *model.tokenizer.encode(p, add_special_tokens=False)] for p in texts]
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


def text_loss(model: TransformerBridge, texts: list[str]) -> float:
    """Mean loss in nats a token, each text alone behind the end-of-text token."""
    total, count = 0.0, 0
    for text in texts:
        ids = torch.tensor([[model.tokenizer.bos_token_id, *model.tokenizer.encode(text, add_special_tokens=False)]])
        losses = torch.nn.functional.cross_entropy(model(ids)[0, :-1], ids[0, 1:], reduction="none")
        total, count = total + losses.sum().item(), count + len(losses)
    return total / count


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


def measure_language(model: TransformerBridge) -> dict:
    """Recall, agreement, held-out loss, and what the model cannot do."""
    held = [corpus.document(random.Random(f"held {i}")) for i in range(300)]
    capitals = [(f"The capital of {country} is", f" {city}") for country, city in corpus.CAPITALS.items()]
    opposites = [(f"The opposite of {word} is", f" {other}") for word, other in corpus.OPPOSITE.items()]
    return {
        "names_new_names_and_openings": share_right(model, prompts.name_prompts("names and openings")),
        "names_new_names": share_right(model, prompts.name_prompts("names")),
        "names_new_openings": share_right(model, prompts.name_prompts("openings")),
        "names_new_pairs": share_right(model, prompts.name_prompts("pairs")),
        "pronouns": share_preferred(model, prompts.pronoun_prompts()),
        "number": share_preferred(model, prompts.number_prompts()),
        "capitals": share_right(model, capitals),
        "opposites": share_right(model, opposites),
        "loss_held_out": text_loss(model, held),
        "loss_prose": text_loss(model, list(prompts.PROSE)),
        "holder": share_right(model, prompts.holder_prompts()),
    }


def measure_curriculum(recipe: Recipe) -> dict:
    """What the recipe trained on: shares of each kind of row and steps of each block, in all and stage by stage.

    Shares are of tokens, of which every step has as many. `start` and `stop` are numbers of checkpoints: a stage leads
    from the weights of the one to those of the other. `alone` counts the steps that ran the first block alone.
    """
    stages, start = [], 0
    for stage in recipe.stages:
        stop = start + stage.steps
        ran = [recipe.stage(step).blocks for step in range(start, stop)]
        stages.append(
            {
                "start": start,
                "stop": stop,
                "blocks": list(stage.blocks),
                "shares": recipe.shares(start, stop),
                "alone": ran.count((0,)),
                "length": stage.length,
                "scatter": stage.scatter,
            }
        )
        start = stop
    every = [recipe.stage(step).blocks for step in range(recipe.steps)]
    return {
        "shares": recipe.shares(0, recipe.steps),
        "alone": every.count((0,)),
        "block_steps": [sum(block in blocks for blocks in every) for block in range(recipe.n_layers)],
        "block_joins": [
            next(i for i, blocks in enumerate(every) if block in blocks) for block in range(recipe.n_layers)
        ],
        "documents": {kind.__name__: n / sum(corpus.KINDS.values()) for kind, n in corpus.KINDS.items()},
        "stages": stages,
    }


def share_of_pairs(model: TransformerBridge, pool: list[int], recipe: Recipe, n: int = 64) -> float:
    """Share of the pairs that come back whose second token is predicted right, in rows as the first stages have."""
    rng, end = random.Random(prompts.SEED), model.tokenizer.bos_token_id
    rows = [pair_row(rng, end, pool, recipe.stages[0].length, 4) for _ in range(n)]
    tokens, carries = (torch.tensor(part) for part in zip(*rows, strict=True))
    right = model(tokens)[:, :-1].argmax(-1) == tokens[:, 1:]
    return right[carries[:, 1:]].float().mean().item()


def measure_pool(model: TransformerBridge, pool: list[int], recipe: Recipe) -> dict:
    """Copying among the tokens of `pool`: pairs, and spans at two lags never trained on and at one that was.

    No prefix: before the stories come, rows have 64 tokens, and positions beyond them are new as well.
    """
    return {
        "size": len(pool),
        "pairs": share_of_pairs(model, pool, recipe),
        "lags": [measure_heads(model, pool, lag, prefix=0) for lag in LAGS],
    }


def silence(model: TransformerBridge, block: int) -> None:
    """From now on, the block writes nothing."""
    attn, mlp = model.blocks[block].attn, model.blocks[block].mlp
    for written in (attn.W_O, attn.b_O, mlp.W_out, mlp.b_out):
        written.zero_()


def measure_checkpoint(name: str, recipe: Recipe, level: float, joins: list[int]) -> dict:
    """The curve's entry of a checkpoint: heads and stories, the pool of its step, and what its fresh blocks cost.

    `own_pool` is the pool that the checkpoint's last rows drew from, `first_pool` the one that every row may draw from;
    `fresh_blocks` are those that join last, while they have not been trained.
    """
    model, step = rsutils.load_model(name), int(name.split("@")[1])
    tokens = shuffled_tokens(recipe, model.tokenizer)
    whole = sorted(tokens)
    held = [corpus.document(random.Random(f"held {i}")) for i in range(100)]
    found = {
        "step": step,
        **measure_heads(model, whole),
        "names": share_right(model, prompts.name_prompts("names and openings")),
        "loss_held_out": text_loss(model, held),
        "level": level,
        "first_pool": measure_pool(model, tokens[: recipe.first_pool], recipe),
        "own_pool": measure_pool(model, tokens[: recipe.pool_size(level, len(tokens))], recipe),
        "fresh_blocks": [block for block, join in enumerate(joins) if step <= join == max(joins)],
    }
    if found["fresh_blocks"]:
        for block in found["fresh_blocks"]:
            silence(model, block)
        found["loss_second_copy_without_fresh"] = measure_heads(model, whole)["loss_second_copy"]
        found["loss_held_out_without_fresh"] = text_loss(model, held)
    return found


def measure() -> dict:
    """Everything the card states, for the shipped model and the curve over its checkpoints."""
    model, recipe = rsutils.load_model("embedded"), Recipe()
    curriculum = measure_curriculum(recipe)
    trained = json.loads((DIRECTORY / "trained.json").read_text())
    whole = sorted(shuffled_tokens(recipe, model.tokenizer))
    lags = [measure_heads(model, whole, lag) for lag in LAGS]
    return {
        "curriculum": curriculum,
        "trained": trained,
        "heads": next(found for found in lags if found["lag"] == LAG),
        "lags": lags,
        "language": measure_language(model),
        "samples": sample_stories(model),
        "load_seconds": load_seconds(),
        "n_parameters": sum(w.numel() for w in load_file(DIRECTORY / "model.safetensors").values()),
        "d_vocab": model.cfg.d_vocab,
        "curve": [
            measure_checkpoint(name, recipe, trained["levels"][name.split("@")[1]], curriculum["block_joins"])
            for name in rsutils.checkpoints()
        ],
    }


if __name__ == "__main__":
    figures = measure()
    (DIRECTORY / "measured.json").write_text(json.dumps(figures, indent=1) + "\n")
    write_card(figures, DIRECTORY / "README.md")
