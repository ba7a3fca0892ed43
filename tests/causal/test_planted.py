"""A path is planted into a random model of every family, and every method finds it."""

import numpy as np
import pytest
import torch

import rsutils
from rsutils import causal, models

SOURCE, DESTINATION = (0, 1), (2, 4)


@pytest.fixture(params=["gpt2", "gpt_neox", "llama", "mistral", "qwen2"])
def planted(request, directories):
    """What head 1 of layer 0 writes is read by the values of head 4 of layer 2, and by nobody else."""
    model = rsutils.load_model(directories[request.param])
    W_O = model.blocks[0].attn.W_O[SOURCE[1]]
    directions = torch.linalg.svd(W_O, full_matrices=False).Vh[: torch.linalg.matrix_rank(W_O)]
    group = int(models.kv_heads(model.blocks[2].attn)[DESTINATION[1]])
    kept = model.blocks[2].attn.W_V[group].clone()
    for block in model.blocks[1:]:
        for W, _ in (*models.attention_readers(block), *models.mlp_readers(block)):
            W -= directions.T @ (directions @ W)
    for W, _ in models.mlp_readers(model.blocks[0]):
        W -= directions.T @ (directions @ W)
    model.unembed.W_U.sub_(directions.T @ (directions @ model.unembed.W_U))
    model.blocks[2].attn.W_V[group] = 16 * kept  # loud beside what a changed norm does to all readers
    return model


def readers_of(model):
    """Heads that share the planted values all read them."""
    groups = models.kv_heads(model.blocks[2].attn)
    return {f"L2H{head} V" for head, group in enumerate(groups) if group == groups[DESTINATION[1]]}


def test_every_method_finds_the_planted_path(planted):
    prompts = causal.repeated(planted, 8, lags=(13, 17))
    expected = readers_of(planted)
    asked = {"sources": ["L0H1"], "destinations": [part.name for part in causal.readers(planted)]}
    direct = causal.direct_effects(planted, prompts, progress=False, **asked)
    frozen = dict(zip(direct.destinations, direct.effect("frozen")[0], strict=True))
    loud = {name for name, effect in frozen.items() if not np.isnan(effect) and effect > 1e-3}
    assert loud == expected
    total = causal.total_effects(planted, prompts, progress=False, **asked)
    slope = causal.edge_attribution(planted, prompts, **asked)
    for found, metric in ((total, "total"), (slope, "slope")):
        sizes = np.abs(found.prompts(metric)[0]).mean(axis=-1)
        order = np.argsort(-np.nan_to_num(sizes))
        assert {found.destinations[i] for i in order[: len(expected)]} == expected, metric


def test_cutting_edges_finds_the_planted_path(planted):
    wiring = causal.Wiring(planted, causal.repeated(planted, 8, lags=(13, 17)))
    effect = {}
    for edge in causal.edges_among(wiring, causal.all_nodes(wiring)).members:
        if edge[0] == "L0H1":
            without = wiring.metric(causal.Circuit("edges", (edge,)).rest(wiring))
            effect[edge[1]] = (wiring.runs.clean_metric - without).abs().mean().item()
    assert set(sorted(effect, key=effect.get)[-len(readers_of(planted)) :]) == readers_of(planted)


def test_without_its_reader_the_planted_writer_reaches_nobody(planted):
    """The control: once the values are gone, all that is left is what a live norm passes on."""
    prompts = causal.repeated(planted, 8, lags=(13, 17))
    group = int(models.kv_heads(planted.blocks[2].attn)[DESTINATION[1]])
    planted.blocks[2].attn.W_V[group] = 0
    found = causal.direct_effects(planted, prompts, sources=["L0H1"], progress=False).effect("frozen")
    assert np.nanmax(np.abs(found)) < 1e-4
