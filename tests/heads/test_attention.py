"""Scores by role, ablations and token tables, against patterns made by hand and against the model itself."""

import numpy as np
import pytest
import shapes
import torch
from transformer_lens import head_detector

import rsutils
from rsutils import heads, models

LENGTH = 13


@pytest.fixture
def ids(model):
    return heads.repeated_tokens(model, LENGTH, batch=3)


def test_repeated_tokens_are_bos_and_a_span_twice(model, ids):
    assert ids.shape == (3, 2 * LENGTH + 1)
    assert (ids[:, 0] == model.tokenizer.bos_token_id).all()
    assert torch.equal(ids[:, 1 : LENGTH + 1], ids[:, LENGTH + 1 :])
    assert all(len(set(row.tolist())) == LENGTH + 1 for row in ids)
    assert not torch.equal(ids[0], ids[1])
    assert torch.equal(ids, heads.repeated_tokens(model, LENGTH, batch=3))


def test_too_long_a_span_gets_one_line(small_models):
    with pytest.raises(rsutils.CourseError, match="a length from 2 to 30, got 31"):
        heads.repeated_tokens(small_models["llama"], 31)


@shapes.every_family
def test_attend_gives_patterns_and_the_loss_on_the_second_copy(model, ids):
    pattern, loss = heads.attend(model, ids)
    assert pattern.shape == (model.cfg.n_layers, 3, model.cfg.n_heads, 2 * LENGTH + 1, 2 * LENGTH + 1)
    torch.testing.assert_close(pattern.sum(-1), torch.ones(pattern.shape[:-1]))
    log_probs = model(ids).log_softmax(-1)
    losses = [-log_probs[row, pos - 1, ids[row, pos]] for row in range(3) for pos in range(LENGTH + 2, 2 * LENGTH + 1)]
    torch.testing.assert_close(loss, torch.stack(losses).mean())


@pytest.mark.parametrize("role", ["previous token", "duplicate token", "induction"])
def test_scores_look_where_the_detector_of_transformer_lens_looks(small_models, role):
    """A pattern made of the detector's own cells scores one in its role, and next to nothing in the others."""
    ids = heads.repeated_tokens(small_models["gpt2"], LENGTH, batch=1)
    name = {"induction": "induction_head"}.get(role, role.replace(" ", "_") + "_head")
    get = getattr(head_detector, f"get_{name}_detection_pattern")
    cells = get(ids)[None, None, None]
    scores = heads.head_scores(cells)
    assert scores.pop(role).item() == 1
    assert max(score.item() for score in scores.values()) == 0


def test_scores_average_over_batch_and_second_copy_only():
    pattern = torch.zeros(2, 3, 5, 2 * LENGTH + 1, 2 * LENGTH + 1)
    pattern[1, 0, 4, 2 * LENGTH, LENGTH + 1] = 0.6  # the last token of the second copy, one row of three
    pattern[0, 0, 0, LENGTH, 1] = 1  # a query of the first copy does not count
    induction = heads.head_scores(pattern)["induction"]
    assert induction[1, 4].item() == pytest.approx(0.6 / 3 / LENGTH)
    assert induction.count_nonzero() == 1


def test_best_role_reads_layer_and_head_from_the_label():
    scores = {role: torch.zeros(12, 13) for role in ("previous token", "duplicate token", "induction")}
    scores["duplicate token"][2, 11], scores["induction"][11, 2], scores["induction"][2, 11] = 0.75, 0.5, 0.25
    assert heads.best_role(scores, "L2H11") == ("duplicate token", 0.75)
    assert heads.best_role(scores, "L11H2") == ("induction", 0.5)


def test_mean_ablated_replaces_one_head_by_its_mean(model, ids):
    name = "blocks.1.attn.hook_z"
    _, intact = model.run_with_cache(ids, names_filter=name)
    with heads.mean_ablated(model, 1, 3):
        _, cache = model.run_with_cache(ids, names_filter=lambda name: name.endswith(("hook_attn_out", "hook_scale")))
    attn, z = model.blocks[1].attn, intact[name].clone()
    z[:, :, 3] = z[:, :, 3].mean(dim=(0, 1))
    out = torch.einsum("bphd,hdm->bpm", z, attn.W_O) + (0 if attn.b_O is None else attn.b_O)
    written = cache["blocks.1.hook_attn_out"] * models.writer_scale(model, cache, 1, "attn")
    torch.testing.assert_close(written, out, atol=2e-5, rtol=0)
    _, after = model.run_with_cache(ids, names_filter=name)
    torch.testing.assert_close(after[name], intact[name])


def both_means(z, first, second):
    z = z.clone()
    for head in (first, second):
        z[:, :, head] = z[:, :, head].mean(dim=(0, 1))
    return z


def test_two_heads_are_ablated_by_one_context_inside_the_other(model, ids):
    """In one layer both become their means; in two layers the later mean is that of what the earlier ablation left."""
    name, later = "blocks.1.attn.hook_z", "blocks.2.attn.hook_z"
    logits, intact = model.run_with_cache(ids, names_filter=name)
    with heads.mean_ablated(model, 1, 3), heads.mean_ablated(model, 1, 0):
        _, cache = model.run_with_cache(ids, names_filter=[name, later])
    torch.testing.assert_close(cache[name], both_means(intact[name], 3, 0), atol=2e-5, rtol=0)
    with heads.mean_ablated(model, 2, 4):
        with heads.mean_ablated(model, 1, 3):
            _, inner = model.run_with_cache(ids, names_filter=[name, later])
        _, outer = model.run_with_cache(ids, names_filter=[name, later])
    with heads.mean_ablated(model, 1, 3), heads.mean_ablated(model, 2, 4):
        _, turned = model.run_with_cache(ids, names_filter=[name, later])
    for hook in (name, later):
        assert torch.equal(inner[hook], turned[hook])
    assert inner[later][:, :, 4].std(dim=(0, 1)).max() < 1e-5 < inner[later][:, :, 3].std(dim=(0, 1)).min()
    assert torch.equal(outer[name], intact[name])
    assert outer[later][:, :, 4].std(dim=(0, 1)).max() < 1e-5
    assert torch.equal(model(ids), logits)


def test_an_error_inside_the_context_leaves_nothing_behind(model, ids):
    before = model(ids)
    with pytest.raises(KeyError), heads.mean_ablated(model, 1, 3):
        raise KeyError
    assert torch.equal(model(ids), before)


def test_patterns_of_any_text_are_the_models(model):
    ids = models.tokens(model, "hello")
    _, cache = model.run_with_cache(ids, names_filter="blocks.1.attn.hook_pattern")
    assert torch.equal(heads.patterns(model, ids)[1], cache["blocks.1.attn.hook_pattern"])


def test_effects_are_those_of_one_ablation_at_a_time(model, ids):
    found = heads.ablate_each_head(model, ids)
    n_heads = model.cfg.n_heads
    before, loss = heads.attend(model, ids)
    with heads.mean_ablated(model, 1, 2):
        after, loss_without = heads.attend(model, ids)
    source, destination = n_heads + 2, 2 * n_heads + 4
    change = (after - before)[2, :, 4, LENGTH + 1 :]
    assert found.pattern[source, destination].item() == pytest.approx(change.abs().sum(-1).mean().item() / 2, rel=1e-4)
    drop = (heads.head_scores(before)["induction"] - heads.head_scores(after)["induction"])[2, 4]
    assert found.induction[source, destination].item() == pytest.approx(drop.item(), abs=1e-6)
    assert found.loss[source].item() == pytest.approx((loss_without - loss).item(), abs=1e-5)
    layer = torch.arange(len(found.loss)) // n_heads
    assert torch.equal(found.pattern.isnan(), layer[:, None] >= layer)
    assert found.pattern.nan_to_num(1).min() > 0  # every head changes every later one at least a little


def test_qk_table_is_the_models_scores_between_embeddings(small_models):
    """Feed the embeddings themselves to layer 0: the scores are the table's, up to biases, which are zero here."""
    model = small_models["llama"]
    text = "abcdef"
    ids = models.tokens(model, text)
    name = "blocks.0.attn.hook_attn_scores"
    _, cache = model.run_with_cache(ids, names_filter=name)
    found = heads.token_table(model, text, 0, 5, "QK")
    assert found.words == model.to_str_tokens(ids[0], prepend_bos=False)
    torch.testing.assert_close(
        cache[name][0, 5].diagonal(-1), found.values.diagonal(-1), atol=0, rtol=2e-4
    )  # the norm has an epsilon


def test_ov_table_is_the_change_of_logits(model):
    """Row = attended token; the columns are relative to the mean over the vocabulary."""
    found = heads.token_table(model, "hello", 1, 4, "OV")
    words, table = found.words, found.values
    assert len(words) == len(set(words)) == table.shape[0] == table.shape[1]
    attn = model.blocks[1].attn
    group = 4 * len(attn.W_K) // len(attn.W_Q)
    token = model.to_tokens(words[1], prepend_bos=False)[0, 0]
    x = model.W_E[token] / model.W_E[token].square().mean().sqrt()
    logits = x @ attn.W_V[group] @ attn.W_O[4] @ model.W_U
    other = model.to_tokens(words[2], prepend_bos=False)[0, 0]
    assert table[1, 2].item() == pytest.approx((logits[other] - logits.mean()).item(), abs=1e-4)


def test_published_heads_are_listed_for_gpt2_small_only(model, monkeypatch):
    assert heads.published_heads(model) == {}
    monkeypatch.setattr(model, "info", models.ModelInfo("gpt2", "Hugging Face hub", "", 0, True, True))
    labels = [f"L{layer}H{head}" for layer in range(12) for head in range(12)]
    assert {head for found in heads.published_heads(model).values() for head in found} <= set(labels)


def test_a_deeper_head_never_changes_an_earlier_one(small_models):
    """The NaN mask of composition and of effects is one and the same, so that they can be correlated."""
    model = small_models["mistral"]
    found = heads.ablate_each_head(model, heads.repeated_tokens(model, 5, batch=1))
    scores = heads.composition(heads.circuits(model))
    assert np.array_equal(found.pattern.isnan().numpy(), np.isnan(scores["K"].z))
