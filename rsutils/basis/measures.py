"""What changes with the basis and what does not: log-probabilities, and how far coordinates stand out."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.basis.contexts import rotated
from rsutils.errors import CourseError


def max_change(
    model: TransformerBridge,
    tokens: Int[Tensor, "batch pos"],
    R: Float[Tensor, "d_model d_model"],
    dtype: torch.dtype = torch.float32,
) -> float:
    """The largest change of a log-probability that writing the stream in the basis ``R`` makes, computed in ``dtype``.

    Raises:
        CourseError: ``tokens`` are not what the model reads (see ``log_probs``), or ``rotated`` refuses ``R``,
            ``dtype`` or the model.
    """
    with rotated(model, dtype=dtype):
        before = log_probs(model, tokens)
    with rotated(model, R, dtype):
        return (log_probs(model, tokens) - before).abs().max().item()


def log_probs(model: TransformerBridge, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_vocab"]:
    """Log-probabilities of the next token, natural logarithm.

    Raises:
        CourseError: ``tokens`` are not whole numbers of shape ``[batch, pos]``, are none or more than the model
            reads, or are not in its vocabulary.
    """
    n_ctx, d_vocab = model.cfg.n_ctx, model.cfg.d_vocab
    if tokens.ndim != 2 or tokens.dtype not in (torch.int32, torch.int64):
        got = f"{tokens.dtype} of shape {list(tokens.shape)}"
        raise CourseError(f"expected token ids of shape [batch, pos], got {got}: make them with rsutils.models.tokens")
    if not tokens.shape[0] or not 1 <= tokens.shape[1] <= n_ctx:
        got = f"shape {list(tokens.shape)}"
        raise CourseError(f"expected 1 row or more of 1 to {n_ctx} tokens, got {got}: shorten or fill it")
    if tokens.min() < 0 or tokens.max() >= d_vocab:
        got = f"{tokens.min()} to {tokens.max()}"
        raise CourseError(f"expected token ids from 0 to {d_vocab - 1}, got {got}: take this model's own tokens")
    with torch.no_grad():
        return model(tokens).log_softmax(dim=-1)


def kurtosis(stream: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch"]:
    """Kurtosis over the coordinates of each stream vector: 3 for Gaussian coordinates, large when a few stand out.

    Elhage et al. 2023, "Privileged Bases in the Transformer Residual Stream". Not basis-free: that is its use.

    Raises:
        CourseError: there are no coordinates, they are not finite, or those of a vector are all alike.

    >>> kurtosis(torch.tensor([1.0, -1.0, 1.0, -1.0])).item()
    1.0
    """
    if not stream.ndim or not stream.shape[-1] or not stream.is_floating_point():
        got = f"{stream.dtype} of shape {list(stream.shape)}"
        raise CourseError(f"expected floating-point vectors of shape [..., d_model], got {got}: pass a stream")
    if not stream.isfinite().all():
        raise CourseError("expected finite coordinates, got NaN or infinity: see where the stream was computed")
    if (stream.amax(dim=-1) == stream.amin(dim=-1)).any():
        raise CourseError("expected coordinates that differ, got a vector of one value: it has no kurtosis, drop it")
    exact = stream.double()  # the fourth power of a small float32 is zero
    centred = exact - exact.mean(dim=-1, keepdim=True)
    return (centred.pow(4).mean(dim=-1) / centred.pow(2).mean(dim=-1).pow(2)).to(stream.dtype)
