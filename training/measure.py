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
from training.card import write_card
from training.heads import measure_heads
from training.recipe import Recipe

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
        "stages": stages,
    }


def measure() -> dict:
    """Everything the card states, for the shipped model and the curve over its checkpoints."""
    model, recipe = rsutils.load_model("embedded"), Recipe()
    curve = []
    for name in rsutils.checkpoints():
        checkpoint = rsutils.load_model(name)
        found = measure_heads(checkpoint)
        names = share_right(checkpoint, prompts.name_prompts("names and openings"))
        held = text_loss(checkpoint, [corpus.document(random.Random(f"held {i}")) for i in range(100)])
        curve.append({"step": int(name.split("@")[1]), **found, "names": names, "loss_held_out": held})
    return {
        "curriculum": measure_curriculum(recipe),
        "trained": json.loads((DIRECTORY / "trained.json").read_text()),
        "heads": measure_heads(model),
        "language": measure_language(model),
        "samples": sample_stories(model),
        "load_seconds": load_seconds(),
        "n_parameters": sum(w.numel() for w in load_file(DIRECTORY / "model.safetensors").values()),
        "joined": next(step for step in range(recipe.steps) if len(recipe.stage(step).blocks) == recipe.n_layers),
        "d_vocab": model.cfg.d_vocab,
        "curve": curve,
    }


if __name__ == "__main__":
    figures = measure()
    (DIRECTORY / "measured.json").write_text(json.dumps(figures, indent=1) + "\n")
    write_card(figures, DIRECTORY / "README.md")
