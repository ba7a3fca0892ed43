"""Models by name: what a learner gets from a hub that works, that refuses, and whose connection breaks."""

import json
import os
import subprocess
import sys

import pytest
from hub_server import hub

LOAD = """
import json, sys
import rsutils

said = {}
for name in sys.argv[1:]:
    try:
        said[name] = "loaded: " + rsutils.load_model(name).info.source
    except rsutils.CourseError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def online(directories):
    """A hub that serves a small GPT-2 under every name."""
    with hub(directories["gpt2"]) as server:
        yield server


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("hub")


def load(url, cache, *names) -> dict[str, str]:
    """What ``load_model`` says of each name in a process whose hub is at ``url``."""
    env = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1"}
    env.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run([sys.executable, "-c", LOAD, *names], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def first(online, cache):
    """Every name once, on an empty cache."""
    names = ["fine/model", "embeded", "gated/model", "huge/model", "encoder/model"]
    return load(online.url, cache, *names, "rotten/model", "muddled/model", "cut/model")


def fetched(online, name: str) -> list[str]:
    """The files of this name that were sent."""
    return [path.rsplit("/", 1)[1] for path in online.asked if path.startswith(f"GET /{name}/resolve/")]


def test_every_error_is_one_line(first):
    assert [name for name, words in first.items() if words.startswith("loaded")] == ["fine/model"]
    assert not any("\n" in words for words in first.values())


def test_a_model_is_fetched_once_and_then_found_without_a_network(first, online, cache):
    assert first["fine/model"] == "loaded: Hugging Face hub"
    assert "model.safetensors" in fetched(online, "fine/model")
    nowhere = "http://127.0.0.1:9"
    assert load(nowhere, cache, "fine/model") == {"fine/model": "loaded: Hugging Face hub"}


def test_a_name_that_nobody_has(first):
    assert "no model is named 'embeded', did you mean 'embedded'?" in first["embeded"]


def test_a_gated_model(first):
    assert "accept its terms" in first["gated/model"]


def test_too_large_and_unsupported_models_are_refused_before_their_weights_are_fetched(first, online):
    assert "GB are free" in first["huge/model"]
    assert "is of type 'bert'" in first["encoder/model"]
    for name in ("huge/model", "encoder/model"):
        assert fetched(online, name) == ["config.json"]


def test_a_broken_download_leaves_no_weights_and_goes_on_where_it_was(first, online, cache):
    assert "stopped" in first["cut/model"] and "load it again" in first["cut/model"]
    assert not any((cache / "hub/models--cut--model").rglob("*.safetensors"))
    without = load("http://127.0.0.1:9", cache, "cut/model")["cut/model"]
    assert "not whole" in without and all(way in without for way in ("'embedded'", "local directory", "cache"))
    online.plugged_in = True
    online.asked.clear()
    assert load(online.url, cache, "cut/model") == {"cut/model": "loaded: Hugging Face hub"}
    assert fetched(online, "cut/model") == ["model.safetensors"]  # what came whole is not fetched again


@pytest.mark.parametrize("name", ["rotten/model", "muddled/model"])
def test_damaged_files_leave_the_cache_so_that_they_can_be_fetched_again(first, online, cache, name):
    assert "was removed from the cache" in first[name]
    online.plugged_in = True
    assert load(online.url, cache, name) == {name: "loaded: Hugging Face hub"}
