"""run_notebooks.py: in order, past a failure, without noise in what it writes."""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

import run_notebooks


def notebook(*cells: str) -> str:
    return nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]))


def test_run_executes_in_order_and_goes_on_after_a_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_notebooks, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "02_second.ipynb").write_text(notebook("print(6 * 7)"))
    (tmp_path / "notebooks" / "01_first.ipynb").write_text(notebook("print('before')", "\n# a ratio\n1 / 0"))
    assert run_notebooks.main(["--out", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("01_first") and "FAILED" in lines[0]
    assert lines[0].endswith("code cell 2 (# a ratio): ZeroDivisionError: division by zero")
    assert lines[1].startswith("02_second") and lines[1].endswith("ok")
    assert lines[2].startswith("1 passed, 1 failed, 0 not run")
    assert "\\u001b" not in (tmp_path / "out" / "01_first.ipynb").read_text()
    second = nbformat.read(tmp_path / "out" / "02_second.ipynb", as_version=4)
    assert second.cells[0].outputs[0].text == "42\n" and second.cells[0].execution_count == 1
    assert set(second.metadata) == {"kernelspec", "language_info"}
    assert run_notebooks.main(["02", "--out", str(tmp_path / "out")]) == 0


def test_a_name_that_fits_no_notebook_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(run_notebooks, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="99"):
        run_notebooks.main(["99", "--out", str(tmp_path / "out")])


@pytest.fixture
def written(tmp_path, monkeypatch, capsys):
    """Runs notebooks made of these cells, by name; gives the lines that are printed."""
    monkeypatch.setattr(run_notebooks, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()

    def run(*options: str, **notebooks: str) -> list[str]:
        for name, text in notebooks.items():
            (tmp_path / "notebooks" / f"{name}.ipynb").write_text(text)
        run.status = run_notebooks.main(["--out", str(tmp_path / "out"), *options])
        return capsys.readouterr().out.splitlines()

    return run


def test_a_broken_notebook_is_a_line_and_the_next_is_run(written):
    lines = written(a_broken="{ this is not JSON", b_good=notebook("1"))
    assert "FAILED" in lines[0] and "JSON" in lines[0] and lines[1].endswith("ok")
    assert lines[2].startswith("1 passed, 1 failed, 0 not run") and written.status == 1


def test_a_cell_that_takes_too_long_is_named(written):
    lines = written("--timeout=1", slow=notebook("1", "import time; time.sleep(30)"))
    assert lines[0].endswith("code cell 2 (import time; time.sleep(30)): it took longer than --timeout allows")


def test_a_kernel_that_dies_is_named_with_its_cell(written):
    lines = written(dies=notebook("import os; os._exit(1)"))
    assert "code cell 1 (import os; os._exit(1)): " in lines[0] and "died" in lines[0]


def test_an_error_in_colours_and_many_lines_is_one_plain_line(written):
    lines = written(colours=notebook(r"raise ValueError('\x1b[31mred\x1b[0m\nsecond line\n-------')"))
    assert lines[0].endswith(": ValueError: red") and lines[1].startswith("0 passed")


def test_a_kernel_has_one_thread_unless_the_user_says_otherwise(written, monkeypatch):
    ask = notebook("import os; assert os.environ['OMP_NUM_THREADS'] == '1'")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert written(one=ask)[0].endswith("ok")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert "FAILED" in written(one=ask)[0]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_ends_with_a_summary_and_no_traceback(tmp_path):
    (tmp_path / "notebooks").mkdir()
    begun = tmp_path / "begun"
    wait = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"
    (tmp_path / "notebooks" / "01_slow.ipynb").write_text(notebook("print('before')", wait))
    (tmp_path / "notebooks" / "02_next.ipynb").write_text(notebook("1"))
    code = "import pathlib, sys, run_notebooks as r; r.ROOT = pathlib.Path(sys.argv[1]); sys.exit(r.main(sys.argv[2:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), "--out", str(tmp_path / "out")],
        cwd=Path(run_notebooks.__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert out.splitlines()[0].split() == ["01_slow", "interrupted"]
    assert out.splitlines()[1].startswith("0 passed, 0 failed, 2 not run")
    assert "before" in (tmp_path / "out" / "01_slow.ipynb").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_stops_all_of_the_real_models(monkeypatch, capfd):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    run_real = importlib.import_module("run_real")
    slow = """
import os, signal, time
def end(*args):
    time.sleep(1)
    print("summary", flush=True)
    raise SystemExit(130)
signal.signal(signal.SIGINT, end)
os.kill(os.getppid(), signal.SIGINT)
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""
    with pytest.raises(SystemExit) as stopped:
        run_real.run([sys.executable, "-c", slow])
    assert stopped.value.code == 130 and "summary" in capfd.readouterr().out
