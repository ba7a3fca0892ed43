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
from rsutils.models import norms, parts, readers, writers


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
def rotate_(part: torch.nn.Module, R: Float[Tensor, "d_model d_model"]) -> None:
    """Write a model, or one part of it, in the basis ``x' = x @ R``, in place: readers ``R.T @ W``, writers ``W @ R``.

    Embedding, positions, output biases and unembedding take part. ``rotate_(model, R.T)`` undoes it up to
    rounding. R may be any square matrix: what happens when it is no rotation is a lesson of its own. Wide
    weights are done 1024 columns or rows at a time, for a vocabulary leaves no room for a second copy.
    """
    for W in readers(part):
        for columns in W.split(1024, dim=-1):
            columns.copy_(R.to(W.dtype).T @ columns)
    for W in writers(part):
        for rows in torch.atleast_2d(W).split(1024, dim=-2):
            rows.copy_(rows @ R.to(W.dtype))


@contextmanager
def rotated(
    model: TransformerBridge, R: Float[Tensor, "d_model d_model"] | None = None, dtype: torch.dtype = torch.float32
) -> Iterator[TransformerBridge]:
    """Inside the ``with``, the model runs in the basis ``x' = x @ R`` (without R in its own), computing in ``dtype``.

    Each part runs on a rotated copy of its weights, which is made when the part starts and dropped when it ends:
    a big model needs no second copy, and its own weights are not touched. So weights that you look at are not
    rotated (that is ``rotate_``), and every forward pass pays for the rotation again.

    Hugging Face's RMSNorm computes in float32 whatever the model's type: add ``rms_norms(model)`` for the rest.

    Raises:
        CourseError: R has another size than the stream.
    """
    d_model = model.cfg.d_model
    if R is not None and R.shape != (d_model, d_model):
        raise CourseError(f"expected {d_model} x {d_model}, the size of the stream, got {list(R.shape)}")
    own = {}

    def start(part, _):
        own[part] = [(tensor, tensor.data) for tensor in (*part.parameters(), *part.buffers())]
        for tensor, data in own[part]:
            tensor.data = data.to(dtype, copy=True)
        if R is not None:
            rotate_(part, R)

    def end(part, *_):
        for tensor, data in own.pop(part):
            tensor.data = data

    handles = [part.register_forward_pre_hook(start) for part in parts(model)]
    handles += [part.register_forward_hook(end) for part in parts(model)]
    try:
        yield model
    finally:
        for handle in handles:
            handle.remove()
        for part in list(own):  # a forward pass that was interrupted
            end(part)


@contextmanager
@torch.no_grad()
def unfolded(model: TransformerBridge) -> Iterator[TransformerBridge]:
    """Inside the ``with``, each norm multiplies by its gain again, and the weights that read it do so no longer.

    The model computes the same function, as it did before its norms were folded (their biases stay folded).
    The weights come back within one rounding.

    Raises:
        CourseError: the model was loaded with ``processed=False``: its norms have their gains already.
    """
    if not model.info.folded:
        raise CourseError("expected a model whose norms are folded, got one as stored: load it without processed=False")
    found = [(norm, W) for norm, reading in norms(model) for W, _ in reading]
    found = [(norm, W, torch.where(norm.gain == 0, 1.0, norm.gain)) for norm, W in found]
    for norm, W, gain in found:
        norm.weight.copy_(gain)
        W /= gain[:, None]
    try:
        yield model
    finally:
        for norm, W, gain in found:
            norm.weight.fill_(1.0)
            W *= gain[:, None]


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

    for norm, _ in norms(model):
        vars(norm)["forward"] = MethodType(forward, norm)  # set as usual it would land on the module it wraps
    try:
        yield model
    finally:
        for norm, _ in norms(model):
            del vars(norm)["forward"]


def max_change(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch pos"],
    R: Float[Tensor, "d_model d_model"],
    dtype: torch.dtype = torch.float32,
) -> float:
    """max |difference of log-probability| that writing the stream in the basis R makes, computed in ``dtype``.

    Raises:
        CourseError: R has another size than the stream.
    """
    with rotated(model, dtype=dtype):
        before = log_probs(model, tokens)
    with rotated(model, R, dtype):
        return (log_probs(model, tokens) - before).abs().max().item()


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
