"""What ``make test-real`` runs: every notebook, assertions live and outputs not compared, on models we did not make.

SmolLM2-135M is a real one, whose known figures are tested too, beside those of a small one without induction. Random
models of GPT-2 small's shape and of Pythia-70m's (attention and MLP in parallel) show that each chapter runs on them
within the 2 GB of a Binder session. Arguments choose notebooks: ``make test-real ARGS=01``.
"""

import os
import subprocess
import sys
from pathlib import Path

from hub_shapes import random_directory
from real_model import real_model

ROOT = Path(__file__).resolve().parent.parent


def notebooks(directory: Path | None, what: str, *args: str) -> int:
    """Run the notebooks on the model in this directory; its absence is said and is no failure."""
    if directory is None:
        print(f"SKIPPED: {what} is made out of a pip package, which cannot be had", flush=True)
        return 0
    print(f"== {what}", flush=True)
    command = [sys.executable, "run_notebooks.py", "--out", f"build/{directory.name}", *args]
    return run(command, RSUTILS_MODEL=str(directory))


def run(command: list[str], **variables: str) -> int:
    """The exit status of a command; after Ctrl-C nothing more is run, once the command has said how far it came."""
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            sys.exit(130)


def main(args: list[str]) -> int:
    failed = notebooks(real_model(), "SmolLM2-135M-Instruct", *args)
    for name in ("gpt2", "pythia-70m"):
        failed |= notebooks(random_directory(name), f"the shape of {name}, random weights", "--memory", "1.8", *args)
    print("== the known figures, models of one and two layers, and cells in any order", flush=True)
    tests = ["tests/test_real.py", "tests/test_small_models.py", "tests/test_cells.py"]
    return failed | run([sys.executable, "-m", "pytest", "-q", "-rs", "-m", "real or small", *tests])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
