"""All edges between heads by algebra on two cached runs, against a run of the model for each edge.

``python -m benchmarks.causal [MODEL [PROMPTS]]``. Set ``OMP_NUM_THREADS`` to fix the threads of torch and NumPy alike.
"""

import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

from transformer_lens import patching
from transformer_lens.model_bridge import TransformerBridge

import rsutils
from benchmarks import harness
from benchmarks.harness import MIB, Spread
from rsutils import causal
from rsutils.causal import plain
from rsutils.drawing import bars

SAMPLE = 12  # edges of the loops, which are too slow for all of them
KEEP = ("hook_z", "hook_resid_pre")


class Parts(NamedTuple):
    """A model, its prompts, the names of its heads as writers and as readers, and every edge between them."""

    model: TransformerBridge
    prompts: causal.Prompts
    sources: list[str]
    destinations: list[str]
    edges: list[tuple[str, str]]


def setup(name: str, n: int) -> Parts:
    model = rsutils.load_model(name)
    froms = [part for part in causal.writers(model) if part.kind == "head"]
    tos = [part for part in causal.readers(model) if part.kind in causal.MODES]
    edges = [(a.name, b.name) for a in froms for b in tos if b.hears(a)]
    return Parts(model, causal.names(model, n), [p.name for p in froms], [p.name for p in tos], edges)


def by_algebra(parts: Parts) -> causal.EdgeEffects:
    """Live and frozen effects of all edges."""
    return causal.direct_effects(
        parts.model, parts.prompts, sources=parts.sources, destinations=parts.destinations, progress=False
    )


def by_loop(parts: Parts) -> list[plain.PlainEffect]:
    """The twin that a learner would write, for ``SAMPLE`` edges spread over all."""
    return [plain.edge(parts.model, parts.prompts, *edge) for edge in sample(parts)]


def by_one_run(parts: Parts) -> None:
    """The least that any loop can do: one run of the model an edge, with nothing in it."""
    for _ in sample(parts):
        parts.model(parts.prompts.tokens)


def by_transformer_lens(parts: Parts) -> None:
    """Its own sweep from a head of the last layer but one into each of the last layer's."""
    prompts = parts.prompts
    kept = [
        parts.model.run_with_cache(tokens, names_filter=lambda name: name.endswith(KEEP))[1]
        for tokens in (prompts.tokens, prompts.fresh)
    ]
    clean, corrupt = kept
    patching.get_act_patch_direct_path(
        parts.model,
        prompts.tokens,
        corrupt,
        clean,
        lambda logits: causal.difference(logits[:, -1], prompts.right, prompts.wrong).mean(),
        parts.model.cfg.n_layers - 2,
        0,
        "q",
        verbose=False,
    )


def sample(parts: Parts) -> list[tuple[str, str]]:
    return parts.edges[:: len(parts.edges) // SAMPLE][:SAMPLE]


def main(name: str = "embedded", n: int = 200) -> None:
    on, parts = harness.machine(), setup(name, n)
    ways = {
        "algebra, all edges": (by_algebra, len(parts.edges)),
        "a loop of runs (the twin)": (by_loop, SAMPLE),
        "one run an edge and no more": (by_one_run, SAMPLE),
        "TransformerLens": (by_transformer_lens, parts.model.cfg.n_heads),
    }
    seconds = harness.take_turns({way: partial(work, parts) for way, (work, _) in ways.items()}, repeats=3, warmup=1)
    each = {way: [s / ways[way][1] for s in taken] for way, taken in seconds.items()}
    own = next(iter(ways))
    rows = [
        {
            f"head to head, {n} prompts": way,
            "edges measured": ways[way][1],
            "seconds": Spread.of(seconds[way]),
            "milliseconds an edge": Spread.of([1000 * s for s in each[way]]),
            "times the algebra's time, an edge": harness.ratio(each[way], each[own]),
        }
        for way in ways
    ]
    found = by_algebra(parts)
    off = [
        abs(found.of(*edge, "live")[0] - effect.direct.mean().item())
        for edge, effect in zip(sample(parts), by_loop(parts), strict=True)
    ]
    peak = harness.peak_memory(partial(setup, name, n), by_algebra)
    loop = len(parts.edges) * Spread.of(each["a loop of runs (the twin)"]).median
    notes = [
        f"{Path(parts.model.info.name).name}, {len(parts.edges)} edges (Q, K and V), {parts.prompts.tokens.shape[1]} "
        f"tokens a prompt; all edges by the loop would take {loop:.0f} s (extrapolated from {SAMPLE}).",
        f"Largest difference between algebra and loop over {SAMPLE} edges: {max(off):.1e}.",
        f"The algebra takes {peak / MIB:.0f} MiB above the model.",
    ]
    medians = [1000 * Spread.of(each[way]).median for way in ways]
    figure = bars(
        medians,
        labels=list(ways),
        title=f"Direct effects between heads: {medians[2] / medians[0]:.0f} times faster than one run an edge",
        x="way",
        y="milliseconds an edge (median)",
        alt="; ".join(f"{way} {value:.2g} ms" for way, value in zip(ways, medians, strict=True)),
    )
    harness.report("causal", "What flows between heads: algebra against a run an edge", rows, figure, notes, on)


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
