"""Load a model for the course: the embedded one, a local Hugging Face directory, or a hub id."""

import contextlib
import difflib
import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub as hub
import psutil
import torch
import transformers
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.errors import CourseError
from rsutils.weights import fold_and_centre

DATA = Path(__file__).parent / "data"
ARCHITECTURES = ("gpt2", "gpt_neox", "llama", "mistral", "qwen2")
WAYS_OUT = (
    "take the embedded model (load_model('embedded')), point to a local directory (load_model('/path/to/model')), "
    "or fill the cache while online and try again"
)


@dataclass(frozen=True)
class ModelInfo:
    """What was loaded and in which state its weights are; shown by ``model.info``."""

    name: str
    source: str
    shape: str
    n_params: int
    folded: bool
    centred: bool

    def __repr__(self) -> str:
        state = "norms folded into their readers" if self.folded else "norms NOT folded"
        state += (
            ", writing weights centred" if self.centred else ", writing weights not centred (RMSNorm keeps the mean)"
        )
        return f"{self.name} ({self.source})\n{self.shape}, {self.n_params / 1e6:.1f} M parameters\nweights: {state}"


def checkpoints() -> list[str]:
    """Names of the embedded model's training checkpoints, in order of step; each is a name for ``load_model``."""
    steps = sorted(
        int(p.stem.removeprefix("step-")) for p in (DATA / "embedded/checkpoints").glob("step-*.safetensors")
    )
    return [f"embedded@{step}" for step in steps]


def load_model(name: str | os.PathLike | None = None) -> TransformerBridge:
    """Load a model on the CPU in float32, norms folded, LayerNorm writers centred, gradients off.

    Args:
        name: ``None`` takes the environment variable ``RSUTILS_MODEL`` or else ``"embedded"``. Otherwise
            ``"embedded"``, a checkpoint of it (see ``checkpoints()``), a local Hugging Face directory, or a
            hub id such as ``"gpt2"``, ``"EleutherAI/pythia-70m"``, ``"HuggingFaceTB/SmolLM2-135M"``.

    Returns:
        A TransformerLens ``TransformerBridge``. ``model.info`` says where it came from and how its weights
        were processed. Its logits equal those of the Hugging Face model.

    Raises:
        CourseError: unknown name, no network, no or damaged weights, an unsupported architecture, or too
            little memory; one line that says what to do.
    """
    name = str(name or os.environ.get("RSUTILS_MODEL") or "embedded")
    directory, source, weights = _locate(name)
    config = _read_config(directory, name)
    _check_files(directory, name)
    n_params = _count_parameters(directory)
    _check_memory(name, 4 * n_params)
    hf_model, tokenizer = _read_model(directory, name, config, weights)
    model = TransformerBridge.boot_transformers(str(directory), hf_model=hf_model, tokenizer=tokenizer, device="cpu")
    model.enable_compatibility_mode(disable_warnings=True, no_processing=True)
    folded, centred = fold_and_centre(model)
    model.requires_grad_(False)
    model.info = ModelInfo(name, source, _shape(model.cfg), n_params, folded, centred)
    return model


def tokens(model: TransformerBridge, text: str) -> Int[Tensor, "1 pos"]:
    """Tokens of ``text`` with the model's beginning-of-sequence token, refused if empty or too long.

    Raises:
        CourseError: ``text`` is empty or longer than the model's context.
    """
    if not text:
        raise CourseError("expected some text, got an empty one: type at least one character")
    ids = model.to_tokens(text, truncate=False)
    if ids.shape[1] > model.cfg.n_ctx:
        raise CourseError(
            f"this text has {ids.shape[1]} tokens and the model reads at most {model.cfg.n_ctx}: shorten it"
        )
    return ids


def _shape(cfg) -> str:
    mlp = "gated MLP" if cfg.gated_mlp else "MLP"
    kv_heads = getattr(cfg, "n_key_value_heads", None) or cfg.n_heads
    grouped = f" ({kv_heads} key/value heads)" if kv_heads != cfg.n_heads else ""
    parallel = ", attention and MLP in parallel" if getattr(cfg, "parallel_attn_mlp", False) else ""
    return (
        f"{cfg.n_layers} layers, d_model {cfg.d_model}, {cfg.n_heads} heads{grouped}, {mlp} of {cfg.d_mlp}, "
        f"context {cfg.n_ctx}{parallel}"
    )


def _locate(name: str) -> tuple[Path, str, Path | None]:
    """The directory of ``name``, in words where it came from, and a checkpoint's weights file if one is asked for."""
    if name == "embedded":
        return DATA / "embedded", "ships with rsutils", None
    if name.startswith("embedded@"):
        if name not in checkpoints():
            raise CourseError(f"no checkpoint {name!r}: the embedded model has {', '.join(checkpoints()) or 'none'}")
        file = DATA / f"embedded/checkpoints/step-{int(name.split('@')[1]):05d}.safetensors"
        return DATA / "embedded", "a training checkpoint that ships with rsutils", file
    path = Path(name).expanduser()
    if path.is_dir():
        return path, "local directory", None
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise CourseError(
            f"there is no directory {name!r}: check the path, or take the embedded model (load_model('embedded'))"
        )
    return _download(name), "Hugging Face hub", None


def _download(name: str) -> Path:
    """The hub's files of ``name`` in the local cache; a download that was cut off is resumed."""
    try:
        with contextlib.suppress(hub.errors.LocalEntryNotFoundError):
            return Path(_snapshot(name, local_files_only=True))
        return Path(_snapshot(name))
    except GatedRepoError:
        raise CourseError(
            f"{name!r} is gated: accept its terms on the hub and log in (`hf auth login`), or take another model"
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        near = difflib.get_close_matches(name, ["embedded", "gpt2", *checkpoints()], n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise CourseError(
            f"no model is named {name!r}{hint} (expected 'embedded', a local directory or a hub id)"
        ) from None
    except (hub.errors.LocalEntryNotFoundError, HfHubHTTPError, OSError):
        raise CourseError(f"{name!r} is not on this machine and the model hub cannot be reached: {WAYS_OUT}") from None


def _snapshot(name: str, **kwargs) -> str:
    return hub.snapshot_download(
        name,
        allow_patterns=["*.json", "*.safetensors", "*.txt", "tokenizer.model"],
        ignore_patterns=["onnx/*"],
        **kwargs,
    )


def _read_config(directory: Path, name: str) -> transformers.PretrainedConfig:
    if not (directory / "config.json").is_file():
        raise CourseError(
            f"{name!r} has no config.json: expected a Hugging Face model directory, as save_pretrained writes it"
        )
    try:
        model_type = json.loads((directory / "config.json").read_text())["model_type"]
    except (ValueError, KeyError, TypeError):
        raise CourseError(f"the config.json of {name!r} is damaged: fetch the model again") from None
    if model_type not in ARCHITECTURES:
        raise CourseError(
            f"{name!r} is of type {model_type!r}; the course reads decoder-only models: {', '.join(ARCHITECTURES)}"
        )
    return transformers.AutoConfig.from_pretrained(directory)


def _check_files(directory: Path, name: str) -> None:
    """Every weights file is there, whole, and what its hash (where one is stated) says it should be."""
    index = directory / "model.safetensors.index.json"
    files = set(json.loads(index.read_text())["weight_map"].values()) if index.is_file() else {"model.safetensors"}
    for file in sorted(files):
        if not (directory / file).is_file():
            raise CourseError(
                f"{name!r} lacks its weights file {file}: a download was cut off or the directory is not a model"
            )
        try:
            with safe_open(directory / file, "pt"):
                pass
        except SafetensorError:
            raise CourseError(
                f"the weights file {directory / file} is damaged or cut off: delete it and fetch it again"
            ) from None
    sums = directory / "SHA256SUMS"
    for line in sums.read_text().splitlines() if sums.is_file() else []:
        expected, file = line.split(maxsplit=1)
        if hashlib.sha256((directory / file).read_bytes()).hexdigest() != expected:
            raise CourseError(
                f"{directory / file} does not match its hash in SHA256SUMS: reinstall the course's package"
            )


def _count_parameters(directory: Path) -> int:
    """Numbers in the directory's weights files, read off their headers (a tied unembedding counts once)."""
    count = 0
    for file in directory.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            count += sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
    return count


def _check_memory(name: str, n_bytes: int) -> None:
    needed = int(1.4 * n_bytes) + 100_000_000  # the weights, a tied unembedding once more, room to run a prompt
    free = free_memory()
    if needed > free:
        raise CourseError(
            f"{name!r} needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: "
            "close other kernels or take a smaller model"
        )


def free_memory() -> int:
    """Bytes this process may still take: free memory, or what a container's limit leaves (Binder, Docker)."""
    free = psutil.virtual_memory().available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    with contextlib.suppress(OSError, ValueError):
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return free


def _read_model(directory: Path, name: str, config, weights: Path | None):
    transformers.utils.logging.disable_progress_bar()  # reading from disk takes a moment; downloads keep their bar
    try:
        state = {} if weights is None else {"state_dict": _checkpoint_state(weights)}
        hf_model = transformers.AutoModelForCausalLM.from_pretrained(
            None if state else directory,
            config=config,
            dtype=torch.float32,
            attn_implementation="eager",
            **state,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    except (OSError, ValueError, SafetensorError) as error:
        raise CourseError(f"{name!r} could not be read ({str(error).splitlines()[0]}): fetch the model again") from None
    finally:
        transformers.utils.logging.enable_progress_bar()
    hf_model.eval()
    if config.tie_word_embeddings:
        # Embedding and unembedding are folded differently, so they can no longer share storage.
        hf_model.lm_head.weight = torch.nn.Parameter(hf_model.lm_head.weight.clone())
        hf_model.config.tie_word_embeddings = False
    return hf_model, tokenizer


def _checkpoint_state(file: Path) -> dict[str, Tensor]:
    with safe_open(file, "pt") as tensors:
        return {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118
