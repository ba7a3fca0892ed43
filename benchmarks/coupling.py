"""All pairs of MLPs by Gram matrices against the loop of products; growth; the price of a slider move.

``python -m benchmarks.coupling``. Set ``OMP_NUM_THREADS`` to fix the threads of torch and NumPy alike.
"""

from functools import partial
from pathlib import Path

import numpy as np
import torch

import rsutils
from benchmarks import harness
from benchmarks.harness import MIB, Spread
from rsutils import coupling
from rsutils.coupling import Reader, Writer
from rsutils.drawing import bars

GPT2_SMALL = {"layers": 12, "d_model": 768}
Stack = tuple[list[Writer], list[Reader]]


def stack(layers: int, d_model: int) -> Stack:
    """Random MLPs, four times as wide as the stream: all sources and all destinations."""
    torch.manual_seed(0)
    d_mlp, scale = 4 * d_model, d_model**-0.5
    writers = [Writer(f"mlp {i}", i, scale * torch.randn(d_mlp, d_model)) for i in range(layers)]
    readers = [Reader(f"mlp {i}", i, scale * torch.randn(d_model, d_mlp)) for i in range(layers)]
    return writers, readers


def by_grams(parts: Stack) -> np.ndarray:
    return coupling.measure(*parts, n_directions=len(parts[1][0].weight)).norm


def by_torch(parts: Stack) -> np.ndarray:
    return coupling.by_products(*parts)


def by_numpy(parts: Stack, dtype: type = np.float32) -> np.ndarray:
    """The loop once more, since NumPy's products are the faster ones on some machines."""
    norms = np.full((len(parts[0]), len(parts[1])), np.nan)
    for i, source in enumerate(parts[0]):
        for j, destination in enumerate(parts[1]):
            if source.layer < destination.layer:
                norms[i, j] = np.linalg.norm(
                    source.weight.numpy().astype(dtype) @ destination.weight.numpy().astype(dtype)
                )
    return norms


def multiplications(layers: int, d_model: int) -> dict[str, float]:
    """What each way takes: a Gram is symmetric, so half of it is computed; each pair has one inner product."""
    pairs, d_mlp = layers * (layers - 1) / 2, 4 * d_model
    grams = 2 * layers * d_mlp * d_model * (d_model + 1) / 2 + (pairs + 2 * layers) * d_model**2
    return {"Grams": grams, "loop": pairs * d_mlp * d_model * d_mlp}


def against_the_loop() -> tuple[list[dict], list[str]]:
    parts, ways = stack(**GPT2_SMALL), {"torch loop": by_torch, "numpy loop": by_numpy, "Grams": by_grams}
    for way in ways.values():
        way(stack(3, GPT2_SMALL["d_model"]))  # warm: a whole loop more would take as long as a measurement
    works = {name: partial(way, parts) for name, way in ways.items()}
    seconds = harness.take_turns(works | harness.square_products(), repeats=3, warmup=0)
    count, rate = multiplications(**GPT2_SMALL)["Grams"], harness.multiplications_per_second(seconds)
    seconds["the Grams' multiplications at the machine's rate"] = [count / per_second for per_second in rate]
    exact = by_numpy(parts, np.float64)
    rows = [
        {
            "all 66 pairs of MLPs, GPT-2-small shape": name,
            "seconds": Spread.of(seconds[name]),
            "times the Grams' time": harness.ratio(seconds[name], seconds["Grams"]),
            "peak memory above the weights, MiB": round(harness.peak_memory(partial(stack, **GPT2_SMALL), way) / MIB),
            "largest relative error": f"{np.nanmax(np.abs(way(parts) / exact - 1)):.1e}",
        }
        for name, way in ways.items()
    ]
    least = "the Grams' multiplications at the machine's rate"
    rows.append(dict.fromkeys(rows[0], "") | {"all 66 pairs of MLPs, GPT-2-small shape": least})
    rows[-1]["seconds"] = Spread.of(seconds[least])
    rows[-1]["times the Grams' time"] = harness.ratio(seconds[least], seconds["Grams"])
    return rows, [
        f"Grams take {harness.ratio(seconds['Grams'], seconds[least])} times what their multiplications take at the "
        f"machine's rate, {Spread.of([per_second / 1e9 for per_second in rate])} thousand million a second."
    ]


def growth(way: str, work, sizes: list[tuple[int, int]]) -> str:
    """The exponent with which time grows along ``sizes`` of (layers, d_model), beside that of the multiplications."""
    works = {str(size): partial(work, stack(*size)) for size in sizes}
    works[str(sizes[0])]()
    seconds = harness.take_turns(works, repeats=3, warmup=0)
    layers, d_model = zip(*sizes, strict=True)
    what, along = ("layers", layers) if len(set(layers)) > 1 else ("d_model", d_model)
    counts = [multiplications(*size)[way] for size in sizes]
    slope = lambda y: np.polyfit(np.log(along), np.log(y), 1)[0]  # noqa: E731
    fits = Spread.of([slope([seconds[str(size)][turn] for size in sizes]) for turn in range(3)])
    fixed = f"d_model {d_model[0]}" if what == "layers" else f"{layers[0]} layers"
    sizes_said = f"{what} {along[0]} to {along[-1]}, {fixed}"
    return (
        f"Growth of the {way} ({sizes_said}): exponent of the time {fits}, of the multiplications {slope(counts):.2f}."
    )


def slider_moves() -> list[str]:
    """Kernel time of one move of each explorer of the notebook, and of measuring everything afresh instead."""
    model = rsutils.load_model()
    scores = coupling.all_pairs(model, coupling.SENTENCES)
    mlps, readers = coupling.sources(model)[1:], coupling.destinations(model)[:-1]
    maps = rsutils.Explorer(lambda metric: coupling.figures.map(scores, metric), metric=scores.metrics)
    neurons = rsutils.Explorer(
        lambda source: coupling.figures.neurons(mlps[source], readers[-1]), source=range(len(mlps) - 1)
    )
    turn = iter(range(10**6))
    works = {
        "the map's metric": lambda: maps.set(metric=scores.metrics[next(turn) % len(scores.metrics)]),
        "the pair of the neurons": lambda: neurons.set(source=next(turn) % (len(mlps) - 1)),
        "afresh": lambda: coupling.figures.map(coupling.all_pairs(model, coupling.SENTENCES), "norm"),
    }
    seconds = harness.take_turns(works, repeats=12)
    return [
        f"One move of {name} ({Path(model.info.name).name}): {Spread.of([1000 * s for s in seconds[name]])} ms in the "
        f"kernel; running the model and measuring again: {harness.ratio(seconds['afresh'], seconds[name])} times that."
        for name in works
        if name != "afresh"
    ]


def main() -> None:
    on = harness.machine()
    rows, notes = against_the_loop()
    notes.append(growth("Grams", by_grams, [(layers, 256) for layers in (6, 12, 24, 48)]))
    notes.append(growth("loop", by_numpy, [(layers, 256) for layers in (6, 12, 24)]))
    notes.append(growth("Grams", by_grams, [(6, d_model) for d_model in (256, 512, 1024, 2048)]))
    notes += slider_moves()
    seconds = [row["seconds"].median for row in rows]
    names = [next(iter(row.values())) for row in rows]
    fastest = min(seconds[:2])
    figure = bars(
        seconds[:3],
        labels=["torch loop", "NumPy loop", "Gram matrices"],
        title=f"All pairs of MLPs of GPT-2-small shape: Gram matrices take 1/{fastest / seconds[2]:.0f} of the time",
        x="way",
        y="seconds (median)",
        alt="; ".join(f"{name} {value:.2f} s" for name, value in zip(names, seconds, strict=True)),
    )
    harness.report("coupling", "All pairs of MLPs: Gram matrices against the loop of products", rows, figure, notes, on)


if __name__ == "__main__":
    main()
