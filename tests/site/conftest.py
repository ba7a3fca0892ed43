"""A browser for the pages: Chromium, offline, and no page that reports an error passes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "site"))


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture
def open_offline(browser):
    """Opens an address in a fresh context without a network; the test fails on any error that the page reports."""
    contexts, errors = [], []

    def opened(address: str, **settings):
        settings = dict(viewport=dict(width=1024, height=768), offline=True) | settings
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The whole site, built once."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(ROOT / "site" / "build.py"), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture
def open_page(open_offline, folder):
    """Opens a page of the site from the disk."""
    return lambda name, **settings: open_offline((folder / f"{name}.html").as_uri(), **settings)
