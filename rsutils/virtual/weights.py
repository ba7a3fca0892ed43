"""Chapter 03: virtual weights, what one component writes as another reads it, before any prompt is run.

``V = W_out[i] @ W_in[j]`` with one row a source neuron and one column a destination neuron. Functions
that look at all of V take its factors ``A = W_out`` and ``B = W_in`` and never hold it whole (``products``).
"""

from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.errors import CourseError
from rsutils.models import check_index, shown
from rsutils.virtual.products import product

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
            raise CourseError(
                "expected a source that writes, got 'pos_embed': this model rotates queries and keys instead of "
                "writing positions, take 'embed' or a layer"
            )
        return model.pos_embed.weight
    return model.blocks[_layer_or(model, source, ", 'embed' or 'pos_embed'")].mlp.W_out


def read_weights(
    model: TransformerBridge, destination: Component, reader: str = "in"
) -> Float[Tensor, "d_model destination"]:
    """What a destination reads, one direction a column: ``W_in`` of layer ``destination``, or ``"unembed"``.

    A gated MLP has two readers, ``"in"`` (``W_in``) and ``"gate"`` (``W_gate``); others have ``"in"`` alone.

    Raises:
        CourseError: the model has no such destination or reader.
    """
    names = reader_names(model)
    if reader not in names:
        raise CourseError(f"expected one of this model's MLP readers {names}, got {shown(reader)}: choose one of these")
    if destination == "unembed":
        return model.unembed.W_U
    mlp = model.blocks[_layer_or(model, destination, " or 'unembed'")].mlp
    return mlp.W_gate if reader == "gate" else mlp.W_in


def reader_names(model: TransformerBridge) -> list[str]:
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
    except (IndexError, TypeError, ValueError):
        raise CourseError(
            f"expected rows below {A.shape[0]} and columns below {B.shape[1]}, got {shown(rows)} and {shown(columns)}: "
            "ask for numbers of neurons that this pair has"
        ) from None
    return product(A, B)


def factors(
    model: TransformerBridge, source: Component, destination: Component, reader: str = "in"
) -> tuple[Float[Tensor, "source d_model"], Float[Tensor, "d_model destination"]]:
    """The two factors of ``V``, for a source that writes before the destination reads.

    Raises:
        CourseError: it does not, or one of them does not exist.
    """
    A, B = write_weights(model, source), read_weights(model, destination, reader)
    if not isinstance(source, str) and not isinstance(destination, str) and source >= destination:
        raise CourseError(
            f"expected a source layer below the destination layer, got {source} -> {destination}: what a layer writes, "
            "only later ones read"
        )
    return A, B


def component_name(component: Component) -> str:
    """A component in words: ``MLP 3`` for a layer's number."""
    return component if isinstance(component, str) else f"MLP {component}"


def mlp_layer(model: TransformerBridge, layer: Component) -> int:
    """The number of an MLP's layer.

    Raises:
        CourseError: the model has no such layer.
    """
    return check_index("layer", layer, model.cfg.n_layers)


def _layer_or(model: TransformerBridge, component: Component, others: str) -> int:
    """The number of a component that is a layer; ``others`` says what else it could have been."""
    if isinstance(component, str):
        raise CourseError(f"expected a layer's number{others}, got {shown(component)}: choose one of these")
    return mlp_layer(model, component)
