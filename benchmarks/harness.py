"""What every benchmark needs: interleaved timing, the machine's own rate, peak memory in a process apart, a report.

Times are processor time of the process, summed over its threads: on a machine that others use too, time on the
clock counts their work as well. Even so times wander, so nothing here is compared across runs: works take turns
within one run, and what is reported is the median of the ratios of neighbours with the smallest and the largest.
"""

import ctypes
import gc
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from rsutils.drawing import Figure

RESULTS = Path(__file__).parent / "results"
MIB = 2**20


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of several measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def take_turns(works: dict[str, Callable[[], object]], repeats: int = 5, warmup: int = 1) -> dict[str, list[float]]:
    """Processor seconds of each work in ``repeats`` rounds, each of which runs every work once, after ``warmup``
    rounds that are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(warmup + repeats):
        for name, work in works.items():
            gc.collect()
            start = time.process_time()
            work()
            if turn >= warmup:
                seconds[name].append(time.process_time() - start)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> Spread:
    """How many times as long ``slow`` took, round by round."""
    return Spread.of([s / f for s, f in zip(slow, fast, strict=True)])


def square_products(size: int = 2048) -> dict[str, Callable[[], object]]:
    """The machine's own yardstick, to be timed beside a work: a square float32 product in torch and in NumPy.

    Each takes ``size**3`` multiplications; see ``multiplications_per_second``.
    """
    A, B = torch.randn(size, size), torch.randn(size, size)
    a, b = A.numpy(), B.numpy()
    return {f"torch product {size}": lambda: A @ B, f"numpy product {size}": lambda: a @ b}


def multiplications_per_second(seconds: dict[str, list[float]]) -> list[float]:
    """The better of torch and NumPy in each round, from the times of ``square_products``."""
    products = {int(name.rsplit(" ", 1)[1]): None for name in seconds if " product " in name}
    (size,) = products
    return [
        size**3 / min(pair)
        for pair in zip(seconds[f"torch product {size}"], seconds[f"numpy product {size}"], strict=True)
    ]


def peak_memory(setup: Callable[[], object], work: Callable[[object], object], limit: int | None = None) -> int | None:
    """Bytes that ``work(setup())`` takes above what ``setup()`` left behind, in a fresh process (Linux).

    ``setup`` and ``work`` are functions of a module (or ``functools.partial`` of such), so that the process
    can find them. With ``limit``, the process may take that many bytes above the setup (address space), and
    ``None`` is returned where it runs out.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_peak, setup, work, limit, torch.get_num_threads()).result()
        except BrokenProcessPool:
            return None


def _peak(setup: Callable, work: Callable, limit: int | None, threads: int) -> int | None:
    torch.set_num_threads(threads)
    state = setup()
    torch.randn(64, 64) @ torch.randn(64, 64)  # the libraries' own buffers belong to the setup
    np.random.rand(64, 64) @ np.random.rand(64, 64)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the setup freed must not serve the work unseen
    Path("/proc/self/clear_refs").write_text("5")  # from here on the kernel counts the peak anew
    before = _status("VmRSS")
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + limit,) * 2)
    try:
        work(state)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "memory" in str(error):
            return None
        raise
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(field + ":")))


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    cpus = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in cpus.read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "load before": round(os.getloadavg()[0], 1),
        "times": "processor time",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "transformer-lens")},
    }


def report(name: str, title: str, rows: list[dict], figure: Figure, notes: list[str], on: dict) -> None:
    """Write ``results/NAME.json``, ``NAME.md`` and the figure, and print the table.

    The figure is written as a picture where kaleido is installed, and else left as it was.

    Args:
        rows: one dict a line of the table, all with the same keys; a ``Spread`` prints as median and range.
        on: what ``machine()`` said before the measurements began.
    """
    RESULTS.mkdir(exist_ok=True)
    plain = {"title": title, "machine": on, "rows": rows, "notes": notes}
    (RESULTS / f"{name}.json").write_text(json.dumps(plain, indent=1, default=vars) + "\n")
    columns = list(rows[0])
    lines = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    lines += [f"| {' | '.join(_cell(row[column]) for column in columns)} |" for row in rows]
    where = ", ".join(f"{key} {value}" for key, value in on.items())
    text = [f"# {title}", "", f"![{figure.words.splitlines()[1]}]({name}.png)", "", *lines, ""]
    text += [*(f"- {note}" for note in notes), f"- Measured on: {where}.", f"- Again: `python -m benchmarks.{name}`."]
    (RESULTS / f"{name}.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))
    try:
        figure.write_image(RESULTS / f"{name}.png", width=900, scale=2)
    except (ImportError, ValueError, RuntimeError) as error:
        print(f"no picture was written ({str(error).strip().splitlines()[0]}): pip install kaleido", file=sys.stderr)


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
