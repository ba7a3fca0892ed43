"""What is damaged, missing or malicious in a model's files gets one line, and nothing of the learner's is touched."""

import json
import os
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

import rsutils
from rsutils import models
from rsutils.models import files


def error_of(name) -> str:
    with pytest.raises(rsutils.CourseError) as caught:
        rsutils.load_model(name)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700
    return message


@pytest.fixture
def directory(directories, tmp_path):
    """A small model in a directory of its own, to be spoilt."""
    return shutil.copytree(directories["gpt2"], tmp_path / "mine")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def spoil(directory: Path, **changes) -> None:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | changes))


# What is not the hub's cache is never removed.


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "model.safetensors.index.json"])
def test_a_link_to_a_shared_file_is_left_alone(directory, tmp_path, cache, file):
    shared = tmp_path / "shared" / file
    shared.parent.mkdir()
    shared.write_text("{ a typo")
    (directory / file).unlink(missing_ok=True)
    (directory / file).symlink_to(shared)
    assert str(tmp_path / "shared") not in error_of(directory)
    assert shared.read_text() == "{ a typo" and (directory / file).is_symlink()


def test_a_link_from_ones_own_directory_into_the_cache_is_left_alone_too(directory, cache):
    blob = cache / "models--some--model/blobs/0123"
    blob.parent.mkdir(parents=True)
    blob.write_text("{")
    (directory / "config.json").unlink()
    (directory / "config.json").symlink_to(blob)
    for name in (directory, cache / ".." / directory.name):
        error_of(name)
        assert blob.read_text() == "{" and (directory / "config.json").is_symlink()


@pytest.mark.parametrize("is_linked", [True, False], ids=["links", "no links, as on Windows"])
def test_damaged_files_of_the_cache_are_removed(directory, cache, is_linked):
    snapshot, blob = cache / "models--some--model/snapshots/abc", cache / "models--some--model/blobs/0123"
    shutil.copytree(directory, snapshot)
    (snapshot / "config.json").write_text("{")
    if is_linked:
        blob.parent.mkdir()
        (snapshot / "config.json").rename(blob)
        (snapshot / "config.json").symlink_to(Path("../../blobs/0123"))
    assert "was removed from the cache" in error_of(snapshot)
    assert not blob.exists() and not os.path.lexists(snapshot / "config.json")


def test_a_link_in_the_cache_that_leads_out_of_it_is_left_alone(directory, cache, tmp_path):
    snapshot = shutil.copytree(directory, cache / "models--some--model/snapshots/abc")
    (tmp_path / "shared.json").write_text("{")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(tmp_path / "shared.json")
    error_of(snapshot)
    assert (tmp_path / "shared.json").exists() and (snapshot / "config.json").is_symlink()


@pytest.mark.parametrize("file, method", [("config.json", "read_bytes"), ("model.safetensors", "open")])
def test_a_healthy_file_that_may_not_be_read_is_no_damage(directory, cache, monkeypatch, file, method):
    snapshot = shutil.copytree(directory, cache / "models--some--model/snapshots/abc")
    original = getattr(Path, method)

    def refuse(self, *args, **kwargs):
        if self.name == file:
            raise PermissionError(13, "Permission denied")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, method, refuse)
    assert "cannot be read (Permission denied)" in error_of(snapshot)
    assert (snapshot / file).exists()


@pytest.mark.parametrize(
    "named", ["../other.safetensors", "/etc/passwd", "..", "", "a/b.safetensors", "C:\\x", "..\\x", 3, None, ["x"]]
)
def test_an_index_that_leads_out_of_the_directory_is_refused(directory, tmp_path, named):
    (tmp_path / "other.safetensors").write_bytes(b"\xff" * 99)
    index = {"weight_map": {"a": "model.safetensors", "b": named}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lie beside it" in error_of(directory)
    assert (tmp_path / "other.safetensors").exists()


@pytest.mark.parametrize("text", ["[]", "{}", '{"weight_map": 3}', '{"weight_map": {}}', "{", "\xff"])
def test_an_index_without_a_map_is_refused(directory, text):
    (directory / "model.safetensors.index.json").write_text(text, encoding="latin-1")
    assert "index.json of" in error_of(directory)


# A config or weights that make no model.


@pytest.mark.parametrize(
    "changes",
    [
        {"n_head": 0},
        {"n_head": -5},
        {"n_head": 3},
        {"n_layer": 0},
        {"n_layer": -1},
        {"n_layer": 100_000},
        {"n_layer": 2},
        {"activation_function": "zz"},
        {"n_embd": 10**12},
        {"n_embd": 0},
        {"model_type": None},
        {"model_type": ["gpt2"]},
    ],
    ids=str,
)
def test_a_config_that_makes_no_model_is_refused(directory, changes):
    spoil(directory, **changes)
    assert any(words in error_of(directory) for words in ("config.json of", "its config.json says", "is of type"))


def test_a_hundred_thousand_layers_are_counted_without_building_them(directory):
    spoil(directory, n_layer=100_000)
    config = files.read_config(directory, "mine")
    spoil(directory, n_layer=3)
    few = files.read_config(directory, "mine")
    assert files.count_parameters(few, "mine") == 101_158
    assert files.count_parameters(config, "mine") > 100_000 * 25_000


@pytest.mark.parametrize("text", ["[]", "3", '"gpt2"', "{}", "[" * 100_000])
def test_a_config_that_is_no_mapping_is_refused(directory, text):
    (directory / "config.json").write_text(text)
    error_of(directory)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_hold_nan_are_refused(directory, value):
    weights = load_file(directory / "model.safetensors")
    weights["transformer.h.1.mlp.c_fc.weight"][2, 3] = value
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    assert "NaN or infinity: see transformer.h.1.mlp.c_fc.weight" in error_of(directory)


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "llama"])
def test_weights_of_more_layers_than_the_config_says_are_refused(directories, tmp_path, kind):
    directory = shutil.copytree(directories[kind], tmp_path / "mine")
    config = json.loads((directory / "config.json").read_text())
    layers = "n_layer" if "n_layer" in config else "num_hidden_layers"
    spoil(directory, **{layers: config[layers] - 1} | ({"layer_types": None} if "layer_types" in config else {}))
    assert f"hold {config[layers]} layers and its config.json says {config[layers] - 1}" in error_of(directory)


# A package that was trimmed or damaged.


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the embedded model that stands in for the package's."""
    copy = shutil.copytree(files.EMBEDDED, tmp_path / "embedded")
    monkeypatch.setattr(files, "EMBEDDED", copy)
    return copy


@pytest.mark.parametrize("name", ["embedded", "embedded@400"])
@pytest.mark.parametrize("change", ["missing", "empty", "cut off"])
@pytest.mark.parametrize("file", ["weights", "config.json", "tokenizer.json", "tokenizer_config.json", "SHA256SUMS"])
def test_a_trimmed_package_says_reinstall(package, name, file, change):
    weights = "model.safetensors" if name == "embedded" else "checkpoints/step-00400.safetensors"
    file = package / (weights if file == "weights" else file)
    data = file.read_bytes()
    file.unlink()
    if change != "missing":
        file.write_bytes(data[: len(data) // 3 if change == "cut off" else 0])
    assert "reinstall" in error_of(name)


def test_only_what_is_needed_is_checked(package):
    (package / "model.safetensors").unlink()
    (package / "checkpoints/step-03000.safetensors").write_bytes(b"")
    rsutils.load_model("embedded@400")
    assert "embedded@3000" in rsutils.checkpoints()
    assert "reinstall" in error_of("embedded@3000")


@pytest.mark.parametrize("text", ["", "\n\n", "one\n", "\xff\xfe", "0 ../../x\n0 /etc/passwd\n"])
def test_a_directory_of_ones_own_may_have_any_list_of_hashes(directory, text):
    (directory / "SHA256SUMS").write_text(text, encoding="latin-1")
    assert rsutils.load_model(directory).cfg.n_layers == 3


def test_free_memory_is_a_number_of_bytes():
    assert models.free_memory() > 1e6
