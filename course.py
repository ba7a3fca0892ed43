"""The course's commands: lab, test, test-real, coverage, run, install.

They need the standard library of Python 3.11 or later, nothing else.

Each command first makes sure that `.venv` holds the exact versions of constraints.txt.  A stamp in `.venv` says which
versions and packages an installation ended with: while it holds, nothing is installed.  An environment that was made
here is made anew when an installation was cut off or files are gone; one that the user made is never removed.
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
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "course-stamp"
OURS = VENV / "made-by-course"
LOG = ROOT / "build" / "install.log"
DISK_FULL = "the disk is full: free 3 GB (8 GB where torch comes with CUDA) and run this again"
# For the environment's Python: every package and whether all its files are there. What Python compiled comes and goes.
INVENTORY = """
import csv, importlib.metadata, os
for package in importlib.metadata.distributions():
    root, record = str(package.locate_file("")), (package.read_text("RECORD") or "").splitlines()
    names = [row[0] for row in csv.reader(record) if row and not row[0].endswith(".pyc")]
    print(package.metadata["Name"], int(all(os.path.exists(os.path.join(root, name)) for name in names)))
"""
# A kernel with more threads than its share of a busy machine is slower, not faster; and what glibc frees it gives back,
# which else is a matter of luck worth 200 MB.
KERNELS = {
    "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "MALLOC_TRIM_THRESHOLD_": "1048576",
}
# Runs that no learner makes keep their own boards of what was tried.
APART = KERNELS | {"RSUTILS_HOME": str(ROOT / "build/home")}


def stop(message: str) -> NoReturn:
    sys.exit(f"course: {message}")


def venv_python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def wanted_stamp() -> str:
    """What the environment depends on: the pins, the project file, the Python it is made with, and where it stands."""
    parts = [(ROOT / name).read_bytes() for name in ("constraints.txt", "pyproject.toml")]
    return hashlib.sha256(b"\0".join([*parts, sys.version.encode(), str(ROOT).encode()])).hexdigest()


def packages() -> dict[str, bool]:
    """Each package of the environment and whether all its files are there; none where its Python does not start."""
    try:
        done = subprocess.run([venv_python(), "-c", INVENTORY], capture_output=True, text=True, cwd=VENV)
    except OSError:
        return {}
    return {name: whole == "1" for name, whole in map(str.split, done.stdout.splitlines())}


def stamp() -> list[str]:
    """What the last finished installation was for, and the packages that were whole when it ended."""
    return STAMP.read_text().splitlines() if STAMP.is_file() else []


def ready() -> bool:
    """Whether an installation of what is wanted came to its end, and nothing of it was lost since."""
    return stamp()[:1] == [wanted_stamp()] and all(map(packages().get, stamp()[1:]))


def require_usable_python() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036  (an older Python is what this line is for)
        stop(
            f"Python 3.11 or later is needed, this is {sys.version.split()[0]}; name a newer one, such as "
            "'make lab PYTHON=python3.12' or 'py -3.12 course.py lab'"
        )
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
        if VENV.exists():
            shutil.rmtree(VENV)
    except OSError as error:
        stop(f"cannot remove the old {VENV} ({error}); close the JupyterLab that uses it and run this again")
    VENV.mkdir()
    OURS.touch()
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
    offline = (
        "NewConnectionError",
        "NameResolutionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ProxyError",
        "Network is unreachable",
        "Connection refused",
    )
    if any(sign in log for sign in offline):
        return (
            "the package index does not answer: connect to the internet or set PIP_INDEX_URL or "
            "PIP_FIND_LINKS to a local copy, and run this again (only installing needs the network)"
        )
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
    subprocess.run(
        [str(venv_python()), "-m", "pip", "install", "--no-index", "--no-deps", torch],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    pip("-r", "constraints.txt")
    pip("--no-deps", "--no-build-isolation", "-e", ".")
    overrides = VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    overrides.parent.mkdir(parents=True, exist_ok=True)
    overrides.write_text(
        json.dumps(
            {
                "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
                "@jupyterlab/notebook-extension:tracker": {
                    "codeCellConfig": {"lineWrap": True}
                },  # projectors are narrow
            }
        )
    )


def lock(file: IO[str]) -> bool:
    """Try to lock an open file; the system unlocks it when its process ends, in whatever way."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextmanager
def alone():
    """One installation at a time: the second says that it waits."""
    LOG.parent.mkdir(exist_ok=True)
    with (LOG.parent / "install.lock").open("w") as file:
        if not lock(file):
            print("Another command is installing: waiting for it", flush=True)
            while not lock(file):
                time.sleep(0.2)
        yield


def ensure_environment() -> None:
    """Make `.venv` what constraints.txt and pyproject.toml say; instant when it already is."""
    require_usable_python()
    if ready():
        return
    with alone():
        if ready():
            return
        started, found = time.monotonic(), packages()
        broken = [name for name in stamp()[1:] if found.get(name) is False]
        if "pip" not in found:
            broken.append("its Python or pip")
        if not os.path.lexists(VENV) or (OURS.is_file() and (broken or not STAMP.is_file())):
            create_environment()
        elif broken:
            stop(
                f"{VENV}, which was not made here, is broken ({', '.join(broken)}): mend it or move it away, "
                "and run this again"
            )
        STAMP.unlink(missing_ok=True)
        install_packages()
        STAMP.write_text("\n".join([wanted_stamp(), *(name for name, whole in packages().items() if whole)]))
        print(f"Installed in {time.monotonic() - started:.0f} s", flush=True)


def in_environment(*command: str, **variables: str) -> int:
    """Run `python command...` of the environment in the repository's root; returns its exit status."""
    # Else a python3 kernel in the user's home would shadow the environment's own, and Windows misread our files.
    env = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1", "PYTHONUTF8": "1", **variables}
    with subprocess.Popen([str(venv_python()), *command], cwd=ROOT, env=env) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                pass  # the command got the Ctrl-C too, and ends in its own way


def lab(args: list[str]) -> int:
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    # As a path, the notebook would make its folder the root, and the links to other folders lead nowhere.
    first = "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"
    return in_environment("-m", "jupyterlab", first, *root, *args)


def test(args: list[str]) -> int:
    """Style, for a run of everything the types too, then the tests, notebooks among them."""
    os.environ.pop("RSUTILS_MODEL", None)  # the outputs to compare with come from the embedded model
    checks = [("ruff", "check", "."), ("ruff", "format", "--check", ".")]
    options = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=300", "--nbval-kernel-startup-timeout=180"]
    if not args:
        checks.append(("mypy",))
        options += ["-m", "not browser and not small"]
    faults = [" ".join(check) for check in checks if in_environment("-m", *check)]
    tests = in_environment(
        "-m", "pytest", "-q", "-rs", *options, *args, RSUTILS_STRICT="1", HF_HUB_OFFLINE="1", **APART
    )
    if faults:
        print(f"{' and '.join(faults)} found faults: see the top of this output")
    return tests or len(faults)


def test_browser(args: list[str]) -> int:
    """What people see: JupyterLab and the pages in Chromium."""
    os.environ.pop("RSUTILS_MODEL", None)
    only = args or ["tests/browser", "tests/site"]
    return in_environment("-m", "pytest", "-q", "-rs", "-m", "browser", *only, HF_HUB_OFFLINE="1", **APART)


def test_real(args: list[str]) -> int:
    return in_environment("tests/run_real.py", *args, RSUTILS_STRICT="1", HF_HUB_OFFLINE="1", **APART)


def coverage(args: list[str]) -> int:
    """The tests without notebooks and browser, whose kernels are not measured; it slows them by about a third."""
    only = args or ["tests", "rsutils"]
    return in_environment(
        "-m",
        "pytest",
        "-q",
        "-m",
        "not browser and not real and not small",
        "--cov",
        *only,
        HF_HUB_OFFLINE="1",
        **KERNELS,
    )


def run(args: list[str]) -> int:
    return in_environment("run_notebooks.py", *args, **APART)


def site(args: list[str]) -> int:
    return in_environment("site/build.py", *args, HF_HUB_OFFLINE="1", **KERNELS)


def main() -> int:
    commands = {
        "lab": (lab, "open the course in JupyterLab"),
        "test": (test, "run the tests, the notebooks and checks of style and types; with arguments, those tests"),
        "test-browser": (test_browser, "drive JupyterLab and the pages in Chromium"),
        "test-real": (test_real, "run the chapters on a real pretrained model and on larger shapes"),
        "coverage": (coverage, "print which lines of the package its tests reach"),
        "site": (site, "build the course's pages, which need no kernel, into build/site"),
        "run": (run, "execute the notebooks without a browser, into build/notebooks"),
        "install": (lambda args: 0, "make the environment that the other commands need, and stop"),
    }
    meanings = [f"  {name:12} {meaning}" for name, (_, meaning) in commands.items()]
    parser = argparse.ArgumentParser(
        description="\n".join(["Inside the Residual Stream: the course's commands", "", *meanings]),
        epilog="Examples: course.py lab --port=9999, course.py test -k basis, course.py run --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=commands, metavar="command", help="one of these")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="passed on to JupyterLab, pytest or the run")
    options = parser.parse_args()
    ensure_environment()
    return commands[options.command][0](options.args)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        stop("interrupted")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        stop(DISK_FULL)
