"""Find a model's files (packaged, local or on the hub) and make sure they are whole before anything is loaded."""

import contextlib
import difflib
import hashlib
import json
from pathlib import Path

import huggingface_hub as hub
import psutil
import torch
import transformers
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
from safetensors import SafetensorError, safe_open

from rsutils.errors import CourseError

DATA = Path(__file__).parent.parent / "data"
ARCHITECTURES = ("gpt2", "gpt_neox", "llama", "mistral", "qwen2")
FILES = ["*.json", "*.safetensors", "*.txt", "tokenizer.model"]
WAYS_OUT = (
    "take the embedded model (load_model('embedded')), point to a local directory (load_model('/path/to/model')), "
    "or fill the cache while online and try again"
)


def checkpoints() -> list[str]:
    """Names of the embedded model's training checkpoints, in order of step; each is a name for ``load_model``."""
    steps = sorted(
        int(p.stem.removeprefix("step-")) for p in (DATA / "embedded/checkpoints").glob("step-*.safetensors")
    )
    return [f"embedded@{step}" for step in steps]


def locate(name: str) -> tuple[Path, str, Path | None]:
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
    """The hub's files of ``name`` in the local cache; after a download that was cut off, those still missing."""
    try:
        with contextlib.suppress(hub.errors.LocalEntryNotFoundError):
            return Path(_snapshot(name, FILES, local_files_only=True))
        # A model that the course cannot read, or that does not fit, is refused before gigabytes are fetched.
        config = read_config(Path(_snapshot(name, ["config.json"])), name)
        check_memory(name, count_parameters(config))
        return Path(_snapshot(name, FILES))
    except CourseError:
        raise
    except GatedRepoError:
        problem = f"{name!r} is gated: accept its terms on the hub and log in (`hf auth login`), or take another model"
    except (RepositoryNotFoundError, HFValidationError):
        near = difflib.get_close_matches(name, ["embedded", "gpt2", *checkpoints()], n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        problem = f"no model is named {name!r}{hint} (expected 'embedded', a local directory or a hub id)"
    except hub.errors.LocalEntryNotFoundError:
        problem = f"{name!r} is not on this machine, or not whole, and the model hub cannot be reached: {WAYS_OUT}"
    except Exception as error:  # a connection that breaks half-way raises whatever HTTP client is underneath
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        problem = f"the download of {name!r} stopped ({reason}): load it again, what came whole is kept; or {WAYS_OUT}"
    raise CourseError(problem)


def _snapshot(name: str, files: list[str], **kwargs) -> str:
    return hub.snapshot_download(name, allow_patterns=files, ignore_patterns=["onnx/*"], **kwargs)


def read_config(directory: Path, name: str) -> transformers.PretrainedConfig:
    file = directory / "config.json"
    if not file.is_file():
        raise CourseError(
            f"{name!r} has no config.json: expected a Hugging Face model directory, as save_pretrained writes it"
        )
    try:
        model_type = json.loads(file.read_text())["model_type"]
        config = transformers.AutoConfig.from_pretrained(directory) if model_type in ARCHITECTURES else None
    except Exception:  # transformers raises all kinds on a damaged file
        raise CourseError(f"the config.json of {name!r} is damaged: {_discard(file)}") from None
    if config is None:
        raise CourseError(
            f"{name!r} is of type {model_type!r}; the course reads decoder-only models: {', '.join(ARCHITECTURES)}"
        )
    return config


def check_files(directory: Path, name: str) -> None:
    """Every weights file is there, whole, and what its hash (where one is stated) says it should be."""
    for file in _weights_files(directory, name):
        if not file.is_file():
            raise CourseError(
                f"{name!r} lacks its weights file {file.name}: a download was cut off or the directory is not a model"
            )
        try:
            with safe_open(file, "pt"):
                pass
        except SafetensorError:
            raise CourseError(f"the weights file {file} is damaged or cut off: {_discard(file)}") from None
    sums = directory / "SHA256SUMS"
    for line in sums.read_text().splitlines() if sums.is_file() else []:
        expected, file = line.split(maxsplit=1)
        if hashlib.sha256((directory / file).read_bytes()).hexdigest() != expected:
            raise CourseError(
                f"{directory / file} does not match its hash in SHA256SUMS: reinstall the course's package"
            )


def _weights_files(directory: Path, name: str) -> list[Path]:
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        return [directory / "model.safetensors"]
    try:
        return [directory / file for file in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CourseError(f"{index.name} of {name!r} is damaged: {_discard(index)}") from None


def _discard(file: Path) -> str:
    """Remove a damaged file from the hub's cache, which would not fetch it again otherwise; says what to do next."""
    if not file.is_symlink():  # the cache links to its files; a directory of the learner's own is left alone
        return "delete it and fetch it again"
    file.resolve().unlink()
    file.unlink()
    return "it was removed from the cache, load the model again to fetch it"


def count_parameters(config: transformers.PretrainedConfig) -> int:
    """Parameters of a model that has only been described (a tied unembedding counts once); takes no memory."""
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config).num_parameters()


def needed_memory(n_params: int) -> int:
    """Bytes that loading takes: float32 weights, a tied unembedding once more, and room to run a prompt."""
    return int(1.4 * 4 * n_params) + 100_000_000


def free_memory() -> int:
    """Bytes this process may still take: free memory, or what a container's limit leaves (Binder, Docker)."""
    free = psutil.virtual_memory().available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    with contextlib.suppress(OSError, ValueError):
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return free


def check_memory(name: str, n_params: int) -> None:
    needed, free = needed_memory(n_params), free_memory()
    if needed > free:
        raise CourseError(
            f"{name!r} needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: "
            "close other kernels or take a smaller model"
        )
