"""Every chapter on every shape of model: seconds and peak memory of a notebook, as a learner's machine sees them.

The embedded model and SmolLM2-135M are trained; the others have the shape of a model that only a hub has, random
weights and GPT-2's tokenizer. A notebook runs once, alone, with the threads that torch takes by itself. The whole
takes about twenty minutes on two cores.
"""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import machine, report
from rsutils.drawing import bars
from run_notebooks import Run, execute, find

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from hub_shapes import CONFIGS, random_directory
from real_model import real_model

BINDER = 2e9


def measure(directory: str) -> dict[str, Run]:
    """Each notebook's run on the model in this directory, by chapter number."""
    os.environ |= {"RSUTILS_MODEL": directory, "HF_HUB_OFFLINE": "1", "RSUTILS_STRICT": "1"}
    with tempfile.TemporaryDirectory() as out:
        return {path.stem[:2]: execute(path, Path(out)) for path in find([])}


def main() -> None:
    on = machine() | {"times": "on the clock"}
    makers = {"embedded": lambda: "embedded", "SmolLM2-135M": real_model}
    makers |= {f"{name} shape": lambda name=name: random_directory(name) for name in CONFIGS}
    found = {}
    for name, make in makers.items():
        if (directory := make()) is None:
            print(f"{name} left out: the package that carries it cannot be had", file=sys.stderr)
            continue
        found[name] = measure(str(directory))
        print(name, *(f"{chapter} {_cell(run)};" for chapter, run in found[name].items()), flush=True)
    rows = [{"model": name} | {chapter: _cell(run) for chapter, run in runs.items()} for name, runs in found.items()]
    peaks = {name: [run.peak / 1e9 for run in runs.values()] for name, runs in found.items()}
    chapters = list(next(iter(found.values())))
    highest = {name: max(values) for name, values in peaks.items()}
    below = sum(peak * 1e9 < BINDER for peak in highest.values())
    figure = bars(
        peaks,
        labels=chapters,
        x="chapter",
        y="peak memory (GB)",
        title=f"{below} of {len(found)} models stay below the 2 GB of a Binder session in every chapter",
        alt="Highest peak, GB: " + "; ".join(f"{name} {value:.2f}" for name, value in highest.items()),
    )
    notes = [
        "A cell: seconds from kernel start to the last cell; peak memory of the kernel's process, libraries and model.",
        "Every assertion of every notebook was live; 'failed' would stand where one did not hold.",
    ]
    report("notebooks", "Every chapter on every shape of model", rows, figure, notes, on)


def _cell(run: Run) -> str:
    return f"failed: {run.failure}" if run.failure else f"{run.seconds:.0f} s, {run.peak / 1e9:.2f} GB"


if __name__ == "__main__":
    main()
