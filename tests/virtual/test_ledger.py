"""The ledger closes on every architecture, down to single neurons, and effects are what direct computation gives."""

import pytest
import torch

import rsutils
from rsutils import virtual
from rsutils.models import load_model, tokens
from rsutils.virtual import ledger

TEXT, OTHER = "The cat sat on the mat.", "A dog ran home"


@pytest.fixture
def cache(model):
    return virtual.record(model, TEXT)


def test_terms_and_bias_sum_to_the_models_own_pre_activation(model, cache):
    for layer in range(model.cfg.n_layers):
        for reader in virtual.readers(model):
            labels, terms, pre = virtual.neuron_ledger(model, cache, layer, 23, reader)
            assert terms.shape == (len(labels), tokens(model, TEXT).shape[1])
            torch.testing.assert_close(terms.sum(dim=0), pre, atol=2e-5, rtol=0)
            assert pre.abs().max() > 0.1


def test_no_component_is_left_out_or_from_the_future(small_models):
    def labels(kind, layer):
        return virtual.neuron_ledger(small_models[kind], virtual.record(small_models[kind], TEXT), layer, 0).labels

    assert labels("gpt2", 1) == ["embed", "pos_embed", "0_attn_out", "0_mlp_out", "1_attn_out", "bias"]
    assert labels("llama", 1) == ["embed", "0_attn_out", "0_mlp_out", "1_attn_out", "bias"]
    assert labels("gpt_neox", 1) == ["embed", "0_attn_out", "0_mlp_out", "bias"]
    assert labels("gpt_neox", 0) == ["embed", "bias"]


def test_the_gate_is_a_ledger_of_its_own(small_models):
    model = small_models["qwen2"]
    _, full = model.run_with_cache(tokens(model, TEXT))
    cache = virtual.record(model, TEXT)
    for reader, hook in (("gate", "hook_pre"), ("in", "hook_pre_linear")):
        torch.testing.assert_close(
            virtual.neuron_ledger(model, cache, 2, 5, reader).pre, full[f"blocks.2.mlp.{hook}"][0, :, 5]
        )


def test_neurons_of_an_mlp_and_its_bias_sum_to_its_term(model, cache):
    for reader in virtual.readers(model):
        labels, terms, _ = virtual.neuron_ledger(model, cache, 2, 23, reader)
        for source in (0, 1):
            split = virtual.neuron_terms(model, cache, source, 2, 23, reader)
            assert split.shape[0] == 72
            torch.testing.assert_close(split.sum(dim=0), terms[labels.index(f"{source}_mlp_out")], atol=1e-5, rtol=0)


def test_drivers_are_the_largest_terms_of_all_earlier_neurons(model, cache):
    found = virtual.drivers(model, cache, 2, 23, position=-1, k=7)
    terms = torch.stack([virtual.neuron_terms(model, cache, i, 2, 23)[:-1, -1] for i in (0, 1)])
    torch.testing.assert_close(
        torch.tensor([abs(d.term) for d in found]), terms.abs().flatten().sort().values[-7:].flip(0)
    )
    scale = cache["blocks.2.ln2.hook_scale"][-1].item()
    for d in found:
        assert d.term == pytest.approx(d.activation * d.weight / scale, abs=1e-6)
        assert d.weight == pytest.approx(virtual.virtual_weights(model, d.layer, 2)[d.neuron, 23].item(), abs=1e-6)


def test_activation_weighted_is_the_root_mean_square_term(model, cache):
    weighted = virtual.activation_weighted(model, cache, 0, 2)
    split = virtual.neuron_terms(model, cache, 0, 2, 23)[:-1]
    torch.testing.assert_close(weighted[:, 23].abs(), split.square().mean(dim=1).sqrt(), atol=1e-6, rtol=1e-4)
    assert (weighted.sign() == virtual.virtual_weights(model, 0, 2).sign()).float().mean() > 0.99


def test_measured_weights_are_the_product_of_the_weights_on_every_text(model):
    for reader in virtual.readers(model):
        V = virtual.virtual_weights(model, 0, 2, reader=reader)
        for text in (TEXT, OTHER):
            measured = virtual.measured_weights(model, text, 0, 19, 2, reader)
            torch.testing.assert_close(measured, V[19].expand_as(measured), atol=2e-4, rtol=0)


def test_frozen_effect_is_the_ledgers_term(model, cache):
    for reader in virtual.readers(model):
        frozen = virtual.effect(model, TEXT, 0, 2, reader).frozen
        labels, terms, _ = virtual.neuron_ledger(model, cache, 2, 23, reader)
        torch.testing.assert_close(frozen[:, 23], terms[labels.index("0_mlp_out")], atol=1e-5, rtol=0)


def test_direct_effect_is_the_norm_and_reader_applied_without_the_source(model):
    _, full = model.run_with_cache(tokens(model, TEXT))
    stream = full["blocks.2.hook_resid_pre" if model.cfg.parallel_attn_mlp else "blocks.2.hook_resid_mid"]
    for reader in virtual.readers(model):
        W = virtual.read_weights(model, 2, reader)
        with_source, without = (model.blocks[2].ln2(x) @ W for x in (stream, stream - full["blocks.0.hook_mlp_out"]))
        found = virtual.effect(model, TEXT, 0, 2, reader)
        torch.testing.assert_close(found.direct, (with_source - without)[0], atol=2e-5, rtol=0)
        assert (found.direct - found.frozen).norm() > 0.01 * found.frozen.norm()


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "llama"])
def test_total_effect_is_that_of_a_model_whose_source_writes_nothing(directories, kind):
    own = load_model(directories[kind])
    found = virtual.effect(own, TEXT, 0, 2).total
    hook = ledger.pre_hook(own, 2, "in")
    before = own.run_with_cache(tokens(own, TEXT))[1][hook][0]
    for weight in (own.blocks[0].mlp.W_out, own.blocks[0].mlp.b_out):
        if weight is not None:
            weight.zero_()
    after = own.run_with_cache(tokens(own, TEXT))[1][hook][0]
    torch.testing.assert_close(found, before - after, atol=1e-5, rtol=0)


def test_effects_leave_the_model_as_it_was(model):
    before = model(tokens(model, TEXT))
    virtual.effect(model, TEXT, 0, 1)
    assert not model.cfg.use_hook_mlp_in
    assert torch.equal(model(tokens(model, TEXT)), before)


def test_bars_are_the_ledger(model, cache):
    labels, terms, pre = virtual.neuron_ledger(model, cache, 1, 23)
    fig = virtual.figures.draw_ledger(model, TEXT, layer=1, neuron=23, position=4)
    torch.testing.assert_close(torch.tensor(fig.data[0].y), terms[:, 4])
    assert list(fig.data[0].x) == labels
    assert f"{pre[4]:+.2f}" in fig.words
    drawn = virtual.figures.draw_drivers(model, TEXT, layer=2, neuron=23, position=4, k=5)
    found = virtual.drivers(model, cache, 2, 23, 4, k=5)
    assert [str(x) for x in drawn.data[0].x] == [f"{d.layer}.{d.neuron}" for d in found]
    assert drawn.data[0].y.tolist() == pytest.approx([d.term for d in found])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: virtual.figures.draw_ledger(m, TEXT, 1, 71, 0), "expected a neuron from 0 to 70, got 71"),
        (lambda m: virtual.figures.draw_ledger(m, TEXT, 3, 0, 0), "expected a layer from 0 to 2"),
        (lambda m: virtual.figures.draw_ledger(m, "ab", 1, 0, 30), "choose a position below"),
        (lambda m: virtual.figures.draw_drivers(m, TEXT, 0, 0, 0), "no MLP comes before MLP 0"),
        (lambda m: virtual.effect(m, TEXT, 1, 1), "source layer below the destination layer, got 1 -> 1"),
        (lambda m: virtual.effect(m, "", 0, 1), "expected some text"),
    ],
)
def test_bad_input_gets_one_line(small_models, call, message):
    with pytest.raises(rsutils.CourseError, match=message):
        call(small_models["gpt2"])
