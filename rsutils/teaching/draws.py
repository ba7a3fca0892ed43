"""What the inputs of an exercise are drawn from, afresh for each check."""

import random
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

T = TypeVar("T")
PRIMES = (5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43)


class Draw:
    """Random sizes and numbers for the cases of one check, from ``seed`` or, without one, afresh.

    >>> draw = Draw(seed=0)
    >>> d_mlp, d_model = draw.sizes(2)
    >>> draw.normal(d_mlp, d_model).shape == (d_mlp, d_model)
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        # Generators of its own: neither does a check change the learner's random numbers, nor a seed theirs its own.
        self._random = random.Random(seed)
        self._generator = torch.Generator().manual_seed(self._random.getrandbits(63))
        self._decks: dict[tuple, list] = {}

    def deal(self, *options: T) -> T:
        """One of the options; none comes a second time in a check before all have come once.

        >>> draw = Draw()
        >>> sorted(draw.deal("blue", "red") for _ in range(2))
        ['blue', 'red']
        """
        deck = self._decks.setdefault(options, [])
        if not deck:
            deck.extend(self._random.sample(options, len(options)))
        return deck.pop()

    def sizes(self, n: int) -> tuple[int, ...]:
        """``n`` different primes, so that a wrong axis or a size typed in does not pass by luck."""
        return tuple(self.deal(*PRIMES) for _ in range(n))

    def integer(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return self._random.randint(low, high)

    def uniform(self, low: float, high: float) -> float:
        """A number between ``low`` and ``high``."""
        return self._random.uniform(low, high)

    def normal(self, *shape: int) -> Float[Tensor, "..."]:
        """Standard normal numbers of this shape."""
        return torch.randn(shape, generator=self._generator)

    def rotation(self, n: int) -> Float[Tensor, "n n"]:
        """An orthogonal matrix."""
        return torch.linalg.qr(self.normal(n, n)).Q

    def pattern(self, n: int) -> Float[Tensor, "query key"]:
        """An attention pattern: causal, and each row sums to one."""
        future = torch.ones(n, n, dtype=torch.bool).triu(1)
        return (2 * self.normal(n, n)).masked_fill(future, -torch.inf).softmax(dim=-1)
