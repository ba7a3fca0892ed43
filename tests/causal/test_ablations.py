"""Each way of removing a part is what a run with its output replaced gives."""

import numpy as np
import pytest
import torch

from rsutils import causal
from rsutils.causal.metric import difference

N = 4


@pytest.fixture
def prompts(model):
    return causal.repeated(model, N, lags=(13, 17))


def by_hand(model, prompts, name, replace, head=None):
    def hook(x, hook):
        new = x.clone()
        at = (slice(None), slice(None), head) if head is not None else slice(None)
        new[at] = replace(x[at])
        return new

    logits = model.run_with_hooks(prompts.tokens, fwd_hooks=[(name, hook)])[:, -1]
    fall = causal.logit_difference(model, prompts) - difference(logits, prompts.right, prompts.wrong)
    return fall.numpy()


def test_every_way_is_a_run_with_the_output_replaced(model, prompts, monkeypatch):
    monkeypatch.setattr(causal.ablations, "ROWS", 2 * prompts.tokens.shape[1])
    found = causal.ablation_effects(model, prompts, ["embed", "L1H2", "mlp 0"], progress=False)
    assert found.parts == ["embed", "mlp 0", "L1H2"]
    places = [("hook_embed", None), ("blocks.0.hook_mlp_out", None), ("blocks.1.attn.hook_z", 2)]
    for i, (name, head) in enumerate(places):
        other = {}
        for which in ("fresh", "swapped"):
            _, cache = model.run_with_cache(getattr(prompts, which), names_filter=name)
            other[which] = cache[name] if head is None else cache[name][:, :, head]
        expected = {
            "zero": torch.zeros_like,
            "mean": lambda x: x.mean(dim=(0, 1)),
            "mean by position": lambda x: x.mean(dim=0),
            "resampled": lambda x: x[[3, 0, 1, 2]],
            "fresh": lambda x, other=other: other["fresh"],
            "swapped": lambda x, other=other: other["swapped"],
        }
        assert list(found.values) == list(causal.WAYS) == list(expected)
        for way, replace in expected.items():
            hand = by_hand(model, prompts, name, replace, head)
            np.testing.assert_allclose(found.values[way][i], hand, atol=2e-5)
            assert np.abs(hand).max() > 1e-5


def test_replacing_the_embedding_does_all_of_the_damage(model, prompts):
    found = causal.ablation_effects(model, prompts, ["embed"], progress=False)
    damage = causal.logit_difference(model, prompts) - causal.logit_difference(model, prompts, prompts.fresh)
    np.testing.assert_allclose(found.values["fresh"][0], damage.numpy(), atol=2e-5)


def test_ways_agree_with_themselves_and_the_table_names_the_parts(model, prompts):
    found = causal.ablation_effects(model, prompts, progress=False)
    agreement = found.agreement()
    assert np.allclose(np.diag(agreement), 1)
    assert np.allclose(agreement, agreement.T)
    assert list(found.table().index) == [part.name for part in causal.writers(model)]
    name, effect = found.top("zero", 1)[0]
    assert abs(effect) == found.table()["zero"].abs().max() and found.table()["zero"][name] == effect
