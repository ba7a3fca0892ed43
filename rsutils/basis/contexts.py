"""A model that runs otherwise for a while: in another basis, with its gains back, with other norms, or untrained.

Whatever ends the ``with``, Ctrl-C and errors in the middle of a forward pass included, the model is then what it was,
bit for bit. Contexts of two kinds may stand inside one another; a second one of the same kind is refused.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components import BlockBridge, NormalizationBridge

from rsutils.basis.rotations import check_matrix, rotate_
from rsutils.errors import CourseError
from rsutils.models import norms, parts, writers


@contextmanager
def _inside(
    kind: str, model: TransformerBridge, change: Callable[[], None], back: Callable[[], None]
) -> Iterator[TransformerBridge]:
    """Inside the ``with``, ``change()`` is done; ``back()`` undoes what of it was done, and may run twice."""
    entered = vars(model).setdefault("inside", set())
    if kind in entered:
        raise CourseError(f"expected a model that is not inside {kind} yet, got one that is: leave that `with` first")
    # Ctrl-C may come in the middle of putting back, so it is done twice: the outer round ends what the inner began.
    try:
        try:
            entered.add(kind)
            change()
            yield model
        finally:
            back()
            entered.discard(kind)
    finally:
        back()
        entered.discard(kind)


def rotated(
    model: TransformerBridge, R: Float[Tensor, "d_model d_model"] | None = None, dtype: torch.dtype = torch.float32
) -> AbstractContextManager[TransformerBridge]:
    """Inside the ``with``, the model runs in the basis ``x' = x @ R`` (its own without ``R``), computing in ``dtype``.

    Each part runs on a rotated copy of its weights, which is made when the part starts and dropped when it ends:
    a big model needs no second copy, and its own weights are not touched. So weights that you look at are not
    rotated (that is ``rotate_``), and every forward pass pays for the rotation again.

    Hugging Face's RMSNorm computes in float32 whatever the model's type: add ``rms_norms(model)`` for the rest.

    Raises:
        CourseError: ``R`` has another size than the stream or is not finite, ``dtype`` is neither float32 nor
            float64, or the model is rotated or untrained already.
    """
    if R is not None:
        check_matrix(R, model.cfg.d_model)
    if dtype not in (torch.float32, torch.float64):
        raise CourseError(f"expected torch.float32 or torch.float64, got {dtype}: choose one of the two")

    def edit(part: torch.nn.Module) -> None:
        if R is not None:
            rotate_(part, R)

    return _on_copies(model, edit, dtype)


def untrained(model: TransformerBridge, seed: int = 0) -> AbstractContextManager[TransformerBridge]:
    """Inside the ``with``, the model runs on random weights of the same shapes: what no training has made.

    Matrices are normal, of the width that the model's configuration starts training with, and in blocks the writers
    smaller by the root of their number, as GPT-2 has it (Radford et al. 2019, "Language Models are Unsupervised
    Multitask Learners"). Biases are zero; gains of norms that are not folded stay. As with ``rotated``, each part's
    weights are made anew at each pass.

    Raises:
        CourseError: the model is rotated or untrained already.
    """
    hf_model: Any = model.original_model
    config = hf_model.config
    width = config.init_std if hasattr(config, "init_std") else config.initializer_range  # OPT has its own word
    generator = torch.Generator()
    seeds = {part: seed + 1000 * i for i, part in enumerate(parts(model))}

    def edit(part: torch.nn.Module) -> None:
        generator.manual_seed(seeds[part])
        for name, parameter in part.named_parameters():
            if parameter.ndim > 1:
                parameter.data.normal_(0, width, generator=generator)
            elif name.endswith("bias"):
                parameter.data.zero_()
        if isinstance(part, BlockBridge):
            for W in writers(part):
                W.data *= (2 * model.cfg.n_layers) ** -0.5

    return _on_copies(model, edit, torch.float32)


def _on_copies(
    model: TransformerBridge, edit: Callable[[torch.nn.Module], None], dtype: torch.dtype
) -> AbstractContextManager[TransformerBridge]:
    """Inside the ``with``, each part runs on a copy of its weights that ``edit`` has changed."""
    own: dict[torch.nn.Module, list[tuple[Tensor, Tensor]]] = {}
    handles = []

    def start(part: torch.nn.Module, _: object) -> None:
        for tensor, data in own[part]:  # not from what an interrupted pass left there
            tensor.data = data.to(dtype, copy=True)
        edit(part)

    def end(part: torch.nn.Module, *_: object) -> None:
        for tensor, data in own[part]:
            tensor.data = data

    def change() -> None:
        for part in parts(model):
            tensors = (*part.parameters(), *part.buffers())
            own[part] = [(t, t.data) for t in tensors if t.is_floating_point()]  # others are masks
        for part in own:
            handles.append(part.register_forward_pre_hook(start))
            handles.append(part.register_forward_hook(end))

    def back() -> None:
        for handle in handles:
            handle.remove()
        for part in own:
            end(part)

    return _inside("rotated or untrained", model, change, back)


def unfolded(model: TransformerBridge) -> AbstractContextManager[TransformerBridge]:
    """Inside the ``with``, each norm multiplies by its gain again, and the weights that read it do so no longer.

    The model computes the same function, as it did before its norms were folded (their biases stay folded).
    What is changed is kept meanwhile: that takes about half of the model's memory.

    Raises:
        CourseError: the model was loaded with ``processed=False``, so that its norms have their gains already, or
            it is unfolded already.
    """
    if not model.info.folded:
        raise CourseError("expected a model whose norms are folded, got one as stored: load it without processed=False")
    own: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def change() -> None:
        reading: list[tuple[Any, list[Tensor]]] = [(norm, [W for W, _ in read]) for norm, read in norms(model)]
        own.extend((t.data, t.clone()) for norm, weights in reading for t in (norm.weight, *weights))
        for norm, weights in reading:
            gain = torch.where(norm.gain == 0, 1.0, norm.gain)
            norm.weight.copy_(gain)
            for W in weights:
                W /= gain[:, None]

    @torch.no_grad()
    def back() -> None:
        for tensor, before in own:
            tensor.copy_(before)

    return _inside("unfolded", model, change, back)


def rms_norms(model: TransformerBridge) -> AbstractContextManager[TransformerBridge]:
    """Inside the ``with``, every norm divides by the root mean square and does not subtract the mean.

    With gains folded and writers centred the mean is zero already, so a LayerNorm model computes the same
    function. So does an RMSNorm model, but in the stream's own precision. TransformerLens's ``hook_scale`` and
    ``hook_normalized`` do not fire meanwhile.

    Raises:
        CourseError: the model is inside ``rms_norms`` already.
    """

    def forward(norm: NormalizationBridge, x: Tensor) -> Tensor:
        xhat = F.rms_norm(norm.hook_in(x), (model.cfg.d_model,), norm.weight, model.cfg.eps)
        return norm.hook_out(xhat if getattr(norm, "bias", None) is None else xhat + norm.bias)

    def change() -> None:
        for norm, _ in norms(model):
            vars(norm)["forward"] = MethodType(forward, norm)  # set as usual it would land on the module it wraps

    def back() -> None:
        for norm, _ in norms(model):
            vars(norm).pop("forward", None)

    return _inside("rms_norms", model, change, back)
