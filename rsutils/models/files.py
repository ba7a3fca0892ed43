"""Find a model's files (packaged, local or on the hub) and make sure they are whole before anything is loaded."""

import contextlib
import copy
import difflib
import hashlib
import json
import os
import re
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import huggingface_hub as hub
import psutil
import torch
import transformers
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
from safetensors import SafetensorError, safe_open

from rsutils.errors import CourseError
from rsutils.models.arguments import shown
from rsutils.models.families import FAMILIES, IN_THE_WAY, in_the_way
from rsutils.models.finite import first_not_finite

EMBEDDED = Path(__file__).parent.parent / "data" / "embedded"
FILES = ["*.json", "*.safetensors", "*.txt", "tokenizer.model"]
HASHED = ["config.json", "tokenizer.json", "tokenizer_config.json"]  # with the weights, what loading reads
REINSTALL = "reinstall the course's package"
WAYS_OUT = (
    "take the embedded model (load_model('embedded')), point to a local directory (load_model('/path/to/model')), "
    "or fill the cache while online and try again"
)


class Place(NamedTuple):
    """Where a model's files are: their directory, in words where it came from, and a checkpoint's own weights."""

    directory: Path
    source: str
    checkpoint: Path | None = None


def checkpoints() -> list[str]:
    """Names of the embedded model's training checkpoints, in order of step; each is a name for ``load_model``.

    Raises:
        CourseError: the list of the package's files is missing.
    """
    steps = [re.fullmatch(r"checkpoints/step-(\d+)\.safetensors", file) for file in _sums(EMBEDDED)]
    return [f"embedded@{step}" for step in sorted(int(found[1]) for found in steps if found)]


def measured() -> dict[str, Any]:
    """What the embedded model's card states, as numbers: how it was trained, what it shows, and how that came.

    ``["curriculum"]["shares"]`` holds the share of the training's tokens that each kind of row took, ``["stages"]``
    beside it the same stage by stage, with the blocks that ran; ``["curve"]`` has an entry for each checkpoint.

    Raises:
        CourseError: the file is missing or damaged.
    """
    file = EMBEDDED / "measured.json"
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        raise CourseError(f"expected the embedded model's figures, got no readable {file.name}: {REINSTALL}") from None


def locate(name: str) -> Place:
    """The place of the embedded model, a checkpoint of it, a local directory or a hub id (downloaded if need be)."""
    if name == "embedded":
        return Place(EMBEDDED, "ships with rsutils")
    if name.startswith("embedded@"):
        if name not in checkpoints():
            raise CourseError(f"expected a checkpoint from {', '.join(checkpoints())}, got {shown(name)}: take one")
        file = EMBEDDED / f"checkpoints/step-{int(name.split('@')[1]):05d}.safetensors"
        return Place(EMBEDDED, "a training checkpoint that ships with rsutils", file)
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # too long a name, no such user, a zero byte
        path = Path(name).expanduser()
        if path.is_dir():
            return Place(path, "local directory")
    if Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise CourseError(
            f"there is no directory {shown(name)} that can be opened: check the path, "
            "or take the embedded model (load_model('embedded'))"
        )
    return Place(_download(name), "Hugging Face hub")


def _download(name: str) -> Path:
    """The hub's files of ``name`` in the local cache; after a download that was cut off, those still missing."""
    try:
        with contextlib.suppress(hub.errors.LocalEntryNotFoundError):
            return Path(_snapshot(name, FILES, local_files_only=True))
        # A model that the course cannot read, or that does not fit, is refused before gigabytes are fetched.
        config = read_config(Path(_snapshot(name, ["config.json"])), name)
        check_memory(name, count_parameters(config, name))
        return Path(_snapshot(name, FILES))
    except CourseError:
        raise
    except GatedRepoError:
        problem = (
            f"{shown(name)} is gated: accept its terms on the hub and log in (`hf auth login`), or take another model"
        )
    except (RepositoryNotFoundError, HFValidationError):
        near = difflib.get_close_matches(name, ["embedded", "gpt2"], n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        problem = f"no model is named {shown(name)}{hint} (expected 'embedded', a local directory or a hub id)"
    except hub.errors.LocalEntryNotFoundError:
        problem = f"{shown(name)} is not on this machine, or not whole, and the model hub cannot be reached: {WAYS_OUT}"
    except Exception as error:  # a connection that breaks half-way raises whatever HTTP client is underneath
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        problem = (
            f"the download of {shown(name)} stopped ({reason}): load it again, what came whole is kept; or {WAYS_OUT}"
        )
    raise CourseError(problem)


def _snapshot(name: str, files: list[str], **kwargs) -> str:
    return hub.snapshot_download(name, allow_patterns=files, ignore_patterns=["onnx/*"], **kwargs)


def read_config(directory: Path, name: str) -> transformers.PretrainedConfig:
    """The configuration in ``directory``, of an architecture that the course reads.

    Raises:
        CourseError: there is none, it cannot be read, or it describes no model of the course.
    """
    file = directory / "config.json"
    if not file.is_file():
        remedy = (
            REINSTALL
            if directory == EMBEDDED
            else "expected a Hugging Face model directory, as save_pretrained writes it"
        )
        raise CourseError(f"{shown(name)} has no config.json: {remedy}")
    stated = _read_json(file)
    model_type = stated.get("model_type") if isinstance(stated, dict) else None
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        reason = IN_THE_WAY.get(str(model_type))
        why = f" ({reason})" if reason else ""
        raise CourseError(
            f"{shown(name)} is of type {shown(model_type)}{why}; the course reads decoder-only models: "
            f"{', '.join(FAMILIES)}"
        )
    try:
        config = transformers.AutoConfig.from_pretrained(directory)
    except Exception as error:  # whatever transformers' own checks raise
        raise CourseError(_no_model(name, error)) from None
    if config.num_hidden_layers < 1 or config.num_attention_heads < 1:
        raise CourseError(
            f"the config.json of {shown(name)} has {config.num_hidden_layers} layers of "
            f"{config.num_attention_heads} heads: expected at least one of each"
        )
    if why := in_the_way(config):
        raise CourseError(f"{shown(name)} cannot be read by the course: {why}; take another model of the family")
    return config


def check_files(place: Place, name: str, n_layers: int) -> None:
    """Every weights file is there, whole, and of as many layers as the model; what has a hash is what it says.

    Raises:
        CourseError: one of these is not so; what the hub's cache holds damaged is removed from it.
    """
    weights = [place.checkpoint] if place.checkpoint else _weights_files(place.directory, name)
    layers: set[str] = set()
    for file in weights:
        if not file.is_file():
            raise CourseError(f"{shown(name)} lacks its weights file {file.name}: {again(file)}")
        try:
            with file.open("rb"), safe_open(file, "pt") as opened:
                layers |= {found[1] for key in opened.keys() if (found := re.search(r"\b(?:h|layers)\.(\d+)\.", key))}  # noqa: SIM118
        except OSError as error:
            raise CourseError(_unreadable(file, error)) from None
        except SafetensorError:
            raise CourseError(f"the weights file {file} is damaged or cut off: {_discard(file)}") from None
        if wrong := first_not_finite(file):
            raise CourseError(f"the weights of {shown(name)} hold NaN or infinity: see {wrong}; {again(file)}")
    if len(layers) != n_layers:
        raise CourseError(
            f"the weights of {shown(name)} hold {len(layers)} layers and its config.json says {n_layers}: "
            f"{again(place.directory)}"
        )
    _check_sums(place.directory, [*weights, *(place.directory / file for file in HASHED)])


def _check_sums(directory: Path, files: list[Path]) -> None:
    """The files have the hashes that SHA256SUMS states; the package's own must be there and be stated."""
    sums = _sums(directory)
    for file in files:
        expected = sums.get(file.relative_to(directory).as_posix())
        if directory == EMBEDDED and (expected is None or not file.is_file()):
            raise CourseError(f"the embedded model lacks {file.name} or its hash: {REINSTALL}")
        if expected and file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            raise CourseError(f"{file} does not match its hash in SHA256SUMS: {again(file)}")


def _sums(directory: Path) -> dict[str, str]:
    """The hash of each file that SHA256SUMS states; nothing where a directory has no such list."""
    file = directory / "SHA256SUMS"
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    stated = {pair[1].lstrip("*"): pair[0] for line in lines if len(pair := line.split(maxsplit=1)) == 2}
    if directory == EMBEDDED and not stated:
        raise CourseError(f"the embedded model's SHA256SUMS is missing or empty: {REINSTALL}")
    return stated


def _weights_files(directory: Path, name: str) -> list[Path]:
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        return [directory / "model.safetensors"]
    stated = _read_json(index)
    weight_map = stated.get("weight_map") if isinstance(stated, dict) else None
    files: list = list(weight_map.values()) if isinstance(weight_map, dict) and weight_map else [None]
    for file in files:
        # Plain names only: a path could lead out of the directory (Windows' rules know every separator).
        if not isinstance(file, str) or PureWindowsPath(file).name != file or not file.endswith(".safetensors"):
            raise CourseError(
                f"the {index.name} of {shown(name)} names {shown(file)}: "
                "expected names of weights files that lie beside it"
            )
    return [directory / file for file in sorted(set(files))]


def _read_json(file: Path) -> object:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise CourseError(_unreadable(file, error)) from None
    except (ValueError, RecursionError):
        raise CourseError(f"the {file.name} of {shown(str(file.parent))} is damaged: {_discard(file)}") from None


def _discard(file: Path) -> str:
    """Remove a damaged file from the hub's cache, which would not fetch it again otherwise; says what to do next.

    Only what lies in that cache by its path and by where a link leads: everything else is somebody's own.
    """
    cache = Path(hub.constants.HF_HUB_CACHE)
    is_cached = Path(os.path.abspath(file)).is_relative_to(os.path.abspath(cache))
    if not is_cached or not file.resolve().is_relative_to(cache.resolve()):
        return again(file)
    try:
        file.resolve().unlink()
        file.unlink(missing_ok=True)  # where the cache has no links, it was the file itself
    except OSError:
        return "ask whoever keeps the hub's cache to remove it"
    return "it was removed from the cache, load the model again by its name to fetch it"


def again(file: Path) -> str:
    return REINSTALL if file.is_relative_to(EMBEDDED) else "fetch the model again, or put a whole copy in its place"


def _unreadable(file: Path, error: OSError) -> str:
    return f"{file} cannot be read ({error.strerror or type(error).__name__}): check its permissions"


def _no_model(name: str, error: Exception) -> str:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return (
        f"the config.json of {shown(name)} describes no model that can be built ({reason}): compare it with its source"
    )


def count_parameters(config: transformers.PretrainedConfig, name: str) -> int:
    """Parameters of a model that has only been described (a tied unembedding counts once); takes no memory.

    Layers are alike, so models of one and of two tell what any number takes.

    Raises:
        CourseError: no model can be built from ``config``.
    """
    counts = []
    for n_layers in (1, 2):
        few = copy.deepcopy(config)
        few.num_hidden_layers = n_layers
        for name in ("layer_types", "no_rope_layers", "attention_layers"):
            if kinds := getattr(few, name, None):  # one for each layer, of whatever kind: they count alike
                setattr(few, name, kinds[:1] * n_layers)
        try:
            with torch.device("meta"):
                counts.append(transformers.AutoModelForCausalLM.from_config(few).num_parameters())
        except Exception as error:  # a size of zero, an unknown activation, numbers that overflow
            raise CourseError(_no_model(name, error)) from None
    one, two = counts
    return one + (config.num_hidden_layers - 1) * (two - one)


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
            f"{shown(name)} needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: "
            "close other kernels or take a smaller model"
        )
