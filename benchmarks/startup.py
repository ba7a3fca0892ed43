"""From kernel start to the first figure: how long other libraries take to import, and how long ours then takes."""

import subprocess
import sys

from benchmarks.harness import Spread

STEPS = ("imports of other libraries", "import rsutils", "load_model()", "first figure")
CODE = """
import time
clock = [time.perf_counter()]
tick = lambda: clock.append(time.perf_counter())
import anywidget, ipywidgets, plotly.graph_objects, plotly.io, torch
plotly.graph_objects.FigureWidget
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
print(*(later - earlier for earlier, later in zip(clock, clock[1:])))
"""


def main(repeats: int = 5) -> None:
    """Print the median, smallest and largest seconds of each step over fresh processes."""
    runs = [
        subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True) for _ in range(repeats)
    ]
    columns = list(zip(*([float(x) for x in run.stdout.split()] for run in runs), strict=True))
    for step, seconds in zip(STEPS, columns, strict=True):
        print(f"{step:28} {Spread.of(list(seconds))} s")
    print(f"{'ours (the last three)':28} {Spread.of([sum(run[1:]) for run in zip(*columns, strict=True)])} s")


if __name__ == "__main__":
    main()
