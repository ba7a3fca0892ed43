"""Every family of decoders by every identity that the course rests on: the largest error on a small random model.

``python -m benchmarks.families``. The models are those of the tests: every gain, bias and scale is random.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import transformers
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

import rsutils
from benchmarks import harness
from rsutils import heads, models, traces, virtual
from rsutils.drawing import bars

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import shapes

TEXT = "The cat sat on the mat"


def log_probabilities(directory: str, model: TransformerBridge) -> float:
    reference = transformers.AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager")
    ids = models.tokens(model, TEXT)
    return _off(model(ids).log_softmax(-1), reference(ids).logits.log_softmax(-1))


def folding(directory: str, model: TransformerBridge) -> float:
    ids = models.tokens(model, TEXT)
    return _off(model(ids).log_softmax(-1), rsutils.load_model(directory, processed=False)(ids).log_softmax(-1))


def stream(_: str, model: TransformerBridge) -> float:
    found = traces.trace(model, TEXT)
    return _off(traces.rebuild(found), found.streams)


def ledger(_: str, model: TransformerBridge) -> float:
    """One neuron of every layer, by every way in which it reads."""
    run = virtual.record(model, TEXT)
    neurons = [
        virtual.Neuron(i, 23, reader) for i in range(model.cfg.n_layers) for reader in virtual.reader_names(model)
    ]
    ledgers = [virtual.neuron_ledger(model, run, neuron) for neuron in neurons]
    return max(_off(each.terms.sum(dim=0), each.pre) for each in ledgers)


def rotation(_: str, model: TransformerBridge) -> float:
    """Every layer's attention as queries and keys with a rotation for each distance between them give it."""
    _, cache = model.run_with_cache(models.tokens(model, TEXT))
    off = []
    for layer, block in enumerate(model.blocks):
        at, group = f"blocks.{layer}.", models.kv_heads(block.attn)
        x = cache[at + "ln1.hook_normalized"][0]
        (W_Q, b_Q), (W_K, b_K), _ = models.attention_readers(block)
        query, key = (
            (x @ W + (0 if b is None else b[:, None])) / _head_scale(cache, at + f"attn.{name}_norm.hook_scale")
            for W, b, name in ((W_Q, b_Q, "q"), (W_K, b_K, "k"))
        )
        n = len(x)
        turned = [query @ heads.rotation(model, offset, layer) @ key[group].mT for offset in range(n)]
        behind = torch.arange(n)[:, None] - torch.arange(n)
        scores = torch.stack(turned)[behind.clamp(0), :, torch.arange(n)[:, None], torch.arange(n)].permute(2, 0, 1)
        scores = scores / model.cfg.d_head**0.5
        if (cap := getattr(model.cfg, "attn_scores_soft_cap", None) or 0) > 0:
            scores = cap * (scores / cap).tanh()
        seen = (behind >= 0) & (behind < (models.window(model, layer) or n))
        off.append(_off(scores.masked_fill(~seen, -torch.inf).softmax(-1), cache["pattern", layer][0]))
    return max(off)


def qk_split(_: str, model: TransformerBridge) -> float | str:
    """The terms of how much a head prefers its induction key, where scores are sums of terms."""
    layer = 2
    known = ("pairs", "no turns")
    for what, sentence in models.beyond_attention(model, layer).items():
        if what not in known:
            return f"no sum: it {sentence}"
    found = heads.split_preference(model, heads.repeated_tokens(model, length=11, batch=3), layer, 1)
    return abs(found.terms.sum().item() - found.measured)


IDENTITIES = {
    "log-probabilities are Hugging Face's": log_probabilities,
    "folding changes none": folding,
    "stream = sum of writes": stream,
    "ledger of a neuron": ledger,
    "attention by rotations": rotation,
    "QK split": qk_split,
}


def _off(found: Tensor, expected: Tensor) -> float:
    return (found - expected).abs().max().item()


def _head_scale(cache, name: str) -> Tensor | float:
    """What the norm inside each head divides by, as ``[head, pos, 1]``; one without such a norm."""
    return cache[name][0] if name in cache else 1.0


@torch.no_grad()
def main() -> None:
    on = harness.machine()
    transformers.utils.logging.disable_progress_bar()
    rows = []
    for kind in shapes.CONFIGS:
        with TemporaryDirectory() as directory:
            shapes.save(kind, Path(directory))
            model = rsutils.load_model(directory)
            rows.append({"family": kind} | {name: of(directory, model) for name, of in IDENTITIES.items()})
    found = {name: [row[name] for row in rows if isinstance(row[name], float)] for name in IDENTITIES}
    largest = {name: max(errors) for name, errors in found.items()}
    worst = max(largest.values())
    figure = bars(
        list(largest.values()),
        labels=list(largest),
        title=f"Over {len(rows)} families no identity is off by more than {worst:.1e}",
        x="identity",
        y="largest error",
        alt="; ".join(f"{name} {error:.1e}" for name, error in largest.items()),
    )
    notes = [
        "A cell: the largest absolute error, in nats, in units of the stream, of a pre-activation, of attention or of "
        "a score; float32.",
        "Where queries and keys are normalised, rotations are checked on scores over the numbers that the model "
        "divided by.",
    ]
    harness.report("families", "Every family by every identity: the largest error", rows, figure, notes, on)


if __name__ == "__main__":
    main()
