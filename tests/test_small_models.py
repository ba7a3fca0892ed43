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


# Of one and of two layers the five forms that most models have; of the other families two layers, which is the most
# that differs: local attention, norms after writers, constants.
PLAIN = ("gpt2", "gpt_neox", "llama", "mistral", "qwen2")
CASES = [(family, n_layers) for family in shapes.CONFIGS for n_layers in ((1, 2) if family in PLAIN else (2,))]


@pytest.mark.parametrize("family, n_layers", CASES)
def test_every_chapter_runs(family, n_layers, tmp_path, monkeypatch):
    directory = shapes.save(family, tmp_path / f"{family}-{n_layers}", n_layers)
    monkeypatch.setenv("RSUTILS_MODEL", str(directory))
    monkeypatch.setenv("RSUTILS_STRICT", "1")
    notebooks = sorted(map(str, (ROOT / "notebooks").glob("*.ipynb")))
    done = subprocess.run([sys.executable, "-c", RUN, *notebooks], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.splitlines()[-1]
