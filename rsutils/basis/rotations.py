"""Rotations of the residual stream, and a model's weights written in another basis."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components import BlockBridge, NormalizationBridge

from rsutils.errors import CourseError
from rsutils.models import readers, shown, writer_norms, writers

WIDEST = 16_384  # a matrix of that size takes 2 GB


def random_rotation(d_model: int, seed: int = 0) -> Float[Tensor, "d_model d_model"]:
    """A uniformly random rotation in float64: ``R @ R.T = I``, determinant +1.

    Raises:
        CourseError: ``d_model`` is not a whole number of at least 1, or ``seed`` not one of at least 0.

    >>> R = random_rotation(5)
    >>> torch.allclose(R @ R.T, torch.eye(5, dtype=R.dtype)), round(torch.linalg.det(R).item(), 6)
    (True, 1.0)
    """
    check_whole("d_model", d_model, 1, WIDEST)
    check_whole("seed", seed, 0, 2**63 - 1)
    generator = torch.Generator().manual_seed(seed)
    R = torch.nn.init.orthogonal_(torch.empty(d_model, d_model, dtype=torch.float64), generator=generator)
    R[0] *= torch.linalg.det(R).sign()  # orthogonal matrices come as rotations and as mirrored ones
    return R


def fixing_ones(d_model: int, seed: int = 0) -> Float[Tensor, "d_model d_model"]:
    """A random rotation that leaves the all-ones vector where it is: ``ones @ R == ones``.

    ``H @ blockdiag(1, R') @ H`` with ``H`` the Householder reflection that swaps the first axis and the
    direction of all ones, and ``R'`` a random rotation of the other ``d_model - 1`` directions.

    Raises:
        CourseError: ``d_model`` is not a whole number of at least 2, or ``seed`` not one of at least 0.

    >>> torch.allclose(torch.ones(7).double() @ fixing_ones(7), torch.ones(7).double())
    True
    """
    check_whole("d_model", d_model, 2, WIDEST)
    normal = torch.full((d_model,), d_model**-0.5, dtype=torch.float64)
    normal[0] -= 1
    H = torch.eye(d_model, dtype=torch.float64) - 2 * torch.outer(normal, normal) / (normal @ normal)
    inner = torch.block_diag(torch.ones(1, 1, dtype=torch.float64), random_rotation(d_model - 1, seed))
    return H @ inner @ H


def turn(R: Float[Tensor, "d_model d_model"], amount: float) -> Float[Tensor, "d_model d_model"]:
    """The way from the identity (``amount`` 0) to ``R`` (1) along one path of rotations.

    ``R`` is ``exp(A)`` with ``A`` skew-symmetric; this is ``exp(amount * A)``.

    Raises:
        CourseError: ``amount`` is not between 0 and 1, ``R`` is not a rotation with determinant +1, so that no path
            of rotations leads to it, or it turns a plane half around, so that two do.

    >>> R = random_rotation(5)
    >>> torch.allclose(turn(R, 0.5) @ turn(R, 0.5), R)
    True
    """
    if not (math.isfinite(amount) and 0 <= amount <= 1):
        raise CourseError(f"expected an amount from 0 (no rotation) to 1 (all of it), got {amount}: change it")
    check_matrix(R, len(R) if R.ndim else 0)
    whole = R.double()
    check_orthogonal(whole, 1e-5, "take one that random_rotation or fixing_ones makes")
    if torch.linalg.det(whole) < 0:
        raise CourseError("expected a rotation with determinant +1, got -1: flip the sign of one row of R")
    angles, vectors = torch.linalg.eig(whole)
    # The inverse and not the conjugate transpose: where an eigenvalue repeats, eig's vectors are not orthogonal.
    part = (vectors @ torch.diag(angles**amount) @ torch.linalg.inv(vectors)).real
    # An eigenvalue -1 has two roots that differ in sign, and eig does not say which belong together.
    check_orthogonal(part, 1e-3, "it turns a plane half around, where the path forks; take another rotation")
    return part.to(R.dtype)


@torch.no_grad()
def rotate_(part: torch.nn.Module, R: Float[Tensor, "d_model d_model"]) -> None:
    """Write a model, or one part of it, in the basis ``x' = x @ R``, in place: readers ``R.T @ W``, writers ``W @ R``.

    Embedding, positions, output biases and unembedding take part. ``rotate_(model, R.T)`` undoes it up to
    rounding. ``R`` may be any square matrix: what happens when it is no rotation is a lesson of its own. Wide
    weights are done 1024 columns or rows at a time, for a vocabulary leaves no room for a second copy.

    Raises:
        CourseError: ``R`` has another size than the stream or is not finite, the part neither reads the stream nor
            writes to it, the model is inside ``unfolded``, which would put back half of it, or its embedding is
            its unembedding, which cannot be rotated as a writer and as a reader.
    """
    sizes = {W.shape[-2] for W in readers(part)} | {W.shape[-1] for W in writers(part)}
    if not sizes and not isinstance(part, NormalizationBridge):
        raise CourseError(f"expected a model, a block or an embedding, got {type(part).__name__}: pass one of those")
    for d_model in sizes:
        check_matrix(R, d_model)
    if isinstance(part, TransformerBridge):
        if part.embed.weight.data_ptr() == part.unembed.weight.data_ptr():
            raise CourseError("expected W_E and W_U of their own, got tied ones: load it without processed=False")
        if "unfolded" in vars(part).get("inside", ()):
            raise CourseError("expected a model outside of unfolded, got one inside: leave it first, or use rotated")
    for W in readers(part):
        for columns in W.split(1024, dim=-1):
            columns.copy_(R.to(W.dtype).T @ columns)
    for W in writers(part):
        for rows in torch.atleast_2d(W).split(1024, dim=-2):
            rows.copy_(rows @ R.to(W.dtype))
    # A norm after a writer reads what is written, coordinate by coordinate before the rotation: a matrix from then on.
    for block in part.blocks if isinstance(part, TransformerBridge) else [part]:
        for norm, _ in writer_norms(block) if isinstance(block, BlockBridge) else []:
            own = norm.weight
            norm.weight.data = R.to(own.dtype).T @ (own.diag() if own.ndim == 1 else own)


def check_whole(name: str, number: int, least: int, most: int) -> None:
    """Raise CourseError unless ``number`` is a whole one from ``least`` to ``most``."""
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        raise CourseError(f"expected {name} as a whole number from {least} to {most}, got {shown(number)}: change it")


def check_matrix(R: Tensor, d_model: int) -> None:
    """Raise CourseError unless ``R`` is a matrix of the stream's size, of finite floating-point numbers."""
    if R.shape != (d_model, d_model) or not d_model:
        wanted = f"{d_model} x {d_model}, the size of the stream" if d_model else "a square matrix"
        raise CourseError(f"expected {wanted}, got {list(R.shape)}: make R with random_rotation")
    if not R.is_floating_point():
        raise CourseError(f"expected R in floating-point numbers, got {R.dtype}: call R.double() first")
    if not R.isfinite().all():
        raise CourseError("expected finite numbers in R, got NaN or infinity: see what R was computed from")


def check_orthogonal(R: Float[Tensor, "d_model d_model"], tolerance: float, advice: str) -> None:
    """Raise CourseError, with the advice, unless ``R @ R.T = I`` up to the tolerance."""
    off = (R @ R.T - torch.eye(len(R), dtype=R.dtype)).abs().max().item()
    if not off < tolerance:
        raise CourseError(f"expected a rotation, R @ R.T = I, got one off by {off:.1g}: {advice}")
