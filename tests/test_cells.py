"""A learner runs cells again, in any order that makes sense: after Run All, each cell works wherever it stands."""

import random
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.small  # it runs every chapter twice, for which make test has no time
NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_after_run_all_every_cell_runs_again_in_any_order(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [(index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    client = NotebookClient(
        notebook,
        timeout=300,
        startup_timeout=180,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=CRITICAL"],
    )
    with client.setup_kernel():
        for _ in range(2):
            for index, cell in cells:
                client.execute_cell(cell, index)
            random.Random(path.stem).shuffle(cells)
