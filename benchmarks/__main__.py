"""Run every benchmark in a process of its own, one after the other."""

import subprocess
import sys
from pathlib import Path

OURS = {"__init__", "__main__", "harness"}

failed = 0
for file in sorted(Path(__file__).parent.glob("*.py")):
    if file.stem not in OURS:
        print(f"== {file.stem}", flush=True)
        failed |= subprocess.run([sys.executable, "-m", f"benchmarks.{file.stem}", *sys.argv[1:]]).returncode
sys.exit(failed)
