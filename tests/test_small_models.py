"""Every chapter runs on models of one or two layers of each family, assertions live: a sentence, not a failure."""

import subprocess
import sys
from pathlib import Path

import pytest
import shapes

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.small
# One process for all chapters, each in a namespace of its own: a kernel each would take four times as long.
RUN = """
import sys
import nbformat
from IPython.core.interactiveshell import InteractiveShell
for path in sys.argv[1:]:
    shell = InteractiveShell()
    for number, cell in enumerate(c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"):
        done = shell.run_cell(cell.source)
        if not done.success:
            sys.exit(f"{path}, code cell {number}: {done.error_in_exec or done.error_before_exec}")
"""


# One layer in two forms, since that is where chapters say what they leave out; two layers, which have everything, of
# each family. Chapter 06 takes as long as the others together: it runs where families differ most.
CASES = [("gpt2", 1), ("llama", 1), *((family, 2) for family in shapes.CONFIGS)]


@pytest.mark.parametrize("family, n_layers", CASES)
def test_every_chapter_runs(family, n_layers, tmp_path, monkeypatch):
    directory = shapes.save(family, tmp_path / f"{family}-{n_layers}", n_layers)
    monkeypatch.setenv("RSUTILS_MODEL", str(directory))
    monkeypatch.setenv("RSUTILS_STRICT", "1")
    monkeypatch.setenv("RSUTILS_HOME", str(tmp_path))
    notebooks = sorted(map(str, (ROOT / "notebooks").glob("*.ipynb")))
    if family not in shapes.UNLIKE:
        notebooks = [path for path in notebooks if "06_causal" not in path]
    done = subprocess.run([sys.executable, "-c", RUN, *notebooks], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.splitlines()[-1]
