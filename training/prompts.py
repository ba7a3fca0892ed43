"""Prompts whose right continuation is known, all with something in them that training never showed."""

from __future__ import annotations

import random

from training import corpus

SEED = 1_000_003
# What a learner may type first, none of it of this world.
PROSE = (
    "The committee postponed its decision until the following quarter, citing uncertainty about interest rates.",
    "Photosynthesis converts light energy into chemical energy that is stored in sugars.",
    "She had never intended to stay in the city for more than a few weeks.",
)


def name_prompts(which: str, n: int = 200, seed: int = SEED) -> list[tuple[str, str]]:
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


def number_prompts(n: int = 200, seed: int = SEED) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
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


def holder_prompts(n: int = 100, seed: int = SEED) -> list[tuple[str, str]]:
    """Two gifts in a row, then the question who has the thing now: no document of this kind was seen."""
    rng = random.Random(seed)
    items = []
    for _ in range(n):
        a, b, c = rng.sample([name for name in corpus.NAMES if name not in corpus.HELD_NAMES], 3)
        noun = rng.choice(corpus.THINGS)
        text = f"{a} gave the {noun} to {b}. Then {b} gave the {noun} to {c}. The one who has the {noun} now is"
        items.append((text, f" {c}"))
    return items
