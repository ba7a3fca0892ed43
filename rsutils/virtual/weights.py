"""Chapter 03: virtual weights, what one component writes as another reads it, before any prompt is run.

``V = W_out[i] @ W_in[j]`` with one row a source neuron and one column a destination neuron. Functions
that look at all of V take its factors ``A = W_out`` and ``B = W_in`` and never hold it whole (``products``).
"""

from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.errors import CourseError
from rsutils.models import free_memory

Component = int | str


def write_weights(model: TransformerBridge, source: Component) -> Float[Tensor, "source d_model"]:
    """What a source writes, one direction a row: ``W_out`` of layer ``source``, or ``"embed"`` or ``"pos_embed"``.

    Raises:
        CourseError: the model has no such source.
    """
    if source == "embed":
        return model.embed.weight
    if source == "pos_embed":
        if model.cfg.positional_embedding_type != "standard":
            raise CourseError("this model writes no positions into the stream (it rotates queries and keys instead)")
        return model.pos_embed.weight
    return model.blocks[_layer(model, source, "'embed', 'pos_embed'")].mlp.W_out


def read_weights(
    model: TransformerBridge, destination: Component, reader: str = "in"
) -> Float[Tensor, "d_model destination"]:
    """What a destination reads, one direction a column: ``W_in`` of layer ``destination``, or ``"unembed"``.

    A gated MLP has two readers, ``"in"`` (``W_in``) and ``"gate"`` (``W_gate``); others have ``"in"`` alone.

    Raises:
        CourseError: the model has no such destination or reader.
    """
    if reader not in readers(model):
        raise CourseError(f"expected one of this model's MLP readers {readers(model)}, got {reader!r}")
    if destination == "unembed":
        return model.unembed.W_U
    mlp = model.blocks[_layer(model, destination, "'unembed'")].mlp
    return mlp.W_gate if reader == "gate" else mlp.W_in


def readers(model: TransformerBridge) -> list[str]:
    """Names of the weights through which each MLP of this model reads the stream."""
    return ["in", "gate"] if model.cfg.gated_mlp else ["in"]


def virtual_weights(
    model: TransformerBridge,
    source: Component,
    destination: Component,
    *,
    reader: str = "in",
    rows: slice | list[int] = slice(None),
    columns: slice | list[int] = slice(None),
) -> Float[Tensor, "source destination"]:
    """``V = W_out[source] @ W_in[destination]``, or only the rows and columns asked for; nothing else is computed.

    Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits", section "Virtual Weights and the
    Residual Stream as a Communication Channel". Weights act on ``stream / scale``, so a term of a
    pre-activation is ``activation * V / scale``.

    Raises:
        CourseError: the source does not come before the destination, a row or column does not exist, or the
            matrix would not fit into memory.
    """
    A, B = factors(model, source, destination, reader)
    try:
        A, B = A[rows], B[:, columns]
    except IndexError:
        raise CourseError(
            f"expected rows below {A.shape[0]} and columns below {B.shape[1]}, the sizes of this pair"
        ) from None
    n_bytes = 4 * A.shape[0] * B.shape[1]
    if n_bytes > free_memory() / 2:
        raise CourseError(
            f"{A.shape[0]} x {B.shape[1]} virtual weights take {n_bytes / 1e9:.1f} GB: ask for rows= or columns=, "
            "or for products.strongest(), which builds a few rows at a time"
        )
    return A @ B


def factors(
    model: TransformerBridge, source: Component, destination: Component, reader: str = "in"
) -> tuple[Float[Tensor, "source d_model"], Float[Tensor, "d_model destination"]]:
    """The two factors of ``V``, for a source that writes before the destination reads.

    Raises:
        CourseError: it does not, or one of them does not exist.
    """
    A, B = write_weights(model, source), read_weights(model, destination, reader)
    if isinstance(source, int) and isinstance(destination, int) and source >= destination:
        raise CourseError(f"expected a source layer below the destination layer, got {source} -> {destination}")
    return A, B


def connections(
    A: Float[Tensor, "source d_model"], B: Float[Tensor, "d_model destination"]
) -> tuple[Float[Tensor, " source"], Float[Tensor, " destination"]]:
    """How connected each neuron is: the norm of its row of ``A @ B`` and of its column, without building it.

    >>> import torch
    >>> rows, columns = connections(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0], [0.0]]))
    >>> rows.tolist(), columns.tolist()
    ([3.0, 0.0], [3.0])
    """
    by_row, by_column = ((A @ (B @ B.T)) * A).sum(dim=1), (((A.T @ A) @ B) * B).sum(dim=0)
    return by_row.clamp(min=0).sqrt(), by_column.clamp(min=0).sqrt()


def name(component: Component) -> str:
    """A component in words: ``MLP 3`` for a layer's number."""
    return f"MLP {component}" if isinstance(component, int) else component


def _layer(model: TransformerBridge, layer: Component, others: str) -> int:
    if not isinstance(layer, int) or not 0 <= layer < model.cfg.n_layers:
        raise CourseError(f"expected a layer from 0 to {model.cfg.n_layers - 1} or {others}, got {layer!r}")
    return layer
