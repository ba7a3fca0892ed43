"""Q-, K- and V-composition of all head pairs against TransformerLens; growth; the price of a slider move.

``python -m benchmarks.heads``. Set ``OMP_NUM_THREADS`` to fix the threads of torch and NumPy alike. The other way
takes about 11 GB on the GPT-2-small shape: run it where those are free.
"""

from functools import partial
from tempfile import TemporaryDirectory

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformer_lens.model_bridge import TransformerBridge

import rsutils
from benchmarks import harness
from benchmarks.harness import MIB, Spread
from rsutils import heads, models, start
from rsutils.drawing import Figure, bars

GPT2_SMALL = dict(kind="gpt2", layers=12, d_model=768, n_heads=12)
SMOLLM2 = dict(kind="llama", layers=30, d_model=576, n_heads=9, n_kv_heads=3)
GIB = 1024 * MIB
PEAK = "peak memory above the model, MiB"


def model(kind: str, layers: int, d_model: int, n_heads: int, n_kv_heads: int | None = None) -> TransformerBridge:
    """A model of random weights, a tiny vocabulary and MLP: only its heads matter here."""
    torch.manual_seed(0)
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=7, n_positions=8, n_embd=d_model, n_layer=layers, n_head=n_heads, n_inner=7
        )
    else:
        config = transformers.LlamaConfig(
            vocab_size=7,
            hidden_size=d_model,
            intermediate_size=7,
            num_hidden_layers=layers,
            num_attention_heads=n_heads,
            num_key_value_heads=n_kv_heads,
            max_position_embeddings=8,
        )
    hf_model = transformers.AutoModelForCausalLM.from_config(config)
    vocabulary = WordLevel({word: i for i, word in enumerate("abcdefg")}, unk_token="a")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(vocabulary), bos_token="a")
    with TemporaryDirectory() as directory:
        hf_model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        return rsutils.load_model(directory)


def ours(bridge: TransformerBridge) -> dict[str, np.ndarray]:
    return {mode: pairs.score for mode, pairs in heads.composition(heads.circuits(bridge)).items()}


def theirs(bridge: TransformerBridge, modes: tuple[str, ...] = heads.MODES) -> dict[str, torch.Tensor]:
    return {mode: bridge.all_composition_scores(mode).scores.flatten(0, 1).flatten(1) for mode in modes}


def multiplications(layers: int, d_model: int, n_heads: int, d_head: int = 64) -> float:
    """Grams of a source and three readings a head (upper triangles), and one inner product a pair and mode."""
    n_all, triangle = layers * n_heads, d_model * (d_model + 1) / 2
    return 4 * n_all * d_head * triangle + 3 * (layers * (layers - 1) / 2) * n_heads**2 * triangle


def compare(shape: dict, limit: int | None, repeats: int) -> tuple[list[dict], Spread | None]:
    """Both ways on one shape; under ``limit`` (bytes) only memory is asked of the other way, since it runs out."""
    bridge, found = model(**shape), {}
    ours(bridge)  # warm-up; the other way takes so long that its first call does not show
    works = {"thin factors and Grams": lambda: found.update(ours=ours(bridge))}
    if limit is None:
        works["all_composition_scores"] = lambda: found.update(theirs=theirs(bridge))
    seconds = harness.take_turns(works | harness.square_products(), repeats=repeats, warmup=0)
    least = [
        multiplications(shape["layers"], shape["d_model"], shape["n_heads"]) / rate
        for rate in harness.multiplications_per_second(seconds)
    ]
    difference = ""
    if limit is None:
        pairs = [(np.nan_to_num(found["ours"][mode]), found["theirs"][mode].numpy()) for mode in heads.MODES]
        difference = max(float(abs(own - other).max()) for own, other in pairs)
    del bridge, found
    name = (
        f"Q, K and V, {shape['layers'] * shape['n_heads']} heads ({shape['layers']} layers, d_model {shape['d_model']})"
    )
    rows = []
    for way, work in {"thin factors and Grams": ours, "all_composition_scores": partial(theirs, modes=("Q",))}.items():
        memory = harness.peak_memory(partial(model, **shape), work, limit)
        rows.append(
            {
                "work": name,
                "way": way,
                "seconds": Spread.of(seconds[way]) if way in seconds else "not timed",
                PEAK: f"runs out of {limit / MIB:.0f}" if memory is None else round(memory / MIB),
                "largest difference of score": difference,
            }
        )
    rows[0]["over its multiplications' time"] = harness.ratio(seconds["thin factors and Grams"], least)
    rows[1]["over its multiplications' time"] = ""
    if limit is not None:
        return rows, None
    return rows, harness.ratio(seconds["all_composition_scores"], seconds["thin factors and Grams"])


def growth(what: str, shapes: list[dict]) -> str:
    """The exponent with which time grows along ``shapes``, beside that of the multiplications."""
    works = {str(shape[what]): partial(ours, model(**shape)) for shape in shapes}
    seconds = harness.take_turns(works, repeats=3)
    along = [shape[what] for shape in shapes]
    counts = [multiplications(s["layers"], s["d_model"], s["n_heads"]) for s in shapes]
    slope = lambda y: np.polyfit(np.log(along), np.log(y), 1)[0]  # noqa: E731
    fits = Spread.of([slope([seconds[str(size)][turn] for size in along]) for turn in range(3)])
    return (
        f"{what} {along[0]} to {along[-1]}: time grows as {what}^{fits}, multiplications as {what}^{slope(counts):.2f}"
    )


def slider_moves() -> list[str]:
    """Kernel time of one move of each explorer of the notebook, and of what it would cost to compute afresh."""
    bridge = rsutils.load_model()
    c = heads.circuits(bridge)
    found = heads.composition(c)
    few = heads.repeated_tokens(bridge, length=16, batch=2, seed=1)
    effects = heads.ablate_each_head(bridge, few)
    layers, text = range(bridge.cfg.n_layers), "The cat and the dog saw a cat"

    def draw_pattern(layer: int) -> Figure:
        ids = models.tokens(bridge, text)
        return start.figures.pattern(heads.patterns(bridge, ids)[layer, 0, 0], bridge.to_str_tokens(ids), layer, 0)

    explorers = {
        "the pattern's layer": rsutils.Explorer(draw_pattern, layer=layers),
        "the token table's layer": rsutils.Explorer(
            lambda layer: heads.figures.token_table(heads.token_table(bridge, text, layer, 0, "OV")), layer=layers
        ),
        "the map's mode": rsutils.Explorer(
            lambda mode: heads.figures.composition(found, "QKV"[mode], "z"), mode=range(3)
        ),
        "the pair of the components": rsutils.Explorer(
            lambda pair: heads.figures.components(heads.components(c, "K", *found["K"].top()[pair][:2])), pair=range(3)
        ),
        "the scatter's mode": rsutils.Explorer(
            lambda mode: heads.figures.prediction(found, effects, "QKV"[mode], "score"), mode=range(3)
        ),
    }
    turn = iter(range(10**6))

    def move(explorer: rsutils.Explorer) -> None:
        (name,) = explorer.controls
        explorer.set(**{name: next(turn) % (explorer.controls[name].max + 1)})

    works = {name: partial(move, explorer) for name, explorer in explorers.items()}
    works["afresh"] = lambda: (ours(bridge), heads.ablate_each_head(bridge, few))
    seconds = harness.take_turns(works, repeats=12)
    return [
        f"One move of {name} ({bridge.info.name}): {Spread.of([1000 * s for s in seconds[name]])} ms in the kernel; "
        f"all scores and ablations afresh take {harness.ratio(seconds['afresh'], seconds[name])} times that"
        for name in explorers
    ]


def main() -> None:
    on = harness.machine()
    rows, faster = compare(GPT2_SMALL, None, repeats=2)
    more, _ = compare(SMOLLM2, 8 * GIB, repeats=3)
    notes = [
        f"GPT-2-small shape: all_composition_scores takes {faster} times as long, and its peak (one mode) is "
        f"{rows[1][PEAK] / rows[0][PEAK]:.0f} times as high",
        growth("layers", [dict(kind="gpt2", layers=n, d_model=512, n_heads=8) for n in (6, 12, 24, 48)]),
        growth("d_model", [dict(kind="gpt2", layers=6, d_model=d, n_heads=d // 64) for d in (256, 512, 1024, 2048)]),
        *slider_moves(),
    ]
    medians = [row["seconds"].median for row in rows]
    figure = bars(
        medians,
        labels=["thin factors", "TransformerLens"],
        title=f"Composition of all pairs of 144 heads: {faster.median:.0f} times faster with thin factors",
        x="way",
        y="seconds for Q, K and V (median)",
        alt="; ".join(f"{row['way']} {value:.1f} s" for row, value in zip(rows, medians, strict=True)),
    )
    harness.report("heads", "Which head feeds which: composition scores of all pairs", rows + more, figure, notes, on)


if __name__ == "__main__":
    main()
