"""The course's commands (lab, test, test-real, run, install) in the standard library alone, for Python 3.11 and later.

Each command first makes sure that `.venv` holds the exact versions of constraints.txt.  A stamp in `.venv`
says which versions it was made for: when it matches, nothing is installed; when it says that an installation
was cut off, or Python does not start, the environment is made anew.
"""
from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "course-stamp"
LOG = ROOT / "build" / "install.log"
UNFINISHED = "an installation was started here and not finished"
DISK_FULL = "the disk is full: free 3 GB (8 GB where torch comes with CUDA) and run this again"
# One module of each part, looked for (not imported) before every command.
NEEDED = ["torch", "transformer_lens", "jupyterlab", "nbval", "pytest", "rsutils"]


def stop(message: str) -> None:
    sys.exit(f"course: {message}")


def venv_python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def wanted_stamp() -> str:
    """What the environment depends on: the pins, the project file and the Python it is made with."""
    parts = [(ROOT / name).read_bytes() for name in ("constraints.txt", "pyproject.toml")]
    return hashlib.sha256(b"\0".join([*parts, sys.version.encode()])).hexdigest()


def python_starts(modules: list[str]) -> bool:
    """Whether the environment's Python runs and finds `modules`."""
    code = f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {modules})))"
    try:
        return subprocess.run([venv_python(), "-c", code], capture_output=True, cwd=VENV).returncode == 0
    except OSError:
        return False


def require_usable_python() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036  (an older Python is what this line is for)
        stop(f"Python 3.11 or later is needed, this is {sys.version.split()[0]}; name a newer one, such as "
             "'make lab PYTHON=python3.12' or 'py -3.12 course.py lab'")
    for module, remedy in [
        ("venv", "install it (Debian, Ubuntu: sudo apt install python3-venv)"),
        ("ensurepip", "install it (Debian, Ubuntu: sudo apt install python3-venv)"),
        ("ssl", "use a Python built with OpenSSL, for example from python.org or conda-forge"),
    ]:
        try:
            __import__(module)
        except ImportError:
            stop(f"this Python ({sys.executable}) lacks the module {module}: {remedy} and run this again")


def create_environment() -> None:
    print(f"Making {VENV} with Python {sys.version.split()[0]}", flush=True)
    try:
        if VENV.is_symlink() or VENV.is_file():
            VENV.unlink()
        elif VENV.exists():
            shutil.rmtree(VENV)
    except OSError as error:
        stop(f"cannot remove the old {VENV} ({error}); close the JupyterLab that uses it and run this again")
    # The base interpreter: this script may have been started with the very .venv that is being replaced.
    base = getattr(sys, "_base_executable", None) or sys.executable
    done = subprocess.run([base, "-m", "venv", str(VENV)], capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        stop(explain(said) or f"cannot make {VENV}: {said}")


def explain(log: str) -> str | None:
    """The likely cause of a failed installation, in a line, or None."""
    # A disk so full that the log could not be written has to be measured.
    free = min(shutil.disk_usage(folder).free for folder in (ROOT, tempfile.gettempdir()))
    if "No space left on device" in log or free < 100e6:
        return DISK_FULL
    if "ensurepip" in log:
        return "this Python cannot make environments: sudo apt install python3-venv, and run this again"
    offline = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "ReadTimeoutError",
               "ProxyError", "Network is unreachable", "Connection refused")
    if any(sign in log for sign in offline):
        return ("the package index does not answer: connect to the internet or set PIP_INDEX_URL or "
                "PIP_FIND_LINKS to a local copy, and run this again (only installing needs the network)")
    return None


def pip(*args: str) -> None:
    """Run pip in the environment, its own progress on the screen, and stop with one line if it fails."""
    LOG.parent.mkdir(exist_ok=True)
    LOG.unlink(missing_ok=True)
    command = [venv_python(), "-m", "pip", "--disable-pip-version-check", "--log", LOG, "install", *args]
    if subprocess.run([str(part) for part in command], cwd=ROOT).returncode:
        log = LOG.read_text(errors="replace") if LOG.exists() else ""
        stop(explain(log) or f"pip failed; what it said is in {LOG}")


def install_packages() -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    torch = next(line for line in pins if line.startswith("torch=="))
    # A wheel at hand (PIP_FIND_LINKS) comes first: on Linux it is how a site provides the small CPU build.
    subprocess.run([str(venv_python()), "-m", "pip", "install", "--no-index", "--no-deps", torch], cwd=ROOT,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pip("-r", "constraints.txt")
    pip("--no-deps", "--no-build-isolation", "-e", ".")
    overrides = VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    overrides.parent.mkdir(parents=True, exist_ok=True)
    overrides.write_text(json.dumps({
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
        "@jupyterlab/notebook-extension:tracker": {"codeCellConfig": {"lineWrap": True}},  # projectors are narrow
    }))


def ensure_environment() -> None:
    """Make `.venv` what constraints.txt and pyproject.toml say; instant when it already is."""
    require_usable_python()
    stamp = STAMP.read_text() if STAMP.is_file() else None
    if stamp == wanted_stamp() and python_starts(NEEDED):
        return
    # An environment without a stamp is one that the user made, say with a torch of their choice: it is kept.
    if stamp == UNFINISHED or stamp == wanted_stamp() or not python_starts(["pip"]):
        create_environment()
    started = time.monotonic()
    STAMP.write_text(UNFINISHED)
    install_packages()
    STAMP.write_text(wanted_stamp())
    print(f"Installed in {time.monotonic() - started:.0f} s", flush=True)


def in_environment(*command: str, **variables: str) -> int:
    """Run `python command...` of the environment in the repository's root; returns its exit status."""
    # Else a python3 kernel in the user's home would shadow the environment's own.
    env = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1", **variables}
    return subprocess.run([str(venv_python()), *command], cwd=ROOT, env=env).returncode


def lab(args: list[str]) -> int:
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    # As a path, the notebook would make its folder the root, and the links to other folders lead nowhere.
    first = "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"
    return in_environment("-m", "jupyterlab", first, *root, *args)


def test(args: list[str]) -> int:
    os.environ.pop("RSUTILS_MODEL", None)  # the outputs to compare with come from the embedded model
    style = in_environment("-m", "ruff", "check", ".")
    notebooks = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=300", "--nbval-kernel-startup-timeout=180"]
    tests = in_environment("-m", "pytest", "-q", "-rs", *notebooks, *args, RSUTILS_STRICT="1", HF_HUB_OFFLINE="1",
                           OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"))
    if style:
        print("ruff found faults: see the top of this output")
    return style or tests


def test_real(args: list[str]) -> int:
    return in_environment("tests/run_real.py", *args, RSUTILS_STRICT="1", HF_HUB_OFFLINE="1")


def run(args: list[str]) -> int:
    return in_environment("run_notebooks.py", *args)


def main() -> int:
    examples = "course.py lab --port=9999, course.py test -k basis, course.py run --help"
    parser = argparse.ArgumentParser(description="Inside the Residual Stream", epilog=f"Examples: {examples}")
    commands = {"lab": lab, "test": test, "test-real": test_real, "run": run, "install": lambda args: 0}
    parser.add_argument("command", choices=commands)
    parser.add_argument("args", nargs=argparse.REMAINDER, help="passed on to JupyterLab, pytest or the run")
    options = parser.parse_args()
    ensure_environment()
    return commands[options.command](options.args)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        stop("interrupted")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        stop(DISK_FULL)
