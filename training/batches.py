"""Training rows: packed stories, and repeated material that only copying predicts.

A row is a list of token ids that begins with the end-of-text token, and beside it which of them carry loss.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from training import corpus
from training.recipe import Recipe

NO_LOSS = -100
HELD_LAGS = (25, 40)  # no span of these lengths is repeated in training: the measured scores use them
Row = tuple[list[int], list[bool]]


def shuffled_tokens(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The vocabulary without the end-of-text token, in the random order in which a run's pool widens over it."""
    tokens = [token for token in range(len(tokenizer)) if token != tokenizer.bos_token_id]
    random.Random(recipe.seed).shuffle(tokens)
    return tokens


def story_row(rng: random.Random, tokenizer: PreTrainedTokenizerFast, length: int) -> Row:
    """Documents one after another, each behind an end-of-text token, cut at `length`."""
    row: list[int] = []
    while len(row) < length:
        row += [tokenizer.bos_token_id, *tokenizer.encode(corpus.document(rng), add_special_tokens=False)]
    return row[:length], [True] * length


def echo_row(rng: random.Random, end: int, pool: list[int], length: int) -> Row:
    """Half of the tokens repeat the one two places back, and carry loss: what comes next stands one back."""
    row, loss = [end], [False]
    while len(row) < length:
        again = len(row) > 2 and rng.random() < 0.5
        row.append(row[-2] if again else rng.choice(pool))
        loss.append(again)
    return row, loss


def pair_row(rng: random.Random, end: int, pool: list[int], length: int, n_pairs: int, noise: float = 0.3) -> Row:
    """Pairs of tokens that come back in random order among single tokens; a pair seen before carries loss.

    The single tokens keep the pairs off any fixed beat: on a beat, a head may look at every odd distance instead of
    one back.
    """
    tokens = rng.sample(pool, 2 * n_pairs)
    row, loss, seen = [end], [False], set()
    while len(row) < length:
        if rng.random() < noise:
            row.append(rng.choice(pool))
            loss.append(False)
        else:
            pair = rng.randrange(n_pairs)
            row += tokens[2 * pair : 2 * pair + 2]
            loss += [False, pair in seen]
            seen.add(pair)
    return row[:length], loss[:length]


def span_row(rng: random.Random, end: int, pool: list[int], length: int, only_copies: bool) -> Row:
    """A prefix, then a span of different tokens twice, then other tokens; all carry loss, or the second copy alone."""
    lag = rng.choice([lag for lag in range(5, length // 2) if lag not in HELD_LAGS])
    before = rng.randint(0, length - 1 - 2 * lag)
    others = [rng.choice(pool) for _ in range(length - 1 - 2 * lag)]
    span = rng.sample(pool, lag)
    second = range(before + lag + 2, before + 2 * lag + 1)
    row = [end, *others[:before], *span, *span, *others[before:]]
    return row, [not only_copies or i in second for i in range(length)]


def row_positions(rng: random.Random, length: int, n_ctx: int, scatter: float) -> list[int]:
    """Positions of a row's tokens: from 0 on, or (the first apart) shifted or strewn over the whole context."""
    if not scatter:
        return list(range(length))
    if rng.random() < scatter:
        return [0, *sorted(rng.sample(range(1, n_ctx), length - 1))]
    start = rng.randint(1, n_ctx - length + 1)
    return [0, *range(start, start + length - 1)]


def batch(
    step: int, level: float, recipe: Recipe, tokenizer: PreTrainedTokenizerFast, shuffled: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, labels and positions of one step, from the seed, the step and the level alone.

    `level` runs from 0 to 1 as copying is mastered: the pool widens from `first_pool` tokens to all of `shuffled`, the
    vocabulary in random order, and the most pairs in a row from 4 to 12.
    """
    rng = random.Random(f"{recipe.seed} {step}")
    end, stage = tokenizer.bos_token_id, recipe.stage(step)
    length, scatter = stage.length, 0.0 if stage.stories else stage.scatter
    pool = shuffled[: recipe.pool_size(level, len(shuffled))]
    make = {
        "story": lambda: story_row(rng, tokenizer, length),
        "echo": lambda: echo_row(rng, end, shuffled, length),
        "pair": lambda: pair_row(rng, end, pool, length, rng.randint(2, round(4 + 8 * level))),
        "span": lambda: span_row(rng, end, pool, length, only_copies=not stage.stories),
    }
    kinds = rng.choices(list(stage.rows), weights=list(stage.rows.values()), k=recipe.tokens_per_step // length)
    rows = [make[kind]() for kind in kinds]
    tokens = torch.tensor([row for row, _ in rows])
    carries = torch.tensor([loss for _, loss in rows])
    positions = torch.tensor([row_positions(rng, length, recipe.n_ctx, scatter) for _ in rows])
    return tokens, tokens.masked_fill(~carries, NO_LOSS), positions
