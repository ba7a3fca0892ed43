"""What leads a head's attention: the split of its score is exact, and cutting one path leaves the others alone."""

import random

import numpy as np
import pytest
import shapes
import torch

import rsutils
from rsutils import heads, models
from training.batches import shuffled_tokens
from training.recipe import Recipe


@pytest.fixture(scope="module")
def embedded():
    return rsutils.load_model("embedded")


@pytest.fixture(scope="module")
def best(embedded):
    ids = heads.repeated_tokens(embedded, length=25)
    induction = heads.head_scores(heads.attend(embedded, ids)[0])["induction"]
    return ids, divmod(induction.argmax().item(), embedded.cfg.n_heads)


def skip_other_scores(model, layer):
    """By hand, a score is a product of a query and a key; some families do more to it."""
    for what, sentence in models.beyond_attention(model, layer).items():
        if what not in ("pairs", "no turns"):
            pytest.skip(f"this layer {sentence}")


@shapes.every_family
def test_the_terms_add_up_to_the_preference_that_the_model_computes(model):
    """On every family: with biases, rotary positions, shared keys, parallel blocks and norms after writers."""
    skip_other_scores(model, 2)
    ids = heads.repeated_tokens(model, length=11, batch=3)
    found = heads.split_preference(model, ids, 2, 1)
    pattern = heads.patterns(model, ids)[2, :, 1]
    expected = []
    for row in pattern.log():  # log of attention is the score less something that is the same for all keys
        for query in range(12, 23):
            keys = [key for key in range(query + 1) if key != query - 10]
            expected.append(row[query, query - 10] - row[query, keys].mean())
    assert found.measured == pytest.approx(torch.stack(expected).mean().item(), abs=1e-4)
    assert found.terms.sum().item() == pytest.approx(found.measured, abs=1e-4)
    n_sources = 2 * model.cfg.n_heads + 2 + 2 + ("pos_embed" in found.names)
    assert len(set(found.names)) == len(found.names) == n_sources
    assert found.names[-1] == "biases"


def test_an_induction_head_of_the_embedded_model_is_led_by_two_heads(embedded, best):
    found = heads.split_preference(embedded, best[0], *best[1])
    query, key = (found.names[each.argmax()] for each in (found.worth["Q"], found.worth["K"]))
    scores = heads.head_scores(heads.attend(embedded, best[0])[0])
    assert heads.best_role(scores, query)[0] == "duplicate token"
    assert heads.best_role(scores, key)[0] == "previous token"
    place = found.names.index(query), found.names.index(key)
    assert found.shares[place] > 0.9
    assert found.shares[found.names.index("embed"), place[1]] < 0.1


@pytest.mark.parametrize("mode", ["Q", "K"])
def test_a_cut_path_changes_one_input_alone(model, mode):
    """By hand for one pair: one input reads the stream without the source's message, the other the stream as it is."""
    skip_other_scores(model, 2)
    ids = heads.repeated_tokens(model, length=7, batch=2)
    found = heads.cut_each_path(model, ids, mode)
    _, cache = model.run_with_cache(ids)
    z = cache["z", 0][:, :, 1]
    told = (z - z.mean(dim=(0, 1))) @ model.blocks[0].attn.W_O[1]
    read = {"Q": cache["resid_pre", 2], "K": cache["resid_pre", 2]}
    read[mode] = read[mode] - told
    attn, head = model.blocks[2].attn, 4
    group = head * len(attn.W_K) // len(attn.W_Q)
    query, key = (model.blocks[2].ln1(read[each]) for each in "QK")
    query, key = query @ attn.W_Q[head], key @ attn.W_K[group]
    if attn.b_Q is not None:
        query, key = query + attn.b_Q[head], key + attn.b_K[group]
    n_pos = ids.shape[1]
    pattern = torch.zeros(len(ids), n_pos, n_pos)
    for q in range(n_pos):
        turned = torch.stack([heads.rotation(model, q - k) for k in range(q + 1)])
        scores = torch.einsum("bd,kde,bke->bk", query[:, q], turned, key[:, : q + 1]) / model.cfg.d_head**0.5
        pattern[:, q, : q + 1] = scores.softmax(-1)
    change = (pattern - cache["pattern", 2][:, head])[:, 8:].abs().sum(-1).mean() / 2
    place = 1, 2 * model.cfg.n_heads + head
    assert change > 1e-3
    assert found.pattern[place].item() == pytest.approx(change.item(), abs=1e-5)
    later = torch.arange(len(found.pattern)) // model.cfg.n_heads
    assert torch.equal(found.pattern.isnan(), later[:, None] >= later)


def test_on_the_embedded_model_each_path_matters_to_one_input_only(embedded, best):
    ids = heads.repeated_tokens(embedded, length=16, batch=2)
    to = best[1][0] * embedded.cfg.n_heads + best[1][1]
    moved = {mode: heads.cut_each_path(embedded, ids, mode).pattern[:4, to] for mode in ("Q", "K")}
    queries, keys = (moved[mode].argmax() for mode in ("Q", "K"))
    assert queries != keys
    assert moved["Q"][queries] > 0.9 > 0.1 > moved["K"][queries]
    assert moved["K"][keys] > 0.9 > 0.1 > moved["Q"][keys]


def test_a_checkpoint_induces_without_a_previous_token_head():
    early = rsutils.load_model("embedded@1600")
    pool = [i for i in range(early.cfg.d_vocab) if i != early.tokenizer.bos_token_id]
    random.Random(0).shuffle(pool)
    ids = heads.repeated_tokens(early, length=25, among=pool[:128])
    scores = heads.head_scores(heads.attend(early, ids)[0])
    assert scores["induction"].max() > 0.8
    assert scores["previous token"].max() < 0.1
    layer, head = divmod(scores["induction"].argmax().item(), 4)
    lost = heads.ablate_each_head(early, ids).induction[:4, layer * 4 + head].sort().values
    assert lost[-1] > 0.7
    assert lost[-2] < 0.1


def test_the_checkpoint_is_shown_the_tokens_that_its_training_began_with():
    early, recipe = rsutils.load_model("embedded@1600"), Recipe()
    pool = [i for i in range(early.cfg.d_vocab) if i != early.tokenizer.bos_token_id]
    random.Random(0).shuffle(pool)
    assert pool == shuffled_tokens(recipe, early.tokenizer)
    assert recipe.first_pool == 128


# The controls: pairs that cannot communicate, and directions drawn at random.


def test_the_control_has_the_pairs_that_composition_leaves_out(model):
    c = heads.circuits(model)
    causal, acausal = heads.composition(c), heads.composition(c, acausal=True)
    for mode in heads.MODES:
        assert np.array_equal(causal[mode].there, ~acausal[mode].there)
        for i, j in ((7, 3), (3, 3), (4, 3)):
            norm = (c.write[i].double() @ c.read[mode][j].double().T).norm().item()
            assert acausal[mode].norm[i, j] == pytest.approx(norm, rel=1e-5)


def test_turned_heads_keep_their_sizes_and_have_the_z_of_chance(embedded):
    c = heads.circuits(embedded)
    turned = heads.at_random(c)
    torch.testing.assert_close(torch.linalg.svdvals(turned.write), torch.linalg.svdvals(c.write), rtol=1e-3, atol=1e-4)
    assert torch.equal(turned.write, heads.at_random(c).write)
    z = np.concatenate([heads.composition(heads.at_random(c, seed))["K"].z.ravel() for seed in range(20)])
    z = z[~np.isnan(z)]
    assert abs(z.mean()) < 0.1
    assert abs(z.std() - 1) < 0.1
    assert (z > 3).mean() > 3 * (z < -3).mean(), "the null of a thin circuit is skewed"


# Words and pictures.


def test_a_model_of_which_no_head_plays_a_role_says_so(embedded):
    ids = heads.repeated_tokens(rsutils.load_model("embedded@0"), length=25)
    scores = heads.head_scores(heads.attend(rsutils.load_model("embedded@0"), ids)[0])
    for role in scores:
        assert heads.who_plays(scores, role).startswith(f"{role}: played by no head; the nearest, L")


def test_many_players_are_counted():
    scores = {"induction": torch.linspace(0.4, 0.9, 12)[None]}
    assert heads.who_plays(scores, "induction").endswith("L0H7 (0.72) and 4 more")


def test_figures_say_what_leads_a_head_and_what_pairs_that_cannot_talk_give(embedded, best):
    found = heads.split_preference(embedded, best[0], *best[1])
    drawn = heads.figures.split(found)
    assert "in the query with" in drawn.words and "100%" in drawn.words
    drawn = heads.figures.circuit(found)
    assert "leads the queries of L1H1" in drawn.words
    assert {trace.name for trace in drawn.data} >= {"queries", "keys"}
    c = heads.circuits(embedded)
    kinds = {"can": heads.composition(c)["K"].z, "cannot": heads.composition(c, acausal=True)["K"].z}
    drawn = heads.figures.controls(kinds, "K")
    assert "z beyond 3: 21% of the pairs that can, 28% of the pairs that cannot" in drawn.words
    with pytest.raises(rsutils.CourseError, match="none of some"):
        heads.figures.controls({"none": np.full((2, 2), np.nan)}, "K")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, ids: heads.split_preference(m, ids, 9, 0), "layer"),
        (lambda m, ids: heads.split_preference(m, ids, 1, -9), "head"),
        (lambda m, ids: heads.split_preference(m, ids[:, :-1], 1, 0), "a span twice"),
        (lambda m, ids: heads.cut_each_path(m, ids, "V"), "expected a mode among Q, K, got 'V'"),
        (lambda m, ids: heads.cut_each_path(m, ids[:, :-1], "K"), "a span twice"),
        (lambda m, ids: heads.repeated_tokens(m, 25, among=[5000]), "expected token ids from 0 to"),
        (lambda m, ids: heads.repeated_tokens(m, 25, among=range(1, 9)), "a length from 2 to"),
        (lambda m, ids: heads.who_plays({"induction": torch.ones(1, 2)}, "name mover"), "expected a role among"),
        (lambda m, ids: heads.at_random(heads.circuits(m), seed=-1), "a seed from 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(embedded, best, call, words):
    with pytest.raises(rsutils.CourseError, match=words) as caught:
        call(embedded, best[0])
    assert "\n" not in str(caught.value)
