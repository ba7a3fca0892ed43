"""Slopes are TransformerLens's where it has them, exact for small changes, and better with more steps."""

from dataclasses import replace

import numpy as np
import pytest
from transformer_lens.tools.analysis import EdgeAttributionConfig, attribution_patch

import rsutils
from rsutils import causal
from rsutils.causal import gradients

N = 3
SHRUNK = 3000


@pytest.fixture
def prompts(model):
    return causal.repeated(model, N, lags=(13, 17))


@pytest.fixture
def in_double(model):
    """A small part of an effect drowns in single precision (some families' norms keep to it all the same)."""
    yield model.double()
    model.float()


@pytest.fixture
def with_slopes(model):
    """TransformerLens's tool asks for parameters that want gradients."""
    model.embed.weight.requires_grad_(True)
    yield model
    model.embed.weight.requires_grad_(False)


def nearly_the_same(run):
    """The corrupt run differs from the clean one by the ``SHRUNK``-th part of what it does."""

    def near(*args):
        runs = run(*args)
        small = {name: runs.clean[name] + (x - runs.clean[name]) / SHRUNK for name, x in runs.corrupt.items()}
        return replace(runs, corrupt=small)

    return near


def test_slopes_of_small_changes_are_their_effects(transparent, in_double, prompts, monkeypatch):
    for module in (gradients, causal.edges):
        monkeypatch.setattr(module, "run_both", nearly_the_same(module.run_both))
    sources = ["embed", "L0H2", "mlp 0"]
    found = causal.edge_attribution(in_double, prompts, sources=sources).prompts("slope") * SHRUNK
    true = causal.total_effects(in_double, prompts, sources=sources, progress=False).prompts("total") * SHRUNK
    there = ~np.isnan(true)
    assert np.array_equal(there, ~np.isnan(found))
    assert there.sum() > 60 * N
    np.testing.assert_allclose(found[there], true[there], atol=4e-3, rtol=2e-2)


def test_opaque_attention_is_refused_in_one_line(opaque):
    prompts = causal.repeated(opaque, N, lags=(13, 17))
    with pytest.raises(rsutils.CourseError, match="only shows it"):
        causal.edge_attribution(opaque, prompts, destinations=["L1H0 K"])
    assert np.nanmax(np.abs(causal.edge_attribution(opaque, prompts, destinations=["unembed"]).effect("slope"))) > 0
    by_value = causal.edge_attribution(opaque, prompts, destinations=["L1H0 V"]).effect("slope")
    assert np.nanmax(np.abs(by_value)) > 0


def test_node_slopes_are_those_of_transformer_lens(with_slopes, model, prompts):
    """It patches from clean into corrupt: hand it the two the other way round."""
    found = causal.node_attribution(model, prompts)
    theirs = np.zeros((model.cfg.n_layers, model.cfg.n_heads))
    metric_of = lambda i: lambda logits: logits[0, -1, prompts.right[i]] - logits[0, -1, prompts.wrong[i]]  # noqa: E731
    for i in range(N):
        one = slice(i, i + 1)
        result = attribution_patch(model, prompts.fresh[one], prompts.tokens[one], metric_of(i))
        for node, score in result.node_scores.items():
            if node.kind == "attn_head_out":
                theirs[node.layer, node.head] += score / N
    ours = dict(zip(found.parts, found.effect("slope"), strict=True))
    for (layer, head), score in np.ndenumerate(theirs):
        assert ours[f"L{layer}H{head}"] == pytest.approx(-score, abs=1e-5)


@pytest.mark.parametrize("model", ["gpt2", "gpt_neox"], indirect=True)
def test_edge_slopes_are_those_of_transformer_lens(with_slopes, model):
    prompts = causal.repeated(model, 2, lags=(13, 17))[:1]
    metric = lambda logits: logits[0, -1, prompts.right[0]] - logits[0, -1, prompts.wrong[0]]  # noqa: E731
    config = EdgeAttributionConfig(granularity="edge")
    result = attribution_patch(model, prompts.fresh, prompts.tokens, metric, config)
    found = causal.edge_attribution(model, prompts).table().set_index(["source", "destination"])["slope"]
    named = {
        "embed": "embed",
        "attn_head_out": "L{0.layer}H{0.head}",
        "mlp_out": "mlp {0.layer}",
        "q_input": "L{0.layer}H{0.head} Q",
        "k_input": "L{0.layer}H{0.head} K",
        "v_input": "L{0.layer}H{0.head} V",
        "mlp_in": "mlp {0.layer}",
        "logits": "unembed",
    }
    theirs: dict[tuple, float] = {}
    for ends, score in result.edge_scores.items():
        pair = tuple(named[end.kind].format(end) for end in ends)
        theirs[pair] = theirs.get(pair, 0) + score  # one a position
    assert len(theirs) > 200 and max(map(abs, theirs.values())) > 0.01
    for pair, score in theirs.items():
        assert found[pair] == pytest.approx(-score, abs=1e-5)


def test_more_steps_come_nearer_to_the_truth(embedded):
    """Of parts: where one slope is wrong by most, the mean of ten is nearer."""
    prompts = causal.names(embedded, 10)
    true = causal.ablation_effects(embedded, prompts, progress=False).effect("fresh")
    off = {}
    for steps in (1, 10):
        found = causal.node_attribution(embedded, prompts, steps=steps)
        off[steps] = np.abs(found.effect(next(iter(found.values))) - true).mean()
    assert off[10] < off[1]
