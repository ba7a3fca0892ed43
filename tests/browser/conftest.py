"""JupyterLab, served from a folder with the course's notebooks, and its pages in Chromium."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from lab_notebook import CHAPTERS

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def wait(ready, what: str, seconds: float):
    """The first true value of `ready()`; raises TimeoutError, with the last error, when none comes."""
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            if value := ready():
                return value
        except (OSError, ValueError, LookupError, StopIteration) as error:
            last = error
        time.sleep(0.05)
    raise TimeoutError(f"waited {seconds} s for {what}; last error: {last}")


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):
    """JupyterLab on a folder with the notebooks; gives its address and that folder."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
    home = tmp_path_factory.mktemp("lab")
    folder = home / "work"
    folder.mkdir()
    for chapter in CHAPTERS:
        shutil.copy(chapter, folder)
    settings = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(dict(fetchNews="false", checkForUpdates=False)))
    env = os.environ | dict(
        PYTHONPATH=str(ROOT),
        JUPYTER_CONFIG_DIR=str(home / "config"),
        JUPYTER_RUNTIME_DIR=str(home / "runtime"),
        JUPYTERLAB_SETTINGS_DIR=str(home / "settings"),
        JUPYTERLAB_WORKSPACES_DIR=str(home / "workspaces"),
        RSUTILS_STRICT="",  # as a learner has it: an error is words in the page
    )
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    command += ["--LabApp.expose_app_in_browser=True", "--IdentityProvider.token=local", f"--notebook-dir={folder}"]
    with open(home / "log", "w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        runtime = wait(lambda: next(iter((home / "runtime").glob("jpserver-*.json"))), "JupyterLab", 60)
        address = wait(lambda: json.loads(runtime.read_text())["url"], "its address", 10)
        wait(lambda: urllib.request.urlopen(f"{address}api?token=local").status == 200, "its answer", 60)
        yield address, folder
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="session")
def context(browser):
    """One context for all pages: each after the first has JupyterLab's own files in its cache."""
    context = browser.new_context()
    yield context
    context.close()
