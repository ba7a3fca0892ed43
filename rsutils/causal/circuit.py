"""Chapter 06: a circuit, found on some prompts and judged on others, beside random ones of its size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from rsutils.causal.edges import total_effects
from rsutils.causal.metric import Median, median, normalised
from rsutils.causal.parts import Part, chosen, readers, writers
from rsutils.causal.prompts import Prompts
from rsutils.causal.wiring import Wiring
from rsutils.errors import CourseError

KINDS, DIRECTIONS = ("nodes", "edges"), ("noising", "denoising")
RESTORES, LEFT, BY_CHANCE = 0.8, 0.2, 0.1  # what a circuit must do, what it may leave, what a random one may do
MARGIN = 0.1  # by how much the fitting half must do better, so that the other half may do worse


@dataclass(frozen=True)
class Circuit:
    """Some heads and MLPs (``nodes``, as ``causal.writers`` names them), or ``edges``: pairs of a writer and a reader.

    The embedding and the positions belong to every circuit of nodes and to its complement: they are the prompt.
    """

    kind: str
    members: tuple[str, ...] | tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.members)

    def whole(self, wiring: Wiring) -> Bool[Tensor, "writer reader"]:
        """Which edges the circuit keeps.

        Raises:
            CourseError: the model has no such part.
        """
        return self._mark(wiring, True)

    def rest(self, wiring: Wiring) -> Bool[Tensor, "writer reader"]:
        """Which edges the model keeps when the circuit is cut.

        Raises:
            CourseError: the model has no such part.
        """
        return self._mark(wiring, False)

    def lit(self) -> list[str]:
        """Its parts as the picture of the stream names them (``traces.figures.stream``): heads by their layer."""
        names = [name for member in self.members for name in ((member,) if self.kind == "nodes" else member)]
        found = dict.fromkeys(_write(name.removesuffix(" gate").split()) for name in names)
        return sorted(found, key=_place)

    def _mark(self, wiring: Wiring, inside: bool) -> Bool[Tensor, "writer reader"]:
        marked = torch.full((len(wiring.writers), len(wiring.readers)), not inside)
        rows, columns = ({part.name: i for i, part in enumerate(parts)} for parts in (wiring.writers, wiring.readers))
        if self.kind == "nodes":
            chosen(wiring.writers, list(self.members))
            marked[[rows[name] for name in self.members]] = inside
            marked[[i for i, part in enumerate(wiring.writers) if part.layer < 0]] = True
            return marked
        chosen(wiring.writers, [source for source, _ in self.members])
        chosen(wiring.readers, [destination for _, destination in self.members])
        for source, destination in self.members:
            marked[rows[source], columns[destination]] = inside
        return marked


class Growth(NamedTuple):
    """A circuit as it grew: members in the order of their effects, and after each step what the fitting half said."""

    circuit: Circuit
    sizes: list[int]
    restored: list[float]
    left: list[float]


class Verdict(NamedTuple):
    """What a circuit restores alone, what is left without it, and what random circuits of its size restore."""

    circuit: Circuit
    faithfulness: Median
    completeness: Median
    random: list[float]
    passes: bool
    sentence: str


def restored(wiring: Wiring, whole: Bool[Tensor, "writer reader"]) -> Float[Tensor, " prompt"]:
    """The share of what corruption takes that comes back when these edges are whole: 0 for none, 1 for all."""
    return 1 - normalised(wiring.clean_metric, wiring.metric(whole), wiring.corrupt_metric)


def candidates(wiring: Wiring, kind: str) -> list:
    """All nodes or all edges of a model.

    Raises:
        CourseError: there is no such kind.
    """
    _check("a kind", kind, KINDS)
    if kind == "nodes":
        return [part.name for part in wiring.writers if part.layer >= 0]
    return [(wiring.writers[i].name, wiring.readers[j].name) for i, j in wiring.can.nonzero().tolist()]


def single_effects(wiring: Wiring, kind: str = "nodes", direction: str = "noising") -> dict:
    """Each member's total effect, the median share over prompts; everything after it is recomputed.

    ``noising``: how much is lost when it alone is corrupt (is it necessary?); ``denoising``: how much comes back when
    it alone is as in the clean run (does it suffice?).

    Raises:
        CourseError: there is no such kind or direction.
    """
    _check("a direction", direction, DIRECTIONS)
    members, runs = candidates(wiring, kind), wiring.runs
    prompts, corruption = runs.prompts, runs.corruption
    if direction == "denoising":  # the same with the two runs in each other's place
        prompts = replace(prompts, tokens=prompts.corrupt(corruption), **{corruption: prompts.tokens})
        wiring = Wiring(runs.model, prompts, corruption)
    if kind == "nodes":
        lost = [1 - restored(wiring, Circuit(kind, (member,)).rest(wiring)) for member in members]
        return {member: median(share).value for member, share in zip(members, lost, strict=True)}
    effects = total_effects(runs.model, prompts, corruption, progress=False)
    shares = np.nanmedian(np.where(np.isnan(effects.prompts("normalised")), np.nan, effects.prompts("normalised")), -1)
    places = {name: i for i, name in enumerate(effects.sources)}, {name: i for i, name in enumerate(effects.destinations)}
    return {(a, b): float(shares[places[0][a], places[1][b]]) for a, b in members}


def grow(wiring: Wiring, kind: str = "nodes", direction: str = "noising") -> Growth:
    """Take members in the order of their single effects until they do jointly, with a margin, what a circuit must.

    The share is measured jointly at each step, of one member at first and of a tenth of the circuit later. Hand it one
    half of the prompts and judge the other: choosing by what one judges by flatters.

    Raises:
        CourseError: there is no such kind or direction.
    """
    effects = single_effects(wiring, kind, direction)
    order = sorted(effects, key=lambda member: -effects[member])
    size, sizes, alone, without = 0, [], [], []
    while True:
        size = min(len(order), size + max(1, size // 10))
        circuit = Circuit(kind, tuple(order[:size]))
        sizes.append(size)
        alone.append(median(restored(wiring, circuit.whole(wiring))).value)
        without.append(median(restored(wiring, circuit.rest(wiring))).value)
        if size == len(order) or (alone[-1] >= RESTORES + MARGIN and without[-1] <= LEFT - MARGIN):
            return Growth(circuit, sizes, alone, without)


def random_circuits(wiring: Wiring, circuit: Circuit, n: int = 20, seed: int = 0) -> list[Circuit]:
    """Circuits of as many members drawn by chance; of nodes, as many heads and as many MLPs."""
    rng, everyone = np.random.default_rng(seed), candidates(wiring, circuit.kind)
    if circuit.kind == "edges":
        kinds = [everyone]
    else:
        kinds = [[name for name in everyone if name.startswith(start)] for start in ("L", "mlp")]
    counts = [sum(member in kind for member in circuit.members) for kind in kinds]
    return [
        Circuit(
            circuit.kind,
            tuple(
                kind[i]
                for kind, count in zip(kinds, counts, strict=True)
                for i in rng.choice(len(kind), count, replace=False)
            ),
        )
        for _ in range(n)
    ]


def judge_circuit(wiring: Wiring, circuit: Circuit, n_random: int = 20, seed: int = 0) -> Verdict:
    """Everything else is corrupt and the circuit recomputed (faithfulness), then the other way (completeness).

    It passes if it restores ``RESTORES`` or more, ``LEFT`` or less is left without it, and random circuits of its size
    restore ``BY_CHANCE`` or less on average. Wang et al. 2022, section 4; the medians are over prompts.

    Raises:
        CourseError: the model has no such part.
    """
    faithfulness = median(restored(wiring, circuit.whole(wiring)))
    completeness = median(restored(wiring, circuit.rest(wiring)))
    drawn = random_circuits(wiring, circuit, n_random, seed)
    control = [median(restored(wiring, other.whole(wiring))).value for other in drawn]
    chance = float(np.mean(control))
    passed = [faithfulness.value >= RESTORES, completeness.value <= LEFT, chance <= BY_CHANCE]
    sentence = (
        f"{len(circuit)} of {len(candidates(wiring, circuit.kind))} {circuit.kind}: alone they restore "
        f"{faithfulness:.2f}, {_enough(passed[0])}; without them {completeness:.2f} is left, {_little(passed[1])}; "
        f"random circuits of that size restore {chance:.2f} on average ({min(control):.2f} to {max(control):.2f}), "
        f"{_little(passed[2])}. The circuit {'passes' if all(passed) else 'does not pass'}."
    )
    return Verdict(circuit, faithfulness, completeness, control, all(passed), sentence)


def _enough(passed: bool) -> str:
    return "enough" if passed else f"less than {RESTORES}"


def _little(passed: bool) -> str:
    return "little enough" if passed else "too much"


def _write(words: Sequence[str]) -> str:
    """The picture's name of a part: ``0_attn_out``, ``2_mlp_out``, or as it is."""
    if words[0] == "mlp":
        return f"{words[1]}_mlp_out"
    return f"{words[0][1:].split('H')[0]}_attn_out" if words[0].startswith("L") else words[0]


def _place(write: str) -> tuple[int, str]:
    """Where a part comes in the picture."""
    number = write.split("_")[0]
    return (int(number), write) if number.isdigit() else (10**6 if write == "unembed" else -1, write)


def _check(what: str, got: str, expected: tuple[str, ...]) -> None:
    if got not in expected:
        raise CourseError(f"expected {what} among {', '.join(expected)}, got {got!r}: choose one of these")
