"""Prompts are balanced, of one length, corrupted where they say, and a model that cannot do them says so."""

import numpy as np
import pytest
import torch

import rsutils
from rsutils import causal
from rsutils.causal.prompts import NAMES


@pytest.fixture(scope="module")
def names(embedded):
    return causal.names(embedded, 60)


def words(model, tokens):
    return [str(word).strip() for word in model.to_str_tokens(tokens)]


def test_names_are_balanced_and_of_one_length(embedded, names):
    assert len(names) == 60 and names.family == "names"
    assert names.tokens.shape == names.fresh.shape == names.swapped.shape
    first = []
    for row, right, wrong in zip(names.tokens, names.right, names.wrong, strict=True):
        people = [token for token in row.tolist() if embedded.to_string([token]).strip() in NAMES]
        assert people[2] == wrong and sorted(people[:2]) == sorted([right, wrong])
        first.append(people[0] == wrong)
    assert sum(first) == 30


def test_the_corruptions_of_names_change_three_tokens_and_one(names):
    for row in range(len(names)):
        fresh = set(names.fresh[row].tolist())
        assert (names.fresh[row] != names.tokens[row]).sum() == 3
        assert not {int(names.right[row]), int(names.wrong[row])} & fresh
        (at,) = (names.swapped[row] != names.tokens[row]).nonzero()
        assert names.tokens[row, at] == names.wrong[row] and names.swapped[row, at] == names.right[row]


def test_repeated_prompts_go_on_as_they_began(model):
    prompts = causal.repeated(model, 6, lags=(13, 17))
    for row, lag in enumerate((13, 17) * 3):
        tokens = prompts.tokens[row, 1:]
        again = len(tokens) - lag
        assert torch.equal(tokens[lag:], tokens[:again])
        assert tokens[again] == prompts.right[row] != prompts.wrong[row]
        assert tokens[again - 1] == tokens[-1]
        swapped, fresh = prompts.swapped[row, 1:], prompts.fresh[row, 1:]
        assert swapped[again] == prompts.wrong[row]
        assert (swapped != tokens).sum() == 2
        assert torch.equal(fresh[lag:], tokens[lag:])
        assert not set(fresh[:lag].tolist()) & set(tokens[:lag].tolist())


def test_the_course_s_lags_are_those_training_left_out():
    from training.batches import HELD_LAGS

    assert causal.prompts.LAGS == HELD_LAGS


def test_touched_begins_where_the_corruption_does(model):
    prompts = causal.repeated(model, 4, lags=(13, 17))
    assert prompts.touched("fresh")[:, 1:].all() and not prompts.touched("fresh")[:, 0].any()
    touched = prompts.touched("swapped")
    first = (prompts.swapped != prompts.tokens).int().argmax(dim=1)
    assert torch.equal((~touched).sum(dim=1), first)


def test_prompts_are_the_same_in_every_run_and_others_with_another_seed(embedded):
    assert torch.equal(causal.names(embedded, 8).tokens, causal.names(embedded, 8).tokens)
    assert not torch.equal(causal.names(embedded, 8).tokens, causal.names(embedded, 8, seed=1).tokens)


def test_the_embedded_model_does_all_tasks(embedded):
    for judged in causal.offered(embedded, 40):
        assert judged.can and judged.sentence.startswith(f"This model does the {judged.family} task")


def test_a_model_that_cannot_says_so(model):
    names, repeated, pronouns = causal.offered(model, 40)
    assert pronouns.prompts is None and pronouns.sentence.startswith("There are no pronouns prompts here: expected")
    assert names.prompts is None and not names.can
    assert names.sentence.startswith("There are no names prompts here: expected a tokenizer with 12")
    assert not repeated.can and repeated.sentence.startswith("This model does not do the repeated task")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: causal.repeated(m, 4, lags=(13, 40)), "expected a lag and one up to twice as long"),
        (lambda m: causal.repeated(m, 4, lags=(50, 60)), "expected a lag from 5 to 55, got 60"),
        (lambda m: causal.repeated(m, 1), "expected a number of prompts from 2"),
        (lambda m: causal.repeated(m, 4, lags=(13, 17)).corrupt("zero"), "expected a corruption among fresh, swapped"),
        (lambda m: causal.direct_effects(m, causal.repeated(m, 4), sources=["L9H9"]), "expected names such as embed"),
    ],
)
def test_bad_inputs_get_one_line(small_models, ask, message):
    with pytest.raises(rsutils.CourseError, match=message):
        ask(small_models["gpt2"])


def test_an_unfolded_model_is_refused(directories):
    model = rsutils.load_model(directories["llama"], processed=False)
    with pytest.raises(rsutils.CourseError, match="norms are folded into its readers"):
        causal.direct_effects(model, causal.repeated(model, 4), progress=False)


def test_a_median_has_the_interval_of_its_prompts():
    found = causal.median(torch.tensor([0.1, 0.2, 0.3, torch.nan, 0.4, 0.5]))
    assert found.value == pytest.approx(0.3)
    assert found.interval.low < 0.3 < found.interval.high
    assert f"{found:.1f}".startswith("0.3 (")
    with pytest.raises(rsutils.CourseError, match="got none"):
        causal.median(torch.tensor([torch.nan]))


def test_normalised_is_nan_where_corruption_does_nothing():
    found = causal.normalised(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 1.0]), torch.tensor([0.0, 2.0]))
    assert found[0] == 0.5 and np.isnan(found[1])
