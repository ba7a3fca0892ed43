"""Execute the notebooks in order into a folder, a line for each; `course.py run` calls this in the environment."""

import argparse
import logging
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

ROOT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Run:
    """What one notebook took: seconds, peak bytes of its kernel (0 where the system does not tell), and its failure."""

    seconds: float
    peak: int
    failure: str


def find(names: list[str]) -> list[Path]:
    """The notebooks whose names begin with one of `names`, in order; all of them for no names."""
    wanted = tuple(names) or ("",)
    paths = [path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if path.name.startswith(wanted)]
    if not paths:
        sys.exit(f"course: no notebook in {ROOT / 'notebooks'} has a name that begins with {' or '.join(wanted)}")
    return paths


def execute(path: Path, out: Path, timeout: int = 1800, shown: str = "") -> Run:
    """Execute one notebook and write it to the folder `out`, as far as it came.

    `shown` names what a reader without a kernel is given (`site/publish.py`): `"pictures"` or `"pages"`.
    """
    started, peak, failure = time.monotonic(), 0, ""
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        return Run(0, 0, f"no notebook can be read from it: {first_line(error)}")
    before = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    register = f"import sys; sys.path.append({str(ROOT / 'site')!r}); import publish; publish.{shown}()"
    extra = [f"--IPKernelApp.exec_lines={register}"] if shown else []
    client = NotebookClient(
        notebook,
        timeout=timeout,
        startup_timeout=180,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=CRITICAL", "--InteractiveShell.colors=nocolor", *extra],
    )
    number, cell = 0, None
    try:
        with client.setup_kernel():
            for index, cell in enumerate(notebook.cells):
                number += cell.cell_type == "code"
                client.execute_cell(cell, index)
            peak = peak_memory(client.km.provisioner.pid)
    except Exception as error:
        failure = f"code cell {number} ({first_line(cell.source)}): {reason(error)}" if cell else reason(error)
    finally:  # after Ctrl-C too
        names = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
        notebook.metadata = nbformat.from_dict({"kernelspec": names, "language_info": {"name": "python"}})
        out.mkdir(parents=True, exist_ok=True)
        if shown == "pictures":
            keep_pictures([output for cell in notebook.cells for output in cell.get("outputs", [])], before)
        nbformat.write(notebook, out / path.name)
    return Run(time.monotonic() - started, peak, failure)


def keep_pictures(outputs: list, before: list) -> None:
    """Leave a figure that shows what it showed its old bytes, and drop the views of widgets that no kernel backs."""
    known = {picture["figure"]: each.data["image/png"] for each in before if (picture := picture_of(each))}
    for output in outputs:
        if (picture := picture_of(output)) and picture["figure"] in known:
            output.data["image/png"] = known[picture["figure"]]
        output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)


def picture_of(output: dict) -> dict:
    """What is noted of an output's picture, if it has one."""
    return output.get("metadata", {}).get("image/png", {})


def reason(error: Exception) -> str:
    """Why a cell failed, in a line."""
    if isinstance(error, CellExecutionError):
        return first_line(f"{error.ename}: {error.evalue}")
    if isinstance(error, CellTimeoutError):
        return "it took longer than --timeout allows"
    return first_line(error)


def first_line(text: object) -> str:
    """The first line with words in it, without colours."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", str(text)).strip().splitlines()
    return lines[0] if lines else type(text).__name__


def peak_memory(pid: int) -> int:
    """Peak resident bytes of a running process where Linux tells it, else 0."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def main(args: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="course.py run", description="Execute the notebooks without a browser.")
    parser.add_argument("names", nargs="*", help="beginnings of notebook names, such as 01; all by default")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "notebooks", help="folder to write to")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds that one cell may take")
    parser.add_argument("--memory", type=float, default=float("inf"), help="GB that one notebook may take")
    options = parser.parse_args(args)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it mourns the cell that Ctrl-C cut off with a traceback
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # more threads than cores slow a busy machine's kernels down
    committed = options.out.resolve() == ROOT / "notebooks"
    paths, failures, passed, status = find(options.names), 0, 0, 0
    try:
        for path in paths:
            run = execute(path, options.out, options.timeout, "pictures" if committed else "")
            verdict = f"FAILED  {run.failure}" if run.failure else "ok"
            if not run.failure and run.peak > options.memory * 1e9:
                verdict = f"FAILED  took more than {options.memory} GB"
            failures += verdict != "ok"
            passed += verdict == "ok"
            memory = f"{run.peak / 1e6:6.0f} MB" if run.peak else ""
            print(f"{path.stem:28} {run.seconds:6.1f} s  {memory:9}  {verdict}", flush=True)
    except KeyboardInterrupt:
        print(f"{path.stem:28} interrupted")
        status = 130
    print(f"{passed} passed, {failures} failed, {len(paths) - passed - failures} not run; written to {options.out}")
    return status or int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
