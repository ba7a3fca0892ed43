"""From a process's start to the first figure, beside what importing the libraries that any such course needs takes."""

import statistics
import subprocess
import sys
import time

from benchmarks.harness import Spread

STEPS = ("imports of torch, transformers and TransformerBridge", "import rsutils", "load_model()", "first figure")
BOUND = 1.25
CODE = """
import sys, time
clock = [(float(sys.argv[1]), 0.0)]
tick = lambda: clock.append((time.time(), time.process_time()))
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel
from transformer_lens.model_bridge import TransformerBridge
tick()
import rsutils
tick()
model = rsutils.load_model()
tick()
from rsutils import drawing
best = model(rsutils.models.tokens(model, "The cat sat on the"))[0, -1].softmax(-1).topk(8)
words = [model.to_single_str_token(i) for i in best.indices.tolist()]
drawing.bars(best.values, labels=words, title="Next", x="token", y="probability", alt="Bars.")._repr_mimebundle_()
tick()
for kind in zip(*clock):
    print(*(later - earlier for earlier, later in zip(kind, kind[1:])))
"""


def measure() -> tuple[list[float], list[float]]:
    """Seconds of each step in one fresh process, by the clock (its start included) and of the processor."""
    command = [sys.executable, "-c", CODE, str(time.time())]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    clock, processor = ([float(x) for x in line.split()] for line in printed.splitlines()[-2:])
    return clock, processor


def main(repeats: int = 5) -> None:
    """Print the median, smallest and largest seconds of each step over fresh processes, and the ratio to be kept."""
    runs = [measure() for _ in range(repeats)]
    for step, seconds in zip(STEPS, zip(*(clock for clock, _ in runs), strict=True), strict=True):
        print(f"{step:52} {Spread.of(list(seconds))} s")
    for kind, times in zip(("by the clock", "of the processor"), zip(*runs, strict=True), strict=True):
        ratio = statistics.median(sum(steps) / steps[0] for steps in times)
        print(f"start to first figure over imports alone, {kind}: {ratio:.2f} (to be kept: at most {BOUND})")


if __name__ == "__main__":
    main()
