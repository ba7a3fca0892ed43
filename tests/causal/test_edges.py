"""Every edge's effect by algebra is that of a run of the model for the edge, on every family."""

import numpy as np
import pytest
from transformer_lens import patching

import rsutils
from rsutils import causal
from rsutils.causal import plain

N = 5


@pytest.fixture(scope="module")
def prompts_of():
    made = {}
    return lambda model: made.setdefault(id(model), causal.repeated(model, N, lags=(13, 17)))


@pytest.fixture
def prompts(model, prompts_of):
    return prompts_of(model)


def some_edges(model):
    """Every kind of writer into every kind of reader, near and far."""
    last = model.cfg.n_layers - 1
    froms = ["embed", "L0H1", "mlp 0", f"L{last - 1}H2", f"mlp {last - 1}"]
    tos = ["L0H3 K", "L1H4 Q", f"L{last}H1 Q", f"L{last}H3 K", f"L{last}H4 V", f"mlp {last}", "unembed"]
    return froms, tos + ([f"mlp {last} gate"] if model.cfg.gated_mlp else [])


def test_direct_and_total_effects_are_those_of_a_run_an_edge(model, prompts):
    froms, tos = some_edges(model)
    direct = causal.direct_effects(model, prompts, sources=froms, destinations=tos, progress=False)
    total = causal.total_effects(model, prompts, sources=froms, destinations=tos, progress=False)
    parts = {part.name: part for part in [*causal.writers(model), *causal.readers(model)]}
    assert direct.complete and total.complete
    measured = 0
    for i, source in enumerate(direct.sources):
        for j, destination in enumerate(direct.destinations):
            if not parts[destination].hears(parts[source]):
                for found in (direct, total):
                    assert all(np.isnan(found.prompts(metric)[i, j]).all() for metric in found.metrics)
                continue
            measured += 1
            live, frozen = (plain.edge(model, prompts, source, destination, norm=norm) for norm in ("live", "frozen"))
            close = {"atol": 1e-5, "rtol": 1e-4}
            np.testing.assert_allclose(direct.prompts("live")[i, j], live.direct.numpy(), **close)
            np.testing.assert_allclose(direct.prompts("frozen")[i, j], frozen.direct.numpy(), **close)
            np.testing.assert_allclose(total.prompts("total")[i, j], live.total.numpy(), **close)
            # The last token is the same in both runs, and what reads nothing but it brings nothing else.
            of_one_token = {"embed", "mlp 0"} if causal.parts.is_parallel(model) else {"embed"}
            silent = destination == "unembed" and source in of_one_token
            assert (live.direct.abs().max().item() < 1e-6) == silent
    assert measured > 20


@pytest.mark.parametrize("mode", ["q", "k", "v"])
def test_total_effects_are_those_of_transformer_lens(transparent, model, prompts, mode):
    """Its own sweep patches from clean into a corrupt run: hand it the two runs the other way round."""
    if mode != "q" and len(model.blocks[0].attn.W_K) < model.cfg.n_heads:
        pytest.skip("TransformerLens patches no shared keys or values")
    _, clean = model.run_with_cache(prompts.tokens)
    _, corrupt = model.run_with_cache(prompts.fresh)
    metric = lambda logits: causal.metric.difference(logits[:, -1], prompts.right, prompts.wrong).mean()  # noqa: E731
    theirs = patching.get_act_patch_direct_path(
        model, prompts.tokens, corrupt, clean, metric, 0, 2, component=mode, verbose=False
    )
    names = [f"L{layer}H{head} {mode.upper()}" for layer in range(1, model.cfg.n_layers) for head in range(5)]
    ours = causal.total_effects(model, prompts, sources=["L0H2"], destinations=names, progress=False)
    expected = metric(model(prompts.tokens)) - theirs[1:, :5].flatten()
    assert expected.abs().max() > 1e-4
    np.testing.assert_allclose(ours.effect("total")[0], expected.numpy(), atol=1e-5)


def test_normalised_is_the_fall_over_what_corruption_does(model, prompts):
    found = causal.total_effects(model, prompts, sources=["mlp 0"], destinations=["unembed"], progress=False)
    damage = causal.logit_difference(model, prompts) - causal.logit_difference(model, prompts, prompts.fresh)
    np.testing.assert_allclose(found.prompts("normalised") * damage.numpy(), found.prompts("total"), atol=1e-5)


def test_positions_write_the_same_in_both_runs(small_models, prompts_of):
    model = small_models["gpt2"]
    found = causal.direct_effects(model, prompts_of(model), sources=["pos_embed"], progress=False)
    assert np.abs(found.effect("live")).max() < 1e-6


def test_what_is_corrupted_nowhere_changes_nothing_before(model, prompts):
    """A writer's change is zero at every position before the first token that differs."""
    from rsutils.causal.runs import run_both

    runs = run_both(model, prompts, "swapped")
    before = ~prompts.touched("swapped")
    assert before[:, 1:].any()
    change = runs.change(causal.writers(model)[0])
    assert change[before].abs().max() == 0 < change.abs().max()


@pytest.mark.parametrize("measure", [causal.direct_effects, causal.total_effects])
def test_batches_do_not_change_anything(model, prompts, measure, monkeypatch):
    froms, tos = some_edges(model)
    whole = measure(model, prompts, sources=froms, destinations=tos, progress=False)
    monkeypatch.setattr(causal.edges, "TOKENS", 2 * prompts.tokens.shape[1])
    monkeypatch.setattr(causal.edges, "ROWS", 4 * prompts.tokens.shape[1])
    batched = measure(model, prompts, sources=froms, destinations=tos, progress=False)
    for metric in set(whole.metrics) - {"normalised"}:  # which divides by what may be next to nothing
        np.testing.assert_allclose(batched.prompts(metric), whole.prompts(metric), atol=1e-5, rtol=1e-3)


def test_an_interruption_keeps_what_is_computed(small_models, prompts_of, monkeypatch):
    model = small_models["llama"]
    prompts = prompts_of(model)
    whole = causal.direct_effects(model, prompts, sources=["L0H1", "L0H2"], destinations=["L1H0 Q"], progress=False)
    change, calls = causal.runs.Runs.change, []

    def interrupted(runs, writer):
        calls.append(writer)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return change(runs, writer)

    monkeypatch.setattr(causal.runs.Runs, "change", interrupted)
    found = causal.direct_effects(model, prompts, sources=["L0H1", "L0H2"], destinations=["L1H0 Q"], progress=False)
    assert not found.complete
    assert found.said().startswith("Interrupted")
    np.testing.assert_array_equal(found.prompts("live")[0], whole.prompts("live")[0])
    assert np.isnan(found.prompts("live")[1]).all()
    assert len(found.table()) == 1


def test_a_family_that_is_not_covered_says_why_in_one_line(uncovered):
    model, why = uncovered
    prompts = causal.repeated(model, 2, lags=(13, 17))
    for measure in (causal.direct_effects, causal.total_effects):
        with pytest.raises(rsutils.CourseError, match=why):
            measure(model, prompts, destinations=["L1H0 Q"], progress=False)
    removed = causal.ablation_effects(model, prompts, ["L0H1"], progress=False)
    assert np.abs(removed.values["zero"]).max() > 0


def test_nothing_is_in_the_way_of_the_covered_families(model):
    assert causal.in_the_way(model) == ""


def test_what_is_in_the_way_is_known_before_anything_is_measured(uncovered):
    assert causal.in_the_way(uncovered[0])
