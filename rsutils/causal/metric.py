"""Chapter 06: what an intervention does to an answer, as a difference of logits and as a share of what corruption does.

A probability saturates and a rank jumps; the difference of two logits does neither, and parts of the model add to it.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.compare import Interval, bootstrap
from rsutils.errors import CourseError

if TYPE_CHECKING:
    from rsutils.causal.prompts import Prompts

ROWS = 8192  # tokens that one run of the model takes at once


class Estimate(NamedTuple):
    """A median or a share over prompts and where it would lie had others been drawn."""

    value: float
    interval: Interval

    def __format__(self, spec: str) -> str:
        return f"{self.value:{spec}} ({self.interval:{spec}})"


def difference(
    logits: Float[Tensor, "prompt d_vocab"], right: Int[Tensor, " prompt"], wrong: Int[Tensor, " prompt"]
) -> Float[Tensor, " prompt"]:
    """How far each prompt's right answer lies above its wrong one."""
    return (logits.gather(1, right[:, None]) - logits.gather(1, wrong[:, None]))[:, 0]


def logit_difference(
    model: TransformerBridge, prompts: "Prompts", tokens: Int[Tensor, "prompt pos"] | None = None
) -> Float[Tensor, " prompt"]:
    """The difference after each prompt, or after other ``tokens`` for the same answers, in runs of bounded size."""
    tokens = prompts.tokens if tokens is None else tokens
    step = max(1, ROWS // tokens.shape[1])
    logits = torch.cat([model(some, use_cache=False)[:, -1] for some in tokens.split(step)])
    return difference(logits, prompts.right, prompts.wrong)


def normalised(
    clean: Float[Tensor, "*edges prompt"], patched: Float[Tensor, "*edges prompt"], corrupt: Float[Tensor, " prompt"]
) -> Float[Tensor, "*edges prompt"]:
    """``(clean - patched) / (clean - corrupt)``: 0 where patching changes nothing, 1 where it does all of the damage.

    NaN for a prompt that corruption leaves as it is.

    >>> normalised(torch.tensor([4.0, 4.0]), torch.tensor([3.0, 0.0]), torch.tensor([0.0, 0.0])).tolist()
    [0.25, 1.0]
    """
    damage = clean - corrupt
    return (clean - patched) / torch.where(damage == 0, torch.nan, damage)


def median(values: Float[Tensor, " prompt"]) -> Estimate:
    """The median over prompts with its bootstrap interval; NaN left out.

    Raises:
        CourseError: there is no value.
    """
    values = values[~values.isnan()]
    if not len(values):
        raise CourseError("expected the effects of some prompts, got none: take prompts that corruption changes")
    return Estimate(values.median().item(), bootstrap(lambda drawn: drawn.median(), values))


def share(
    clean: Float[Tensor, " prompt"], patched: Float[Tensor, " prompt"], corrupt: Float[Tensor, " prompt"]
) -> float:
    """How much of what corruption takes is there: the mean of ``patched - corrupt`` over that of ``clean - corrupt``.

    A ratio of means: where half of the prompts gain what the other half loses it says so, and a median over prompts
    may say anything.

    >>> share(torch.tensor([4.0, 4.0]), torch.tensor([6.0, 0.0]), torch.tensor([0.0, 0.0]))
    0.75
    """
    return ((patched - corrupt).mean() / (clean - corrupt).mean()).item()
