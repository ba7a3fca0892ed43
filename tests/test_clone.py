"""A clone holds the same bytes on every system, whatever it is told about line ends."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def git(*command: str, folder: Path = ROOT) -> bytes:
    return subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone of the last commit, made as Git for Windows makes it by default."""
    if not (ROOT / ".git").exists():
        pytest.skip("a plain download has no history to clone")
    folder = tmp_path_factory.mktemp("windows") / "clone"
    git("clone", "--quiet", "--depth=1", "--config=core.autocrlf=true", ROOT.as_uri(), str(folder))
    return folder


def test_no_file_gets_other_line_ends(clone):
    lines = git("ls-files", "--eol", folder=clone).decode().splitlines()
    assert lines and [line for line in lines if "w/crlf" in line or "w/mixed" in line] == []


def test_the_embedded_models_hashes_fit(clone):
    hashed = [
        (sums.parent / name, digest)
        for sums in (clone / "rsutils" / "data").rglob("SHA256SUMS")
        for digest, name in (line.split("  ") for line in sums.read_bytes().decode().split("\n") if line)
    ]
    assert {path.name for path, _ in hashed} >= {"model.safetensors", "config.json", "tokenizer.json"}
    for path, digest in hashed:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest, path.name


@pytest.mark.skipif(sys.platform == "win32", reason="the bash found there may be another system's")
@pytest.mark.parametrize("script", [".ci/run", "binder/postBuild", "binder/start"])
def test_bash_reads_the_scripts(clone, script):
    subprocess.run(["bash", "-n", str(clone / script)], check=True)


def test_notebooks_are_compared_by_cell(clone):
    asked = git("check-attr", "diff", "merge", "--", "notebooks/00_start_here.ipynb", folder=clone).decode()
    assert asked.count(": jupyternotebook") == 2
