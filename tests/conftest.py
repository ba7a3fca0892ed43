"""Shared fixtures: no test reaches the network, and small random models are made once a run."""

import shutil
import socket
from collections.abc import Mapping

import hypothesis
import pytest
import shapes

import rsutils

# The same examples in every run: a learner's machine is no place to meet a new one. To look for new ones:
# make test ARGS="tests --hypothesis-profile=default"
hypothesis.settings.register_profile("course", derandomize=True)
hypothesis.settings.load_profile("course")


@pytest.fixture(autouse=True)
def unplugged(monkeypatch):
    """Every test runs with the network unplugged; only loopback (kernels, JupyterLab) answers."""
    connect = socket.socket.connect

    def loopback_only(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in (
            "127.0.0.1",
            "::1",
            "localhost",
        ):
            raise OSError(f"the tests run without a network, and something wanted {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", loopback_only)
    monkeypatch.delenv("RSUTILS_MODEL", raising=False)


class OnDemand(Mapping):
    """Things by name, each made when it is asked for the first time: a single test should not wait for all."""

    def __init__(self, names, make):
        self.made, self.make = dict.fromkeys(names), make

    def __getitem__(self, name):
        if self.made[name] is None:
            self.made[name] = self.make(name)
        return self.made[name]

    def __iter__(self):
        return iter(self.made)

    def __len__(self):
        return len(self.made)


@pytest.fixture(scope="session")
def directories(tmp_path_factory):
    """A Hugging Face directory of a small random model for each supported type, by type."""
    root = tmp_path_factory.mktemp("models")
    return OnDemand(shapes.CONFIGS, lambda kind: shapes.save(kind, root / kind))


@pytest.fixture(scope="session")
def small_models(directories):
    """The same models, loaded; shared, so a test must not write to them."""
    return OnDemand(shapes.CONFIGS, lambda kind: rsutils.load_model(directories[kind]))


@pytest.fixture(params=shapes.UNLIKE)
def model(request, small_models):
    """The small random models that differ most, in turn; ``shapes.every_family`` gives a test all of them."""
    return small_models[request.param]


@pytest.fixture(scope="session")
def embedded():
    """The embedded model; shared, so a test must not write to it."""
    return rsutils.load_model("embedded")


@pytest.fixture(scope="session")
def browser():
    """Chromium, without a window or a profile of the tester's."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium or Chrome was found")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
