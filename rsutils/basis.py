"""Chapter 01: the residual stream in another basis."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.errors import CourseError
from rsutils.weights import norms, readers, writers


def random_rotation(d_model: int, seed: int = 0) -> Float[Tensor, "d_model d_model"]:
    """A uniformly random rotation in float64: ``R @ R.T = I``, determinant +1.

    >>> R = random_rotation(5)
    >>> torch.allclose(R @ R.T, torch.eye(5, dtype=R.dtype)), round(torch.linalg.det(R).item(), 6)
    (True, 1.0)
    """
    generator = torch.Generator().manual_seed(seed)
    R = torch.nn.init.orthogonal_(torch.empty(d_model, d_model, dtype=torch.float64), generator=generator)
    R[0] *= torch.linalg.det(R).sign()  # orthogonal matrices come as rotations and as mirrored ones
    return R


def fixing_ones(d_model: int, seed: int = 0) -> Float[Tensor, "d_model d_model"]:
    """A random rotation that leaves the all-ones vector where it is: ``ones @ R == ones``.

    ``H @ blockdiag(1, R') @ H`` with H the Householder reflection that swaps the first axis and the
    direction of all ones, and R' a random rotation of the other ``d_model - 1`` directions.

    >>> torch.allclose(torch.ones(7).double() @ fixing_ones(7), torch.ones(7).double())
    True
    """
    normal = torch.full((d_model,), d_model**-0.5, dtype=torch.float64)
    normal[0] -= 1
    H = torch.eye(d_model, dtype=torch.float64) - 2 * torch.outer(normal, normal) / (normal @ normal)
    inner = torch.block_diag(torch.ones(1, 1, dtype=torch.float64), random_rotation(d_model - 1, seed))
    return H @ inner @ H


def turn(R: Float[Tensor, "d_model d_model"], amount: float) -> Float[Tensor, "d_model d_model"]:
    """The way from the identity (``amount`` 0) to R (1) along one path of rotations, for R with determinant +1.

    R is ``exp(A)`` with A skew-symmetric; this is ``exp(amount * A)``.

    Raises:
        CourseError: R is not a rotation with determinant +1, so no path of rotations leads to it.

    >>> R = random_rotation(5)
    >>> torch.allclose(turn(R, 0.5) @ turn(R, 0.5), R)
    True
    """
    if not torch.allclose(R @ R.T, torch.eye(len(R), dtype=R.dtype), atol=1e-5) or torch.linalg.det(R) < 0:
        raise CourseError("expected a rotation with determinant +1: flip the sign of one row of R and try again")
    angles, vectors = torch.linalg.eig(R.double())
    # The inverse and not the conjugate transpose: where an eigenvalue repeats, eig's vectors are not orthogonal.
    return (vectors @ torch.diag(angles**amount) @ torch.linalg.inv(vectors)).real.to(R.dtype)


@torch.no_grad()
def rotate_(model: TransformerBridge, R: Float[Tensor, "d_model d_model"]) -> None:
    """Write the model's stream in the basis ``x' = x @ R``, in place: readers ``R.T @ W``, writers ``W @ R``.

    Embedding, positions, output biases and unembedding take part. ``rotate_(model, R.T)`` undoes it up to
    rounding. R may be any square matrix: what happens when it is no rotation is a lesson of its own.

    Raises:
        CourseError: R has another size than the stream.
    """
    if R.shape != (model.cfg.d_model, model.cfg.d_model):
        raise CourseError(
            f"expected {model.cfg.d_model} x {model.cfg.d_model}, the size of the stream, got {list(R.shape)}"
        )
    for W in readers(model):
        W.copy_(R.to(W.dtype).T @ W)
    for W in writers(model):
        W.copy_(W @ R.to(W.dtype))


@contextmanager
def rotated(model: TransformerBridge, R: Float[Tensor, "d_model d_model"]) -> Iterator[TransformerBridge]:
    """Inside the ``with``, the model's stream is written in the basis ``x' = x @ R``.

    Works in place, so that a big model needs no second copy. The weights come back within about 1e-6 of
    their size; inside ``precision(model, torch.float64)`` within one rounding.

    Raises:
        CourseError: R has another size than the stream.
    """
    rotate_(model, R)
    try:
        yield model
    finally:
        rotate_(model, torch.linalg.inv(R.double()))


@contextmanager
def precision(model: TransformerBridge, dtype: torch.dtype) -> Iterator[TransformerBridge]:
    """Inside the ``with``, the model computes in ``dtype``; afterwards in float32 again.

    Hugging Face's RMSNorm computes in float32 whatever the model's type: add ``rms_norms(model)`` for the rest.
    """
    model.to(dtype, print_details=False)
    try:
        yield model
    finally:
        model.to(torch.float32, print_details=False)


@contextmanager
def rms_norms(model: TransformerBridge) -> Iterator[TransformerBridge]:
    """Inside the ``with``, every norm divides by the root mean square and does not subtract the mean.

    With gains folded and writers centred the mean is zero already, so a LayerNorm model computes the same
    function. So does an RMSNorm model, but in the stream's own precision. TransformerLens's ``hook_scale`` and
    ``hook_normalized`` do not fire meanwhile.
    """

    def forward(norm, x):
        xhat = F.rms_norm(norm.hook_in(x), (model.cfg.d_model,), norm.weight, model.cfg.eps)
        return norm.hook_out(xhat if getattr(norm, "bias", None) is None else xhat + norm.bias)

    for norm in norms(model):
        vars(norm)["forward"] = MethodType(forward, norm)  # set as usual it would land on the module it wraps
    try:
        yield model
    finally:
        for norm in norms(model):
            del vars(norm)["forward"]


def max_change(
    model: TransformerBridge, prompts: list[Int[Tensor, "_ _"]], R: Float[Tensor, "d_model d_model"]
) -> float:
    """max |difference of log-probability| that writing the stream in the basis R makes, over all prompts.

    Computed in the model's precision; the model is rotated once, whatever the number of prompts.
    """
    before = [log_probs(model, tokens) for tokens in prompts]
    with rotated(model, R):
        after = [log_probs(model, tokens) for tokens in prompts]
    return max((a - b).abs().max().item() for a, b in zip(after, before, strict=True))


def log_probs(model: TransformerBridge, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_vocab"]:
    """Log-probabilities of the next token, natural logarithm."""
    with torch.no_grad():
        return model(tokens).log_softmax(dim=-1)


def kurtosis(stream: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch"]:
    """Kurtosis over the coordinates of each stream vector: 3 for Gaussian coordinates, large when a few stand out.

    Elhage et al. 2023, "Privileged Bases in the Transformer Residual Stream". Not basis-free: that is its use.

    >>> kurtosis(torch.tensor([1.0, -1.0, 1.0, -1.0])).item()
    1.0
    """
    centred = stream - stream.mean(dim=-1, keepdim=True)
    return centred.pow(4).mean(dim=-1) / centred.pow(2).mean(dim=-1).pow(2)
