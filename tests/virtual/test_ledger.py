"""The ledger closes on every architecture, down to single neurons, and effects are what direct computation gives."""

import pytest
import shapes
import torch

import rsutils
from rsutils import virtual
from rsutils.models import load_model, norms, tokens
from rsutils.virtual import Neuron
from rsutils.virtual.ledger import pre_hook

TEXT, OTHER = "The cat sat on the mat.", "A dog ran home"


@pytest.fixture
def run(model):
    return virtual.record(model, TEXT)


@shapes.every_family
def test_terms_and_bias_sum_to_the_models_own_pre_activation(model, run):
    for layer in range(model.cfg.n_layers):
        for reader in virtual.reader_names(model):
            labels, terms, pre = virtual.neuron_ledger(model, run, Neuron(layer, 23, reader))
            assert terms.shape == (len(labels), tokens(model, TEXT).shape[1])
            torch.testing.assert_close(terms.sum(dim=0), pre, atol=2e-5, rtol=0)
            assert pre.abs().max() > 0.1


def test_no_component_is_left_out_or_from_the_future(small_models):
    def labels(kind, layer):
        return virtual.neuron_ledger(
            small_models[kind], virtual.record(small_models[kind], TEXT), Neuron(layer, 0)
        ).labels

    assert labels("gpt2", 1) == ["embed", "pos_embed", "0_attn_out", "0_mlp_out", "1_attn_out", "bias"]
    assert labels("llama", 1) == ["embed", "0_attn_out", "0_mlp_out", "1_attn_out", "bias"]
    assert labels("gpt_neox", 1) == ["embed", "0_attn_out", "0_mlp_out", "bias"]
    assert labels("gpt_neox", 0) == ["embed", "bias"]


def test_the_gate_is_a_ledger_of_its_own(small_models):
    model = small_models["qwen2"]
    _, full = model.run_with_cache(tokens(model, TEXT))
    run = virtual.record(model, TEXT)
    for reader, hook in (("gate", "hook_pre"), ("in", "hook_pre_linear")):
        torch.testing.assert_close(
            virtual.neuron_ledger(model, run, Neuron(2, 5, reader)).pre, full[f"blocks.2.mlp.{hook}"][0, :, 5]
        )


def test_neurons_of_an_mlp_and_its_bias_sum_to_its_term(model, run):
    for reader in virtual.reader_names(model):
        labels, terms, _ = virtual.neuron_ledger(model, run, Neuron(2, 23, reader))
        for source in (0, 1):
            split = virtual.neuron_terms(model, run, source, Neuron(2, 23, reader))
            assert split.shape[0] == 72
            torch.testing.assert_close(split.sum(dim=0), terms[labels.index(f"{source}_mlp_out")], atol=1e-5, rtol=0)


def test_drivers_are_the_largest_terms_of_all_earlier_neurons(model, run):
    found = virtual.drivers(model, run, Neuron(2, 23), position=len(run.tokens) - 1, k=7)
    terms = torch.stack([virtual.neuron_terms(model, run, i, Neuron(2, 23))[:-1, -1] for i in (0, 1)])
    torch.testing.assert_close(
        torch.tensor([abs(d.term) for d in found]), terms.abs().flatten().sort().values[-7:].flip(0)
    )
    scale = run.cache["blocks.2.ln2.hook_scale"][-1].item()
    for d in found:
        assert d.term == pytest.approx(d.activation * d.weight / scale, abs=1e-6)
        assert d.weight == pytest.approx(
            virtual.virtual_weights(model, d.source.layer, 2)[d.source.index, 23].item(), abs=1e-6
        )


def test_activation_weighted_is_the_root_mean_square_term(model, run):
    weighted = virtual.activation_weighted(model, run, 0, 2)
    split = virtual.neuron_terms(model, run, 0, Neuron(2, 23))[:-1]
    torch.testing.assert_close(weighted[:, 23].abs(), split.square().mean(dim=1).sqrt(), atol=1e-6, rtol=1e-4)
    assert (weighted.sign() == virtual.virtual_weights(model, 0, 2).sign()).float().mean() > 0.99


def test_measured_weights_are_the_product_of_the_weights_on_every_text(model):
    for reader in virtual.reader_names(model):
        V = virtual.virtual_weights(model, 0, 2, reader=reader)
        for text in (TEXT, OTHER):
            measured = virtual.measured_weights(model, text, Neuron(0, 19), 2, reader)
            torch.testing.assert_close(measured, V[19].expand_as(measured), atol=2e-4, rtol=0)


def test_frozen_effect_is_the_ledgers_term(model, run):
    for reader in virtual.reader_names(model):
        frozen = virtual.path_patching(model, TEXT, 0, 2, reader).frozen
        labels, terms, _ = virtual.neuron_ledger(model, run, Neuron(2, 23, reader))
        torch.testing.assert_close(frozen[:, 23], terms[labels.index("0_mlp_out")], atol=1e-5, rtol=0)


def test_direct_effect_is_the_norm_and_reader_applied_without_the_source(model):
    _, full = model.run_with_cache(tokens(model, TEXT))
    stream = full["blocks.2.hook_resid_pre" if model.cfg.parallel_attn_mlp else "blocks.2.hook_resid_mid"]
    for reader in virtual.reader_names(model):
        W = virtual.read_weights(model, 2, reader)
        with_source, without = (model.blocks[2].ln2(x) @ W for x in (stream, stream - full["blocks.0.hook_mlp_out"]))
        found = virtual.path_patching(model, TEXT, 0, 2, reader)
        torch.testing.assert_close(found.direct, (with_source - without)[0], atol=2e-5, rtol=0)
        moves = (found.direct - found.frozen).norm() > 0.01 * found.frozen.norm()
        assert moves == any(norm is model.blocks[2].ln2 for norm, _ in norms(model))  # without a norm, no scale to move


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "llama"])
def test_total_effect_is_that_of_a_model_whose_source_writes_nothing(directories, kind):
    own = load_model(directories[kind])
    found = virtual.path_patching(own, TEXT, 0, 2).total
    hook = pre_hook(own, 2, "in")
    before = own.run_with_cache(tokens(own, TEXT))[1][hook][0]
    for weight in (own.blocks[0].mlp.W_out, own.blocks[0].mlp.b_out):
        if weight is not None:
            weight.zero_()
    after = own.run_with_cache(tokens(own, TEXT))[1][hook][0]
    torch.testing.assert_close(found, before - after, atol=1e-5, rtol=0)


def test_effects_leave_the_model_as_it_was(model):
    before = model(tokens(model, TEXT))
    virtual.path_patching(model, TEXT, 0, 1)
    assert not model.cfg.use_hook_mlp_in
    assert torch.equal(model(tokens(model, TEXT)), before)


def test_path_patching_leaves_the_model_as_it_was_when_a_run_fails(small_models, monkeypatch):
    model = small_models["gpt2"]
    before = model(tokens(model, TEXT))
    monkeypatch.setattr(torch, "zeros_like", lambda x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        virtual.path_patching(model, TEXT, 0, 1)
    monkeypatch.undo()
    assert not model.cfg.use_hook_mlp_in
    assert torch.equal(model(tokens(model, TEXT)), before)


def test_path_patching_keeps_what_was_switched_on_before(small_models):
    model = small_models["gpt2"]
    model.set_use_hook_mlp_in(True)
    try:
        virtual.path_patching(model, TEXT, 0, 1)
        assert model.cfg.use_hook_mlp_in
    finally:
        model.set_use_hook_mlp_in(False)


@pytest.mark.parametrize("source", ["embed", "pos_embed"])
def test_embeddings_are_sources_of_paths_too(small_models, source):
    model = small_models["gpt2"]
    found = virtual.path_patching(model, TEXT, source, 0)
    labels, terms, _ = virtual.neuron_ledger(model, virtual.record(model, TEXT), Neuron(0, 23))
    torch.testing.assert_close(found.frozen[:, 23], terms[labels.index(source)], atol=1e-5, rtol=0)
    W, stream = virtual.read_weights(model, 0), model.run_with_cache(tokens(model, TEXT))[1]
    cut = stream["blocks.0.hook_resid_mid"] - stream[f"hook_{source}"]
    direct = stream["blocks.0.mlp.hook_pre"] - (model.blocks[0].ln2(cut) @ W + model.blocks[0].mlp.b_in)
    torch.testing.assert_close(found.direct, direct[0], atol=2e-5, rtol=0)


def test_a_record_names_each_token_of_its_run(model):
    run = virtual.record(model, "a cat")
    assert run.tokens[-5:] == list("a cat")
    assert len(run.tokens) == run.cache["hook_embed"].shape[0]


def test_bars_are_the_ledger(model, run):
    neuron = Neuron(1, 23)
    found = virtual.neuron_ledger(model, run, neuron)
    fig = virtual.figures.ledger(found, neuron, run.tokens, 4)
    torch.testing.assert_close(torch.tensor(fig.data[0].y), found.terms[:, 4])
    assert list(fig.data[0].x) == found.labels
    assert f"MLP 1 neuron 23 at {run.tokens[4]!r} (token 4)" in fig.words and f"{found.pre[4]:+.2f}" in fig.words


def test_bars_are_the_drivers(model, run):
    neuron = Neuron(2, 23)
    found = virtual.drivers(model, run, neuron, 4, k=5)
    fig = virtual.figures.drivers(found, neuron, run.tokens, 4)
    assert [str(x) for x in fig.data[0].x] == [f"{d.source.layer}.{d.source.index}" for d in found]
    assert fig.data[0].y.tolist() == pytest.approx([d.term for d in found])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, run: virtual.neuron_ledger(m, run, Neuron(1, 71)), "expected a neuron from 0 to 70, got 71"),
        (lambda m, run: virtual.neuron_ledger(m, run, Neuron(1, -1)), "expected a neuron from 0 to 70, got -1"),
        (lambda m, run: virtual.neuron_ledger(m, run, Neuron(3, 0)), "expected a layer from 0 to 2, got 3"),
        (lambda m, run: virtual.neuron_ledger(m, run, Neuron(-1, 0)), "expected a layer from 0 to 2, got -1"),
        (lambda m, run: virtual.neuron_ledger(m, run, Neuron(1, 0, "gate")), "MLP readers .* got 'gate'"),
        (lambda m, run: virtual.neuron_terms(m, run, 1, Neuron(1, 0)), "source layer below .* got 1 -> 1"),
        (lambda m, run: virtual.drivers(m, run, Neuron(0, 0), 0), "others before it, got MLP 0"),
        (
            lambda m, run: virtual.drivers(m, run, Neuron(1, 0), 99),
            "expected a position from 0 to 2[0-9], got 99",
        ),
        (lambda m, run: virtual.drivers(m, run, Neuron(1, 0), 0, k=0), "1 or more for k=, got 0"),
        (lambda m, run: virtual.activation_weighted(m, run, 1, 0), "source layer below .* got 1 -> 0"),
        (lambda m, run: virtual.path_patching(m, TEXT, 1, 1), "source layer below .* got 1 -> 1"),
        (lambda m, run: virtual.path_patching(m, "", 0, 1), "expected some text"),
        (lambda m, run: virtual.measured_weights(m, TEXT, Neuron(0, 71), 1), "expected a neuron from 0 to 70, got 71"),
        (lambda m, run: virtual.record(m, "a" * 62), "at most 61"),
    ],
)
def test_bad_input_gets_one_line(small_models, call, message):
    model = small_models["gpt2"]
    with pytest.raises(rsutils.CourseError, match=message) as error:
        call(model, virtual.record(model, TEXT))
    assert "\n" not in str(error.value)
