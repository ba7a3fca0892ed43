"""Many edges cut at once: exact at both ends, equal to runs of the model between, and found where they were planted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rsutils import causal
from rsutils.causal.runs import writer_hook
from rsutils.causal.wiring import Wiring
from rsutils.compare import Interval
from rsutils.errors import CourseError

CLOSE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture
def wiring(model):
    return Wiring(model, causal.repeated(model, 5, lags=(13, 17)))


@pytest.fixture(scope="module")
def small(embedded):
    """Of a model that every test of what does not depend on the family can share."""
    return Wiring(embedded, causal.repeated(embedded, 5, lags=(13, 17)))


@pytest.fixture(scope="module")
def pronouns(embedded):
    return causal.pronouns(embedded, 46)


def by_running(wiring, corrupt_nodes):
    """The metric of a clean run in which these nodes write what they wrote in the corrupt run, by hooks."""
    model, runs = wiring.runs.model, wiring.runs
    parts = [part for part in wiring.writers if part.name in corrupt_nodes]

    def put(x, hook):
        heads = [part.head for part in parts if writer_hook(part) == hook.name]
        place = (..., heads, slice(None)) if hook.name.endswith("hook_z") else ...
        x[place] = runs.corrupt[hook.name][place]
        return x

    hooks = [(name, put) for name in {writer_hook(part) for part in parts}]
    logits = model.run_with_hooks(runs.prompts.tokens, fwd_hooks=hooks)[:, -1]
    return causal.difference(logits, runs.prompts.right, runs.prompts.wrong)


def test_with_all_edges_it_is_the_clean_run_and_with_none_the_corrupt_one(wiring):
    whole = torch.ones(len(wiring.writers), len(wiring.readers), dtype=torch.bool)
    torch.testing.assert_close(wiring.metric(whole), wiring.runs.clean_metric, **CLOSE)
    torch.testing.assert_close(wiring.metric(~whole), wiring.runs.corrupt_metric, **CLOSE)
    assert not torch.allclose(wiring.runs.clean_metric, wiring.runs.corrupt_metric, **CLOSE)


def test_nodes_cut_together_are_a_run_with_their_outputs_replaced(wiring):
    nodes = ("L0H1", "mlp 0", "L1H2", "L1H4")
    expected = by_running(wiring, nodes)
    torch.testing.assert_close(wiring.metric(causal.Circuit("nodes", nodes).rest(wiring)), expected, **CLOSE)
    assert not torch.allclose(expected, wiring.runs.clean_metric, **CLOSE)


@pytest.mark.parametrize("destination", ["L1H3 K", "L1H2 V", "L1H0 Q", "mlp 1", "unembed"])
def test_one_edge_cut_is_its_total_effect(model, wiring, destination):
    circuit = causal.Circuit("edges", (("L0H1", destination),))
    found = wiring.runs.clean_metric - wiring.metric(circuit.rest(wiring))
    total = causal.total_effects(model, wiring.runs.prompts, "fresh", ["L0H1"], [destination], progress=False)
    np.testing.assert_allclose(found.numpy(), total.prompts("total")[0, 0], **CLOSE)


def test_the_other_direction_is_the_two_runs_exchanged(wiring):
    effects = causal.single_effects(wiring, "denoising")
    assert set(effects) == set(causal.all_nodes(wiring).members)
    runs = wiring.runs
    node, reverse = "L0H1", wiring.reversed
    assert torch.equal(reverse.runs.prompts.tokens, runs.prompts.fresh)
    back = by_running(reverse, [node])
    share = ((back - runs.corrupt_metric).mean() / (runs.clean_metric - runs.corrupt_metric).mean()).item()
    assert effects[node] == pytest.approx(share, abs=1e-3)


def test_what_is_kept_and_what_is_left_are_each_others_complement(small):
    nodes = causal.Circuit("nodes", ("L0H1", "mlp 1"))
    prompt = torch.tensor([part.layer < 0 for part in small.writers])
    assert ((nodes.edges(small) ^ nodes.rest(small)).all(1) == ~prompt).all()
    edges = causal.Circuit("edges", (("embed", "L0H1 K"), ("mlp 0", "unembed")))
    assert edges.edges(small).sum() == 2 and (edges.edges(small) ^ edges.rest(small)).all()
    assert edges.nodes() == ["embed", "L0H1", "mlp 0", "unembed"]
    assert edges.lit() == ["embed", "0_attn_out", "0_mlp_out", "unembed"]


def test_edges_among_nodes_are_those_of_the_nodes_that_exist(small):
    found = causal.edges_among(small, causal.Circuit("nodes", ("L0H1", "mlp 1"))).members
    assert ("L0H1", "mlp 1") in found and ("mlp 1", "unembed") in found and ("embed", "L0H1 Q") in found
    assert {a for a, _ in found} == {"embed", "pos_embed", "L0H1", "mlp 1"}
    assert not any(b.startswith("L0H1") and a == "mlp 1" for a, b in found)
    everything = causal.edges_among(small, causal.all_nodes(small))
    assert len(everything) == small.can.sum()


@pytest.mark.parametrize("kind", ["nodes", "edges"])
def test_random_circuits_have_its_size_and_its_kinds(small, kind):
    circuit = causal.all_nodes(small) if kind == "nodes" else causal.edges_among(small, causal.all_nodes(small))
    circuit = causal.Circuit(kind, circuit.members[:7])
    drawn = causal.random_circuits(small, circuit, 11)
    assert len({each.members for each in drawn}) > 5
    for each in drawn:
        assert len(set(each.members)) == 7 and each.kind == kind
        if kind == "nodes":
            assert sum(n.startswith("mlp") for n in each.members) == sum(n.startswith("mlp") for n in circuit.members)


def test_the_pronoun_circuit_passes_on_prompts_that_it_was_not_found_on(embedded, pronouns):
    fit, judge_on = Wiring(embedded, pronouns[:23]), Wiring(embedded, pronouns[23:])
    nodes = causal.prune(fit, causal.all_nodes(fit))
    assert {"L0H1", "L1H0", "L1H1", "mlp 2", "mlp 3"} <= set(nodes.members) and len(nodes) <= 8
    edges = causal.prune(fit, causal.edges_among(fit, nodes))
    assert ("L0H1", "L1H1 V") in edges.members and len(edges) < 30
    for circuit in (nodes, edges):
        verdict = causal.judge_circuit(judge_on, circuit, 7)
        assert verdict.passes and verdict.sentence.endswith("The circuit passes.")
        assert verdict.faithfulness.interval.low > 0.9 and abs(verdict.completeness.value) < 0.05
        assert max(verdict.random) < 0.5
    without = causal.Circuit("nodes", tuple(set(nodes.members) - {"L0H1"}))
    failed = causal.judge_circuit(judge_on, without, 3)
    assert not failed.passes and "less than 0.8" in failed.sentence and failed.sentence.endswith("does not pass.")


def test_the_pipeline_of_the_article_is_not_how_the_embedded_model_does_pronouns(embedded, pronouns):
    found = causal.judge_pipeline(Wiring(embedded, pronouns))
    assert found.staged.interval.high < 0.8 and found.direct.interval.low > 0.2
    assert "not the pipeline" in found.sentence


def test_its_picture_names_every_part_and_edge_once(small):
    edges = causal.Circuit("edges", (("embed", "L0H1 K"), ("L0H1", "L1H2 V"), ("L0H1", "mlp 2"), ("mlp 2", "unembed")))
    drawn = causal.figures.circuit(edges)
    assert list(drawn.data[-1].text) == ["embed", "L0H1", "L1H2", "mlp 2", "unembed"]
    lines = [trace for trace in drawn.data if trace.mode == "lines"]
    assert [trace.name for trace in lines if trace.showlegend] == ["K", "V", "MLP", "unembedding"]
    assert len(lines) == 4 and "4 edges between 5 parts" in drawn.words
    with pytest.raises(CourseError, match="expected a circuit of edges"):
        causal.figures.circuit(causal.Circuit("nodes", ("L0H1",)))


def test_a_pipeline_that_is_one_is_called_so(embedded, pronouns, monkeypatch):
    wiring = Wiring(embedded, pronouns)
    layers = [max(0, part.layer) * 3 // 4 for part in wiring.writers]

    def restored(edges):  # as if all went through the middle
        middle = edges[[i for i, layer in enumerate(layers) if layer == 1]]
        value = 1.0 if middle.any() else 0.0
        return causal.Estimate(value, Interval(value, value))

    monkeypatch.setattr(wiring, "estimate", restored)
    assert "as the article says" in causal.judge_pipeline(wiring).sentence


def test_pronouns_are_balanced_and_corrupted_by_a_name_of_the_other_kind(embedded, pronouns):
    texts = [embedded.tokenizer.decode(row) for row in pronouns.tokens]
    girls = [any(f">{name} was" in text for name in causal.prompts.GIRLS) for text in texts]
    assert sum(girls) == 23 and girls == [embedded.tokenizer.decode(answer) == " she" for answer in pronouns.right]
    assert len(set(texts)) == 46
    changed = pronouns.tokens != pronouns.swapped
    assert (changed.sum(1) == 1).all() and changed[:, 1].all()
    others = [embedded.tokenizer.decode(row[1]) in causal.prompts.BOYS for row in pronouns.swapped]
    assert others == girls
    assert causal.judge(embedded, pronouns).can


@settings(max_examples=23, deadline=None)
@given(
    st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=11).filter(lambda x: abs(sum(x)) > 0.1),
    st.floats(-2, 2, width=32),
)
def test_share_of_a_blend_is_the_blend(clean, alpha):
    clean = torch.tensor(clean, dtype=torch.float64)
    assert causal.share(clean, alpha * clean, 0 * clean) == pytest.approx(alpha, abs=1e-9)


def test_errors_name_what_is_there(small, embedded, monkeypatch):
    with pytest.raises(CourseError, match="expected names such as"):
        causal.Circuit("nodes", ("L9H9",)).edges(small)
    for edge in (("L9H9", "unembed"), ("embed", "L9H9 Q")):
        with pytest.raises(CourseError, match="expected names such as"):
            causal.Circuit("edges", (edge,)).edges(small)
    with pytest.raises(CourseError, match="expected noising or denoising"):
        causal.single_effects(small, "sideways")
    with pytest.raises(CourseError, match="expected at most"):
        causal.pronouns(embedded, 9_999)
    monkeypatch.setattr(small.runs.model.cfg, "n_layers", 2)
    with pytest.raises(CourseError, match="early, middle and late"):
        causal.judge_pipeline(small)
