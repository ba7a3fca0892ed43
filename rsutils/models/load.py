"""Load a model for the course: the embedded one, a local Hugging Face directory, or a hub id."""

import gc
import os
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from jaxtyping import Int
from safetensors.torch import load_file
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.errors import CourseError
from rsutils.models import families, files
from rsutils.models.arguments import shown
from rsutils.models.properties import special
from rsutils.models.weights import fold_and_centre


@dataclass(frozen=True)
class Choice:
    """A model to choose: its parameters (0: to be counted), the megabytes to download, and what differs in it.

    GPT-2's and Pythia's files hold their causal masks too, so they are larger than their parameters.
    """

    n_params: int
    megabytes: int
    differs: str


CHOICES = {
    "embedded": Choice(0, 0, "ours, small, offline: the GPT-2 architecture on short stories and rows to copy"),
    "gpt2": Choice(124_439_808, 548, "the model most papers dissect: learned positions, LayerNorm, GELU"),
    "gpt2-medium": Choice(354_823_168, 1520, "the same with twice the layers"),
    "EleutherAI/pythia-70m": Choice(70_426_624, 166, "attention and MLP in parallel: no resid_mid; rotary positions"),
    "EleutherAI/pythia-160m": Choice(162_322_944, 375, "the same, larger"),
    "HuggingFaceTB/SmolLM2-135M": Choice(
        134_515_008,
        269,
        "LLaMA style: RMSNorm, gated MLP, rotary positions, three key/value heads for nine queries",
    ),
}


@dataclass(frozen=True)
class ModelInfo:
    """What was loaded and in which state its weights are; shown by ``model.info``."""

    name: str
    source: str
    shape: str
    n_params: int
    folded: bool
    centred: bool
    special: tuple[str, ...] = ()

    def __repr__(self) -> str:
        size = f"{self.shape}, {self.n_params / 1e6:.1f} M parameters"
        norms = "folded into their readers" if self.folded else "not folded"
        writers = "centred" if self.centred else "not centred"
        lines = [f"{self.name} ({self.source})", size, f"weights: norms {norms}, writers {writers}", *self.special]
        return "\n".join(lines)


def load_model(name: str | os.PathLike | None = None, *, processed: bool = True) -> TransformerBridge:
    """Load a model on the CPU in float32, norms folded, LayerNorm writers centred, gradients off.

    Args:
        name: ``None`` takes the environment variable ``RSUTILS_MODEL`` or else ``"embedded"``. Otherwise
            ``"embedded"``, a checkpoint of it (see ``rsutils.checkpoints()``), a local Hugging Face directory, or a
            hub id such as ``"gpt2"``, ``"EleutherAI/pythia-70m"``, ``"HuggingFaceTB/SmolLM2-135M"``.
        processed: False leaves the weights as they are stored, for the lessons that show why they are processed.

    Returns:
        A TransformerLens ``TransformerBridge``. ``model.info`` says where it came from and how its weights
        were processed. Its logits equal those of the Hugging Face model.

    Raises:
        CourseError: unknown name, no network, no or damaged weights, an unsupported architecture, or too
            little memory; one line that says what to do.
    """
    name = _check_name(os.environ.get("RSUTILS_MODEL") or "embedded" if name is None else name)
    place = files.locate(name)
    config = files.read_config(place.directory, name)
    files.check_files(place, name, config.num_hidden_layers)
    n_params = files.count_parameters(config, name)
    gc.collect()  # a model let go is freed only when looked for, and two at once may not fit
    files.check_memory(name, n_params)
    model = _read_model(place, name, config, processed)
    centred = processed and fold_and_centre(model)
    model.requires_grad_(False)
    model.info = ModelInfo(name, place.source, _shape(model.cfg), n_params, processed, centred, tuple(special(model)))
    return model


def describe(name: str | os.PathLike) -> str:
    """What a suggested or a loaded model is, what it costs to fetch, and whether one more fits in memory now.

    Raises:
        CourseError: there is no such model, or it is none of the course's.
    """
    name = _check_name(name)
    choice = CHOICES.get(name, Choice(0, 0, "your own choice"))
    n_params = choice.n_params or files.count_parameters(files.read_config(files.locate(name).directory, name), name)
    needed, free = files.needed_memory(n_params), files.free_memory()
    verdict = "fits" if needed < free else "does not fit"
    return (
        f"{choice.differs}. {n_params / 1e6:.0f} M parameters, {choice.megabytes} MB to download, "
        f"{needed / 1e9:.1f} GB of memory needed and {free / 1e9:.1f} GB free: it {verdict}."
    )


def _check_name(name: object) -> str:
    name = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(name, str) or not name:
        raise CourseError(
            f"expected the name of a model or its directory, got {shown(name)}: "
            "take a name such as 'embedded' (a model that is loaded needs no loading)"
        )
    return name


def tokens(model: TransformerBridge, text: str) -> Int[Tensor, "1 pos"]:
    """Tokens of ``text``, after the beginning-of-sequence token if the model takes one; not empty nor too long.

    Raises:
        CourseError: ``text`` is no text, empty, or longer than the model's context.
    """
    if not isinstance(text, str):
        raise CourseError(f"expected some text, got {shown(text)}: put it in quotes")
    if not text:
        raise CourseError("expected some text, got an empty one: type at least one character")
    try:
        ids = model.to_tokens(text, truncate=False)
    except (TypeError, UnicodeError):  # half of a pair of surrogates, which no encoding has
        raise CourseError(
            f"expected text that can be encoded, got {shown(text)}: leave out the code that is half of a character"
        ) from None
    check_ids(model, ids)
    return ids


def check_ids(model: TransformerBridge, ids: Int[Tensor, "batch pos"]) -> None:
    """Rows of token ids that the model can read.

    Raises:
        CourseError: ``ids`` are no whole numbers, not in rows, not in the vocabulary, none, or more than the context.
    """
    whole = isinstance(ids, Tensor) and not (ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool)
    if not whole or ids.ndim != 2 or not ids.numel():
        got = f"{ids.dtype} of shape {list(ids.shape)}" if isinstance(ids, Tensor) else shown(ids)
        raise CourseError(
            f"expected token ids, whole numbers of shape [batch, pos], got {got}: make them with models.tokens"
        )
    if ids.shape[1] > model.cfg.n_ctx:
        raise CourseError(
            f"expected at most {model.cfg.n_ctx} tokens, the model's context, got {ids.shape[1]}: shorten the text"
        )
    for worst in (ids.min().item(), ids.max().item()):
        if not 0 <= worst < model.cfg.d_vocab:
            raise CourseError(
                f"expected token ids from 0 to {model.cfg.d_vocab - 1}, got {worst}: make them with models.tokens"
            )


def _shape(cfg) -> str:
    mlp = "gated MLP" if cfg.gated_mlp else "MLP"
    kv_heads = getattr(cfg, "n_key_value_heads", None) or cfg.n_heads
    grouped = f" ({kv_heads} key/value heads)" if kv_heads != cfg.n_heads else ""
    parallel = ", attention and MLP in parallel" if getattr(cfg, "parallel_attn_mlp", False) else ""
    return (
        f"{cfg.n_layers} layers, d_model {cfg.d_model}, {cfg.n_heads} heads{grouped}, {mlp} of {cfg.d_mlp}, "
        f"context {cfg.n_ctx}{parallel}"
    )


def _read_model(
    place: files.Place, name: str, config: transformers.PretrainedConfig, processed: bool
) -> TransformerBridge:
    # Reading from disk takes a moment and needs no bar (downloads keep theirs), and the report on what does not fit
    # becomes one line below.
    verbosity = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    hf_model: transformers.PreTrainedModel | None = None
    model: TransformerBridge | None = None
    problem = ""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(place.directory)
        state = {} if place.checkpoint is None else {"state_dict": load_file(place.checkpoint)}
        # The automatic class insists on a directory, which a checkpoint's weights do not come from.
        loader: Any = (
            getattr(transformers, (config.architectures or [""])[0]) if state else transformers.AutoModelForCausalLM
        )
        hf_model, loading = loader.from_pretrained(
            None if state else place.directory,
            config=config,
            dtype=torch.float32,
            attn_implementation="eager",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **state,
        )
        hf_model.eval()
        # What does not fit, transformers fills with random numbers.
        if wrong := sorted([*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])]):
            problem = f"its weights do not fit its config.json: see {wrong[0]}"
        else:
            families.make_plain(hf_model)
            if processed:
                if config.tie_word_embeddings:
                    _untie(hf_model)
                families.fold_constants(hf_model)
            model = TransformerBridge.boot_transformers(
                str(place.directory), hf_model=hf_model, tokenizer=tokenizer, device="cpu"
            )
            families.complete_blocks(model, families.FAMILIES[config.model_type])
            model.cfg.n_ctx = families.context(config, model.cfg.n_ctx)
            model.enable_compatibility_mode(disable_warnings=True, no_processing=True)
    except Exception as error:  # on damaged files transformers, tokenizers and TransformerLens raise all kinds
        problem = (str(error).splitlines() or [type(error).__name__])[0]
    finally:
        transformers.utils.logging.enable_progress_bar()
        transformers.utils.logging.set_verbosity(verbosity)
    if problem or model is None:  # not inside the except: the error would keep what was half loaded alive
        del hf_model, model
        raise CourseError(f"{shown(name)} could not be read ({problem}): {files.again(place.directory)}")
    return model


def _untie(hf_model: transformers.PreTrainedModel) -> None:
    """Give the unembedding its own storage: it is folded and the embedding centred, each differently."""
    unembed = hf_model.get_output_embeddings()
    unembed.weight = torch.nn.Parameter(unembed.weight.clone())
    hf_model.config.tie_word_embeddings = False
