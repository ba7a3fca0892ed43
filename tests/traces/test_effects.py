"""What writes are worth over many prompts is what running each prompt whole, one at a time, says."""

import pytest
import torch
from transformer_lens.tools.analysis import direct_logit_attribution

import rsutils
from rsutils import traces

# two lengths, in an order that grouping by length has to undo
PROMPTS = ["Mary and John, to", "Anna or Lucy and Paul, to", "John and Mary, to", "Lucy or Paul and Anna, to"]


@pytest.fixture
def pairs(model):
    return [traces.contrast(model, prompt, " Mary", " John") for prompt in PROMPTS]


def test_cut_and_attributed_as_prompt_by_prompt(model, pairs):
    found = traces.worth(model, pairs)
    runs = [traces.trace(model, pair.tokens) for pair in pairs]
    mean = torch.stack([run.writes[:, -1] for run in runs]).mean(dim=0)
    assert found.names == runs[0].names
    for at, (pair, run) in enumerate(zip(pairs, runs, strict=True)):
        direct = direct_logit_attribution(model, None, pair.right, pair.wrong, cache=run.cache).attribution
        torch.testing.assert_close(found.attributed[at], direct, atol=2e-4, rtol=1e-4)
        gap = pair.gap(run.logits[-1])
        for index in (0, len(run.names) - 2):
            cut = traces.zero_ablated(run, run.names[index], len(run.labels) - 1)
            drop = gap - pair.gap(cut.logits[-1])
            torch.testing.assert_close(found.zeroed[at, index], drop, atol=2e-4, rtol=1e-4)
        last = run.writes[-1, -1]
        through = model.unembed(model.ln_final((run.streams[-1, -1] - last + mean[-1])[None, None]))[0, 0]
        torch.testing.assert_close(found.averaged[at, -1], gap - pair.gap(through), atol=2e-4, rtol=1e-4)


def test_what_a_write_has_beyond_its_mean_averages_out(model, pairs):
    """On prompts with one scale the mean's part would be the same; what is centred vanishes where all writes agree."""
    found = traces.worth(model, pairs)
    same = traces.worth(model, [pairs[0], pairs[0]])
    assert same.centred.abs().max() < 1e-4 and same.averaged.abs().max() < 1e-4
    assert same.zeroed.abs().max() > 1e-2 and not torch.allclose(found.centred, found.attributed, atol=1e-2)


def test_one_prompt_has_no_mean(embedded):
    pair = traces.contrast(embedded, "to", " Mary", " John")
    with pytest.raises(rsutils.CourseError, match="two prompts or more"):
        traces.worth(embedded, [pair])
