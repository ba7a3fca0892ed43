"""Chapter 06: prompts whose answer is known, each with two corruptions of the same length, and whether a model can."""

import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.causal.metric import logit_difference
from rsutils.compare import bootstrap
from rsutils.errors import CourseError
from rsutils.heads.arguments import check_whole
from rsutils.heads.attention import usable_tokens

GIRLS = (
    "Mary Anna Lucy Emma Sara Kate Jane Alice Lily Rose Ella Nina Clara Julia Eva Grace Amy Molly Ruby Zoe Nora Helen"
).split()
BOYS = (
    "John Tom Ben Max Sam Jack Peter Paul Mark David James Leo Luke Adam Dan Oscar Hugo Felix Henry Simon Noah Owen "
    "Finn Eric"
).split()
NAMES = GIRLS + BOYS
MOODS = "tired hungry thirsty cold proud sad happy angry afraid".split()
PLACES = (
    "store park school zoo beach farm library market garden forest river lake museum station castle village".split()
)
THINGS = "drink ball book kite hat key cup box bag coin doll drum flute lamp map pen ring rope shell spoon toy".split()
# Names never open a sentence: a tokenizer with spaces in its tokens has another token for a name there.
SCENES = (
    "When {x} and {y} went to the {place}, {giver} gave a {thing} to",
    "After {x} and {y} went to the {place}, {giver} handed a {thing} to",
    "While {x} and {y} were at the {place}, {giver} gave a {thing} to",
    "When {x} and {y} met at the {place}, {giver} showed a {thing} to",
)
FEWEST_NAMES = 12
LAGS, TAIL = (25, 40), 5  # how many tokens of the longer span are repeated
CAN = 0.75


@dataclass(frozen=True)
class Prompts:
    """Prompts of one length that end where the answer comes, beside two corruptions of the same tokens.

    Attributes:
        family: ``"names"``, ``"repeated"`` or ``"pronouns"``.
        tokens: BOS and the prompt.
        fresh: what the answer follows from is replaced by something that names neither answer.
        swapped: one token is replaced so that the wrong answer becomes the right one.
        right, wrong: the two answers, each one token.
    """

    family: str
    tokens: Int[Tensor, "prompt pos"]
    fresh: Int[Tensor, "prompt pos"]
    swapped: Int[Tensor, "prompt pos"]
    right: Int[Tensor, " prompt"]
    wrong: Int[Tensor, " prompt"]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, which: slice) -> "Prompts":
        """Some of the prompts."""
        names = ("tokens", "fresh", "swapped", "right", "wrong")
        return replace(self, **{name: getattr(self, name)[which] for name in names})

    def corrupt(self, corruption: str) -> Int[Tensor, "prompt pos"]:
        """The tokens of one corruption.

        Raises:
            CourseError: there is no such corruption.
        """
        if corruption not in ("fresh", "swapped"):
            raise CourseError(f"expected a corruption among fresh, swapped, got {corruption!r}: choose one of these")
        return getattr(self, corruption)

    def touched(self, corruption: str) -> Bool[Tensor, "prompt pos"]:
        """Where a corruption can change anything: from the first token on that differs."""
        return (self.tokens != self.corrupt(corruption)).cumsum(dim=1) > 0


class Judged(NamedTuple):
    """Whether a model does what a family of prompts asks; ``prompts`` is None where they cannot be made."""

    family: str
    prompts: Prompts | None
    can: bool
    sentence: str


def names(model: TransformerBridge, n: int = 200, seed: int = 0) -> Prompts:
    """Two people are somewhere and one gives something to the other: the answer is who has not been named again.

    The giver is the first of the two in half of the prompts. ``fresh`` puts three new names in the places of the
    three, ``swapped`` lets the other one give. Wang et al. 2022, "Interpretability in the Wild: a Circuit for Indirect
    Object Identification in GPT-2 small", section 2 and its ABC corruption. All prompts have the commonest length.

    Raises:
        CourseError: the tokenizer has too few of the names as single tokens.
    """
    n, rng = check_whole("a number of prompts", n, 2, 10_000), random.Random(seed)
    known = {name: ids[0] for name in NAMES if len(ids := _encode(model, f" {name}")) == 1}
    if len(known) < FEWEST_NAMES:
        raise CourseError(
            f"expected a tokenizer with {FEWEST_NAMES} of the course's names as single tokens, got {len(known)}: "
            "take the repeated tokens instead"
        )
    rows = []
    for i in range(4 * n):
        x, y, *others = rng.sample(sorted(known), 5)
        giver, taker = (x, y) if i % 2 else (y, x)
        scene = rng.choice(SCENES).replace("{place}", rng.choice(PLACES)).replace("{thing}", rng.choice(THINGS))
        trio = [(x, y, giver), tuple(others), (x, y, taker)]
        texts = [_encode(model, scene.format(x=a, y=b, giver=c)) for a, b, c in trio]
        rows.append((texts, known[taker], known[giver], i % 2))
    length = Counter(len(texts[0]) for texts, *_ in rows).most_common(1)[0][0]
    kept = [row for row in rows if {len(text) for text in row[0]} == {length}]
    # As many of one order as of the other, in turn.
    pairs = list(zip(*([row for row in kept if row[3] == order] for order in (0, 1)), strict=False))
    kept = [row for pair in pairs for row in pair][:n]
    if len(kept) < n:
        raise CourseError(f"expected {n} prompts of one length, got {len(kept)}: ask for fewer")
    trios, right, wrong, _ = zip(*kept, strict=True)
    tokens, fresh, swapped = (_with_bos(model, torch.tensor(rows)) for rows in zip(*trios, strict=True))
    return Prompts("names", tokens, fresh, swapped, torch.tensor(right), torch.tensor(wrong))


def repeated(model: TransformerBridge, n: int = 200, lags: tuple[int, int] = LAGS, seed: int = 0) -> Prompts:
    """Random tokens and the beginning of their repetition: the answer is what followed the last token before.

    Half of the prompts repeat after ``lags[0]`` tokens and half after ``lags[1]``, all in one length; the embedded
    model met neither of the course's two lags in training. ``wrong`` is a later token of the span. ``fresh`` has
    other random tokens in place of the first copy's, ``swapped`` has ``wrong`` in the answer's place there and the
    answer in its own.

    Raises:
        CourseError: the lags do not fit into the model's context.
    """
    n = check_whole("a number of prompts", n, 2, 10_000)
    low, high = (check_whole("a lag", lag, TAIL, model.cfg.n_ctx - 1 - TAIL) for lag in lags)
    if not low <= high <= 2 * low - TAIL - 2:
        raise CourseError(f"expected a lag and one up to twice as long less {TAIL + 2}, got {lags}: take {LAGS}")
    generator, usable = torch.Generator().manual_seed(seed), usable_tokens(model)
    if len(usable) < 2 * high:
        raise CourseError(f"expected {2 * high} tokens to draw from, got {len(usable)}: take shorter lags")
    rows = []
    for i in range(n):
        lag = (low, high)[i % 2]
        span, other = usable[torch.randperm(len(usable), generator=generator)[: 2 * lag]].split(lag)
        again = span[: high + TAIL - lag]
        at = len(again)  # the answer's place in the span
        another = int(torch.randint(at + 1, lag, (), generator=generator))
        turned = span.clone()
        turned[[at, another]] = span[[another, at]]
        firsts = torch.stack([span, other, turned])
        rows.append((torch.cat([firsts, again.expand(3, -1)], dim=1), span[at], span[another]))
    texts, right, wrong = (torch.stack(part) for part in zip(*rows, strict=True))
    tokens, fresh, swapped = (_with_bos(model, text) for text in texts.unbind(dim=1))
    return Prompts("repeated", tokens, fresh, swapped, right, wrong)


def pronouns(model: TransformerBridge, n: int = 200, seed: int = 0) -> Prompts:
    """Somebody was in some mood "because": the answer is she after a girl's name and he after a boy's, half of each.

    Both corruptions put a name of the other kind in the place of the name: no name says neither.

    Raises:
        CourseError: the tokenizer has too few of the names and moods as single tokens, or there are fewer prompts.
    """
    n, rng = check_whole("a number of prompts", n, 2, 10_000), random.Random(seed)
    girls, boys = ([name for name in kind if len(_encode(model, name)) == 1] for kind in (GIRLS, BOYS))
    moods = [mood for mood in MOODS if len(_encode(model, f" {mood}")) == 1]
    answers = [ids[0] for word in (" she", " he") if len(ids := _encode(model, word)) == 1]
    few = min(len(girls), len(boys))
    if 2 * few < FEWEST_NAMES or not moods or len(answers) < 2:
        raise CourseError(
            f"expected a tokenizer with {FEWEST_NAMES // 2} girls' and boys' names, a mood, she and he as single "
            f"tokens, got {len(girls)}, {len(boys)}, {len(moods)} and {len(answers)} answers: take another family"
        )
    if n > 2 * few * len(moods):
        raise CourseError(f"expected at most {2 * few * len(moods)} prompts, got n={n}: ask for fewer")
    asked = [rng.sample([(name, mood) for name in kind for mood in moods], (n + 1) // 2) for kind in (girls, boys)]
    rows = []
    for i in range(n):
        name, mood = asked[i % 2][i // 2]
        other = rng.choice(girls if i % 2 else boys)
        texts = [_encode(model, f"{who} was {mood} because") for who in (name, other)]
        rows.append((*texts, answers[i % 2], answers[1 - i % 2]))
    clean, corrupt, right, wrong = (torch.tensor(part) for part in zip(*rows, strict=True))
    tokens, swapped = (_with_bos(model, text) for text in (clean, corrupt))
    return Prompts("pronouns", tokens, swapped, swapped, right, wrong)


def judge(model: TransformerBridge, prompts: Prompts) -> Judged:
    """Does the model prefer the right answer? It can do the task if the share's whole interval lies above ``CAN``.

    A coin prefers it in half of the prompts; ``CAN`` is half-way from there to always.
    """
    right = (logit_difference(model, prompts) > 0).float()
    share, interval = right.mean().item(), bootstrap(lambda x: x.mean(), right)
    can = interval.low > CAN
    verb = "does" if can else "does not do"
    sentence = (
        f"This model {verb} the {prompts.family} task: it prefers the right answer in {share:.0%} of {len(prompts)} "
        f"prompts ({interval:.0%})."
    )
    return Judged(prompts.family, prompts, can, sentence)


def offered(model: TransformerBridge, n: int = 200, seed: int = 0) -> list[Judged]:
    """The families, each judged, or the reason why its prompts cannot be made."""
    found = []
    for make in (names, repeated, pronouns):
        try:
            found.append(judge(model, make(model, n, seed=seed)))
        except CourseError as error:
            found.append(Judged(make.__name__, None, False, f"There are no {make.__name__} prompts here: {error}."))
    return found


def _encode(model: TransformerBridge, text: str) -> list[int]:
    return model.tokenizer.encode(text, add_special_tokens=False)


def _with_bos(model: TransformerBridge, tokens: Int[Tensor, "prompt pos"]) -> Int[Tensor, "prompt pos+1"]:
    return torch.cat([torch.full((len(tokens), 1), model.tokenizer.bos_token_id), tokens], dim=1)
