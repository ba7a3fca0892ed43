"""Chapter 06: a circuit, found on some prompts and judged on others, beside random ones of its size."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from rsutils.causal.metric import Estimate
from rsutils.causal.parts import chosen, owner
from rsutils.causal.wiring import Wiring
from rsutils.errors import CourseError

RESTORES, LEFT, BY_CHANCE = 0.8, 0.2, 0.1  # what a circuit must do, what it may leave, what a random one may do


@dataclass(frozen=True)
class Circuit:
    """Some heads and MLPs (``kind`` is ``"nodes"``) as ``causal.writers`` names them, or ``"edges"``.

    An edge is a pair of names, of a writer and of one of ``causal.readers``. The embedding and the positions are the
    prompt: they belong to every circuit of nodes and to what is left without it.
    """

    kind: str
    members: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.members)

    def edges(self, wiring: Wiring) -> Bool[Tensor, "writer reader"]:
        """Which edges are whole when only the circuit works.

        Raises:
            CourseError: the model has no such part.
        """
        return self._marked(wiring, True)

    def rest(self, wiring: Wiring) -> Bool[Tensor, "writer reader"]:
        """Which edges are whole when everything but the circuit works.

        Raises:
            CourseError: the model has no such part.
        """
        return self._marked(wiring, False)

    def nodes(self) -> list[str]:
        """The parts at the ends of its edges, or its members: ``"L1H0"`` for ``"L1H0 K"``."""
        ends = self.members if self.kind == "nodes" else [name for edge in self.members for name in edge]
        return list(dict.fromkeys(owner(name) for name in ends))

    def lit(self) -> list[str]:
        """Its parts as the picture of the stream names them (``traces.figures.stream``): heads by their layer."""
        return list(dict.fromkeys(_written(node) for node in self.nodes()))

    def _marked(self, wiring: Wiring, inside: bool) -> Bool[Tensor, "writer reader"]:
        marked = torch.full((len(wiring.writers), len(wiring.readers)), not inside)
        if self.kind == "nodes":
            members = set(chosen(wiring.writers, list(self.members)))
            marked[[part in members for part in wiring.writers]] = inside
            marked[[part.layer < 0 for part in wiring.writers]] = True
            return marked
        rows, columns = ({part.name: i for i, part in enumerate(parts)} for parts in (wiring.writers, wiring.readers))
        for parts, names in zip((wiring.writers, wiring.readers), zip(*self.members, strict=True), strict=False):
            chosen(parts, list(names))
        for source, destination in self.members:
            marked[rows[source], columns[destination]] = inside
        return marked


class Verdict(NamedTuple):
    """What a circuit restores alone, what is left without it, and what random circuits of its size restore."""

    circuit: Circuit
    faithfulness: Estimate
    completeness: Estimate
    random: list[float]
    passes: bool
    sentence: str


def all_nodes(wiring: Wiring) -> Circuit:
    """Every head and every MLP."""
    return Circuit("nodes", tuple(part.name for part in wiring.writers if part.layer >= 0))


def edges_among(wiring: Wiring, nodes: Circuit) -> Circuit:
    """Every edge that exists between the prompt, these nodes and the unembedding."""
    known = {*nodes.members, "unembed"} | {part.name for part in wiring.writers if part.layer < 0}
    found = [(wiring.writers[i].name, wiring.readers[j].name) for i, j in wiring.can.nonzero().tolist()]
    return Circuit("edges", tuple((a, b) for a, b in found if a in known and owner(b) in known))


def single_effects(wiring: Wiring, direction: str = "noising") -> dict[str, float]:
    """Each node's own share, everything after it recomputed.

    ``noising``: how much is lost when it alone is corrupt (is it necessary?); ``denoising``: how much comes back when
    it alone is as in the clean run (does it suffice?).

    Raises:
        CourseError: there is no such direction.
    """
    if direction not in ("noising", "denoising"):
        raise CourseError(f"expected noising or denoising, got {direction!r}: choose one of the two directions")
    nodes = all_nodes(wiring).members
    wiring = wiring if direction == "noising" else wiring.reversed
    return {node: 1 - wiring.restored(Circuit("nodes", (node,)).rest(wiring)) for node in nodes}


def prune(wiring: Wiring, circuit: Circuit, tolerance: float = 0.01) -> Circuit:
    """What stays when each member, from the output back, is cut unless that costs more than ``tolerance``.

    What was cut stays cut, so members that stand in for each other do not both go. Conmy et al. 2023, "Towards
    Automated Circuit Discovery for Mechanistic Interpretability", algorithm 1, with the share of the logit difference
    for the divergence. Hand it other prompts than the circuit is judged on: choosing by what one judges by flatters.
    """
    kept, share = list(circuit.members), wiring.restored(circuit.edges(wiring))
    for member in reversed(circuit.members):
        fewer = [other for other in kept if other != member]
        without = wiring.restored(Circuit(circuit.kind, tuple(fewer)).edges(wiring))
        if without >= share - tolerance:
            kept, share = fewer, without
    return Circuit(circuit.kind, tuple(kept))


def random_circuits(wiring: Wiring, circuit: Circuit, n: int = 20, seed: int = 0) -> list[Circuit]:
    """Circuits of as many members drawn by chance: as many heads and MLPs, or as many of all edges that exist."""
    rng, nodes = np.random.default_rng(seed), all_nodes(wiring)
    if circuit.kind == "nodes":
        pools = [[name for name in nodes.members if name.startswith(start)] for start in ("L", "mlp")]
    else:
        pools = [list(edges_among(wiring, nodes).members)]
    counts = [sum(member in pool for member in circuit.members) for pool in pools]
    draws = [
        [pool[i] for pool, count in zip(pools, counts, strict=True) for i in rng.choice(len(pool), count, False)]
        for _ in range(n)
    ]
    return [Circuit(circuit.kind, tuple(members)) for members in draws]


def judge_circuit(wiring: Wiring, circuit: Circuit, n_random: int = 20, seed: int = 0) -> Verdict:
    """Everything else is corrupt and the circuit recomputed (faithfulness), then the other way (completeness).

    It passes if it restores ``RESTORES`` or more, ``LEFT`` or less is left without it, and random circuits of its size
    restore ``BY_CHANCE`` or less on average. Wang et al. 2022, "Interpretability in the Wild", section 4.

    Raises:
        CourseError: the model has no such part.
    """
    faithfulness, completeness = (wiring.estimate(whole) for whole in (circuit.edges(wiring), circuit.rest(wiring)))
    drawn = random_circuits(wiring, circuit, n_random, seed)
    control = [wiring.restored(other.edges(wiring)) for other in drawn]
    chance = float(np.mean(control))
    passed = [faithfulness.value >= RESTORES, completeness.value <= LEFT, chance <= BY_CHANCE]
    sentence = (
        f"{len(circuit)} {circuit.kind}: alone they restore {faithfulness:.2f}, "
        f"{'enough' if passed[0] else f'less than {RESTORES}'}; without them {completeness:.2f} is left, "
        f"{_little(passed[1])}; random circuits of that size restore {chance:.2f} on average "
        f"({min(control):.2f} to {max(control):.2f}), {_little(passed[2])}. "
        f"The circuit {'passes' if all(passed) else 'does not pass'}."
    )
    return Verdict(circuit, faithfulness, completeness, control, all(passed), sentence)


class Pipeline(NamedTuple):
    """What arrives without any line from early to late layers, and by those lines alone."""

    staged: Estimate
    direct: Estimate
    sentence: str


def judge_pipeline(wiring: Wiring) -> Pipeline:
    """Does what a prompt decides go from early to middle to late layers, with no line from early to late ones?

    Early are the prompt and the first third of the layers, late the last third and the unembedding. It holds if
    ``RESTORES`` or more arrives when all lines from early to late are cut and ``LEFT`` or less by those lines when
    the middle is cut.

    Raises:
        CourseError: the model has fewer than three layers.
    """
    n_layers = wiring.runs.model.cfg.n_layers
    if n_layers < 3:
        raise CourseError(f"expected a model with early, middle and late layers, got {n_layers}: take three or more")
    stage = lambda part: min(2, max(0, part.layer) * 3 // n_layers)  # noqa: E731
    source, destination = (torch.tensor([stage(part) for part in parts]) for parts in (wiring.writers, wiring.readers))
    direct = (source == 0)[:, None] & (destination == 2)
    middle = (source == 1)[:, None] | (destination == 1)
    found = wiring.estimate(~direct), wiring.estimate(~middle)
    holds = found[0].value >= RESTORES and found[1].value <= LEFT
    verdict = "early to middle to late, as the article says" if holds else "not the pipeline that the article describes"
    return Pipeline(
        *found,
        f"With every line from early to late layers cut {found[0]:.2f} arrives, with the middle cut {found[1]:.2f}: "
        f"{verdict}.",
    )


def _written(node: str) -> str:
    """The picture's name of what a part writes."""
    if node.startswith("mlp"):
        return f"{node.split()[1]}_mlp_out"
    return f"{node[1:].split('H')[0]}_attn_out" if node.startswith("L") else node


def _little(passed: bool) -> str:
    return "little enough" if passed else "too much"
