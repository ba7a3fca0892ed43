"""run_notebooks.py: in order, past a failure, without noise in what it writes."""

import nbformat
import pytest

import run_notebooks


def notebook(*cells: str) -> str:
    return nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]))


def test_run_executes_in_order_and_goes_on_after_a_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_notebooks, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "02_second.ipynb").write_text(notebook("print(6 * 7)"))
    (tmp_path / "notebooks" / "01_first.ipynb").write_text(notebook("print('before')", "1 / 0"))
    assert run_notebooks.main(["--out", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("01_first") and "FAILED" in lines[0] and "ZeroDivisionError" in lines[0]
    assert lines[1].startswith("02_second") and lines[1].endswith("ok")
    assert lines[2].startswith("1 passed, 1 failed")
    second = nbformat.read(tmp_path / "out" / "02_second.ipynb", as_version=4)
    assert second.cells[0].outputs[0].text == "42\n" and second.cells[0].execution_count == 1
    assert set(second.metadata) == {"kernelspec", "language_info"}
    assert run_notebooks.main(["02", "--out", str(tmp_path / "out")]) == 0


def test_a_name_that_fits_no_notebook_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(run_notebooks, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="99"):
        run_notebooks.main(["99", "--out", str(tmp_path / "out")])
