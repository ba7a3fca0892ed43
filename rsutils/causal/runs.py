"""Chapter 06: a clean and a corrupt run of the same prompts, and the model resumed from any layer on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.causal.metric import difference
from rsutils.causal.parts import Part, is_parallel
from rsutils.causal.prompts import Prompts
from rsutils.errors import CourseError
from rsutils.models import writer_norms

WRITTEN = ("hook_embed", "hook_pos_embed", "attn.hook_z", "hook_mlp_out")
READ = ("attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_cos", "attn.hook_sin")
STREAM = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_scale", "attn.hook_pattern")


@dataclass(frozen=True)
class Runs:
    """What a model did on some prompts and on a corruption of them; made by ``run_both``, for one batch at a time."""

    model: TransformerBridge
    prompts: Prompts
    corruption: str
    clean: dict[str, Tensor]
    corrupt: dict[str, Tensor]
    clean_metric: Float[Tensor, " prompt"]
    corrupt_metric: Float[Tensor, " prompt"]

    def change(self, writer: Part) -> Float[Tensor, "prompt pos d_model"]:
        """What the corruption changes in a writer's output."""
        name = writer_hook(writer)
        return of_writer(self.model, writer, self.corrupt[name] - self.clean[name])

    def stream(self, reader: Part) -> Float[Tensor, "prompt pos d_model"]:
        """What a reader reads in the clean run, before its norm."""
        if reader.kind == "unembed":
            return self.clean[f"blocks.{reader.layer - 1}.hook_resid_post"]
        mid = reader.kind in ("in", "gate") and not is_parallel(self.model)
        return self.clean[f"blocks.{reader.layer}.hook_resid_{'mid' if mid else 'pre'}"]

    def scale(self, reader: Part) -> Float[Tensor, "prompt pos 1"]:
        """By what the reader's norm divides in the clean run."""
        return self.clean[scale_hook(reader)]


def writer_hook(writer: Part) -> str:
    """TransformerLens's name of what a writer makes: a head's ``z`` stands among those of its layer."""
    if writer.layer < 0:
        return f"hook_{writer.kind}"
    return f"blocks.{writer.layer}." + ("attn.hook_z" if writer.kind == "head" else "hook_mlp_out")


def scale_hook(reader: Part) -> str:
    """TransformerLens's name of what a reader's norm divides by."""
    if reader.kind == "unembed":
        return "ln_final.hook_scale"
    return f"blocks.{reader.layer}.ln{2 if reader.kind in ('in', 'gate') else 1}.hook_scale"


def of_writer(model: TransformerBridge, writer: Part, x: Tensor) -> Float[Tensor, "prompt pos d_model"]:
    """What a writer adds to the stream, from ``x`` at its ``writer_hook``: a head's own ``z`` goes through its W_O."""
    return x[:, :, writer.head] @ model.blocks[writer.layer].attn.W_O[writer.head] if writer.kind == "head" else x


@torch.no_grad()
def run_both(model: TransformerBridge, prompts: Prompts, corruption: str = "fresh") -> Runs:
    """Run the prompts and their corruption and keep what the algebra of edges needs.

    Raises:
        CourseError: there is no such corruption, or the model's norms are not folded or stand after its writers.
    """
    if not model.info.folded:
        raise CourseError(
            "expected a model whose norms are folded into its readers, got one as it is stored: "
            "load it with load_model(name)"
        )
    if any(map(writer_norms, model.blocks)):
        raise CourseError(
            "expected a model whose writers write to the stream as they are, got one with norms after them: measure "
            "another model, or remove whole parts with ablation_effects"
        )
    tokens = prompts.corrupt(corruption)
    clean, clean_logits = _cached(model, prompts.tokens, (*WRITTEN, *READ, *STREAM))
    corrupt, corrupt_logits = _cached(model, tokens, WRITTEN)
    metrics = (difference(logits, prompts.right, prompts.wrong) for logits in (clean_logits, corrupt_logits))
    return Runs(model, prompts, corruption, clean, corrupt, *metrics)


class Tail:
    """A model's layers from any one on, for any number of rows of one length: what comes before is not run again.

    TransformerLens's own ``start_at_layer`` computes the earlier layers and drops them.
    """

    def __init__(self, model: TransformerBridge, tokens: Int[Tensor, "prompt pos"]) -> None:
        self.model = model
        self.arguments: list[tuple[tuple, dict]] = [((), {})] * model.cfg.n_layers
        with _seen(model.blocks, self.arguments):
            model(tokens[:1], use_cache=False)  # masks and rotations are the same for every row

    def __call__(
        self, layer: int, stream: Float[Tensor, "row pos d_model"], hooks: Sequence[tuple] = ()
    ) -> Float[Tensor, "row d_vocab"]:
        """Logits after the last position when ``stream`` enters ``layer``."""
        with self.model.hooks(fwd_hooks=list(hooks)):
            for block, (rest, named) in list(zip(self.model.blocks, self.arguments, strict=True))[layer:]:
                stream = block(stream, *rest, **named)
                stream = stream[0] if isinstance(stream, tuple) else stream
            return self.model.unembed(self.model.ln_final(stream[:, -1:]))[:, 0]


@contextmanager
def _seen(blocks: torch.nn.ModuleList, arguments: list[tuple[tuple, dict]]) -> Iterator[None]:
    """Keep what each block is called with beside the stream."""

    def keep(layer):
        def hook(module, positional, named):
            arguments[layer] = (positional[1:], {key: v for key, v in named.items() if key != "hidden_states"})

        return hook

    handles = [block.register_forward_pre_hook(keep(i), with_kwargs=True) for i, block in enumerate(blocks)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _cached(
    model: TransformerBridge, tokens: Int[Tensor, "prompt pos"], names: tuple[str, ...]
) -> tuple[dict[str, Tensor], Float[Tensor, "prompt d_vocab"]]:
    logits, cache = model.run_with_cache(tokens, names_filter=lambda name: name.endswith(names), use_cache=False)
    return dict(cache.items()), logits[:, -1]
