"""Execute the notebooks in order into a folder, a line for each; `course.py run` calls this in the environment."""

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent


def peak_memory(pid: int) -> str:
    """Peak resident memory of a running process where Linux tells it, else nothing."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((f"{int(line.split()[1]) / 1024:6.0f} MB" for line in lines if line.startswith("VmHWM")), "")


def main(args: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="course.py run", description="Execute the notebooks without a browser.")
    parser.add_argument("names", nargs="*", help="beginnings of notebook names, such as 01; all by default")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "notebooks", help="folder to write to")
    parser.add_argument("--timeout", type=int, default=600, help="seconds that one cell may take")
    options = parser.parse_args(args)
    options.out.mkdir(parents=True, exist_ok=True)
    wanted = tuple(options.names) or ("",)
    paths = [path for path in sorted((ROOT / "notebooks").glob("*.ipynb")) if path.name.startswith(wanted)]
    if not paths:
        sys.exit(f"course: no notebook in {ROOT / 'notebooks'} has a name that begins with {' or '.join(wanted)}")
    failures = 0
    for path in paths:
        notebook, started, memory, failure = nbformat.read(path, as_version=4), time.monotonic(), "", ""
        client = NotebookClient(notebook, timeout=options.timeout, kernel_name="python3", record_timing=False,
                                store_widget_state=False, resources={"metadata": {"path": str(path.parent)}},
                                extra_arguments=["--log-level=ERROR"])
        try:
            with client.setup_kernel():
                for index, cell in enumerate(notebook.cells):
                    client.execute_cell(cell, index)
                memory = peak_memory(client.km.provisioner.pid)
        except Exception as error:
            failures += 1
            failure = str(error).strip().splitlines()[-1]
        names = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
        notebook.metadata = nbformat.from_dict({"kernelspec": names, "language_info": {"name": "python"}})
        nbformat.write(notebook, options.out / path.name)
        seconds = time.monotonic() - started
        verdict = f"FAILED  {failure}" if failure else "ok"
        print(f"{path.stem:28} {seconds:6.1f} s  {memory:9}  {verdict}", flush=True)
    print(f"{len(paths) - failures} passed, {failures} failed; written to {options.out}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
