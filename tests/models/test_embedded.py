"""The embedded model shows what the lessons teach; its card, its corpus and its training script keep their word."""

import random
from itertools import combinations, islice, pairwise
from pathlib import Path

import pytest
import torch

import rsutils
from rsutils import models
from rsutils.models import files
from training import batches, corpus, measure
from training import heads as heads_of
from training.batches import HELD_LAGS
from training.card import write_card
from training.export import export
from training.recipe import Recipe, Stage
from training.train import Run

DIRECTORY = Path(rsutils.__file__).parent / "data" / "embedded"
MEASURED = models.measured()


@pytest.fixture(scope="module")
def model():
    return rsutils.load_model("embedded")


@pytest.fixture(scope="module")
def heads(model):
    return heads_of.measure_heads(model, sorted(batches.shuffled_tokens(Recipe(), model.tokenizer)))


@pytest.fixture(scope="module")
def language(model):
    return measure.measure_language(model)


def check_heads(found: dict, stated: dict) -> None:
    picked = {name for name in found if name.endswith("_head")}
    assert {name: found[name] for name in picked} == {name: stated[name] for name in picked}
    scores, expected = ({k: v for k, v in each.items() if k not in picked} for each in (found, stated))
    assert scores == pytest.approx(expected, rel=0.02, abs=0.01)


def test_an_induction_head_reads_what_followed_the_first_copy(heads):
    assert heads["induction_score"] >= 0.5


def test_the_second_copy_costs_at_most_half_of_the_first(heads):
    assert heads["loss_second_copy"] <= heads["loss_first_copy"] / 2


def test_a_previous_token_head_stands_in_an_earlier_layer(heads):
    assert heads["previous_score"] >= 0.5
    assert heads["previous_head"][0] < heads["induction_head"][0]


def test_the_two_heads_compose_above_the_95th_percentile(heads):
    assert heads["K_percentile"] > 95


def test_names_are_recalled_that_were_never_given_to_in_scenes_never_seen(language):
    assert language["names_new_names_and_openings"] >= 0.8
    assert language["names_new_openings"] >= 0.8


def test_pronouns_and_verbs_agree(language):
    assert language["pronouns"] >= 0.9
    assert language["number"] >= 0.9


def test_the_lesson_prompts_behave(model):
    assert measure.share_right(model, [("When Mary and John went to the store, John gave a drink to", " Mary")]) == 1
    loss = measure.text_loss(model, ["The cat sat on the mat."])
    assert loss < measure.text_loss(model, ["The mat sat on cat the."]) / 2


def test_any_text_encodes_and_comes_back(model):
    for text in ("The cat 🙂 naïve", "tabs\tand\nlines", "漢字", " Mary", "Mary"):
        assert model.tokenizer.decode(model.tokenizer.encode(text, add_special_tokens=False)) == text


def test_measuring_again_gives_what_the_card_states(heads, language, tmp_path):
    check_heads(heads, MEASURED["heads"])
    assert language == pytest.approx(MEASURED["language"], rel=0.02, abs=0.01)
    write_card(MEASURED, tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == (DIRECTORY / "README.md").read_text()


def test_the_stated_curriculum_is_the_recipes():
    stated, recipe = MEASURED["curriculum"], Recipe()
    assert measure.measure_curriculum(recipe) == stated
    assert sum(stated["shares"].values()) == pytest.approx(1)
    assert [stated["stages"][0]["start"], stated["stages"][-1]["stop"]] == [0, recipe.steps]
    tokens = [(stage["stop"] - stage["start"]) * stage["shares"].get("story", 0) for stage in stated["stages"]]
    assert sum(tokens) / recipe.steps == pytest.approx(stated["shares"]["story"])
    rows = [recipe.stage(step).rows for step in range(recipe.steps)]
    assert rows.count({"echo": 1}) / recipe.steps == pytest.approx(stated["shares"]["echo"])


def test_a_missing_list_of_figures_gets_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "EMBEDDED", tmp_path)
    for content in (None, "{"):
        if content:
            (tmp_path / "measured.json").write_text(content)
        with pytest.raises(rsutils.CourseError, match="expected the embedded model's figures"):
            models.measured()


def test_a_checkpoint_measured_again_in_its_pool_gives_what_the_card_states():
    """Induction without a previous-token head: the sentence that chapter 05 rests on."""
    (stated,) = (point for point in MEASURED["curve"] if point["step"] == 1600)
    level = MEASURED["trained"]["levels"]["1600"]
    model, recipe = rsutils.load_model("embedded@1600"), Recipe()
    pool = batches.shuffled_tokens(recipe, model.tokenizer)[: stated["own_pool"]["size"]]
    assert len(pool) == recipe.pool_size(level, model.cfg.d_vocab - 1) < model.cfg.d_vocab / 2
    found = measure.measure_pool(model, pool, recipe)
    assert found["pairs"] == pytest.approx(stated["own_pool"]["pairs"], abs=0.01)
    for again, before in zip(found["lags"], stated["own_pool"]["lags"], strict=True):
        check_heads(again, before)
    heads = found["lags"][0]
    assert heads["induction_score"] > 0.5 and heads["previous_score"] < 0.1
    assert heads["induction_without_previous"] > 0.5 > heads["induction_without_duplicate"]


def test_blocks_that_join_last_change_little_before_they_join():
    early = [point for point in MEASURED["curve"] if point["fresh_blocks"]]
    assert early[-1]["step"] < max(MEASURED["curriculum"]["block_joins"])
    for point in early:
        for loss in ("loss_second_copy", "loss_held_out"):
            assert point[f"{loss}_without_fresh"] == pytest.approx(point[loss], abs=0.25)


def test_a_silenced_block_leaves_the_stream_as_it_was():
    model = rsutils.load_model("embedded")
    measure.silence(model, 2)
    _, cache = model.run_with_cache(torch.tensor([[0, 5, 7]]))
    assert torch.equal(cache["blocks.2.hook_resid_pre"], cache["blocks.2.hook_resid_post"])


def test_the_card_shows_samples_as_the_seeds_give_them(model):
    assert measure.sample_stories(model) == MEASURED["samples"]
    assert all(text.count(".") == 3 for text in MEASURED["samples"])


def test_checkpoints_run_from_untrained_to_trained():
    curve = MEASURED["curve"]
    assert 6 <= len(curve) <= 10
    assert [f"embedded@{point['step']}" for point in curve] == rsutils.checkpoints()
    assert curve[0]["step"] == 0 and curve[0]["induction_score"] < 0.1 and curve[0]["names"] < 0.1
    assert all(path.stat().st_size < 6e6 for path in DIRECTORY.rglob("*"))


def test_scores_find_a_head_that_was_built_to_look_one_on():
    """Attention patterns made by hand, with sizes that no transpose survives."""
    lag, prefix, rows, n_vocab = 5, 3, 2, 31
    tokens = heads_of.repeated_rows(list(range(1, n_vocab)), 0, lag, prefix, rows)
    assert tokens.shape == (2, 14)
    assert torch.equal(tokens[:, 4:9], tokens[:, 9:14]) and not (tokens[:, 1:] == 0).any()
    assert all(len(set(row.tolist())) == lag for row in tokens[:, 4:9])

    class Built:
        """Head 0 attends one back, head 1 to the token after the first copy, head 2 to the first copy."""

        class cfg:
            n_layers = 1

        def run_with_cache(self, tokens, names_filter):
            pattern = torch.zeros(rows, 3, 14, 14)
            for query in range(14):
                for head, key in enumerate((query - 1, query - lag + 1, query - lag)):
                    pattern[:, head, query, max(key, 0)] = 1
            logits = 50.0 * torch.nn.functional.one_hot(tokens.roll(-1, 1), n_vocab).float()
            return logits, {"blocks.0.attn.hook_pattern": pattern}

    found = heads_of.repeat_scores(Built(), tokens, lag)
    for name, expected in {"previous": [1, 0, 0], "induction": [0, 1, 0], "duplicate": [0, 0, 1]}.items():
        assert found[name].round().tolist() == [expected]
    assert found["copied"] == 1 and found["loss_second"] < 1e-6


def test_held_out_material_never_enters_training():
    scenes = [corpus.giving(random.Random(i)) for i in range(3000)]
    for scene in scenes:
        names = {name for name in corpus.NAMES if name in scene.replace(".", " ").replace(",", " ").split()}
        assert not names & set(corpus.HELD_NAMES)
        assert not scene.startswith("When") or "went to the" not in scene
    first_two = [corpus.giving(random.Random(i)).replace(",", "").replace(".", "").split() for i in range(3000)]
    opening_names = [[word for word in words if word in corpus.NAMES][:2] for words in first_two]
    assert not any(corpus.held_pair(a, b) for a, b in opening_names)
    assert not set(corpus.OPENINGS) & set(corpus.HELD_OPENINGS)
    documents = list(islice(corpus.documents(0), 3000))
    assert not any(f"{mood} because" in text for text in documents for mood in corpus.HELD_FEELINGS)
    assert all(any(name in text for text in documents) for name in corpus.HELD_NAMES)
    assert any("The cat sat on the mat." in text for text in islice(corpus.documents(1), 20_000))


def test_held_pairs_and_nouns_are_a_tenth():
    pairs = [corpus.held_pair(a, b) for a, b in combinations(corpus.NAMES, 2)]
    assert 0.05 < sum(pairs) / len(pairs) < 0.15
    assert corpus.held_pair("John", "Mary") and corpus.held_pair("Mary", "John")


def test_the_corpus_is_a_function_of_its_seed():
    first, again, other = (list(islice(corpus.documents(seed), 50)) for seed in (3, 3, 4))
    assert first == again != other


def test_names_are_single_tokens(model):
    for name in corpus.NAMES:
        for form in (name, f" {name}"):
            assert len(model.tokenizer.encode(form, add_special_tokens=False)) == 1


def test_rows_carry_loss_only_where_copying_predicts():
    rng, pool = random.Random(5), list(range(1, 60))
    row, loss = batches.pair_row(rng, 0, pool, 61, 3)
    assert len(row) == len(loss) == 61 and row[0] == 0 and sum(loss) > 5
    for i in (i for i, carries in enumerate(loss) if carries):
        assert (row[i - 1], row[i]) in pairwise(row[:i])
    row, loss = batches.echo_row(rng, 0, pool, 61)
    assert len(row) == 61 and all(row[i] == row[i - 2] for i, carries in enumerate(loss) if carries)
    for _ in range(200):
        row, loss = batches.span_row(rng, 0, list(range(1, 500)), 128, only_copies=True)
        assert len(row) == len(loss) == 128 and row[0] == 0
        for lag in HELD_LAGS:
            assert sum(a == b for a, b in zip(row[1:], row[1 + lag :], strict=False)) < 5


def tiny() -> Recipe:
    """A recipe of seven steps that passes through every kind of row."""
    stages = (
        Stage(2, {"pair": 1}, 64, (1,)),
        Stage(2, {"pair": 1, "echo": 1}, 64, (0, 1)),
        Stage(3, {"story": 1, "pair": 1, "span": 1, "echo": 1}, 128, (0, 1)),
    )
    return Recipe(d_model=14, n_layers=2, n_heads=2, tokens_per_step=256, keep=(0, 3), save_every=100, stages=stages)


def test_a_resumed_run_reaches_the_identical_state(tmp_path):
    unbroken = Run(tiny(), tmp_path / "unbroken")
    unbroken.train()
    interrupted = Run(tiny(), tmp_path / "broken")
    interrupted.train(until=3)
    resumed = Run(tiny(), tmp_path / "broken")
    assert resumed.step == 3
    resumed.train()
    assert resumed.step == unbroken.step == 7
    for name, weight in unbroken.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name
    assert resumed.levels == unbroken.levels == {0: 0.0, 3: 0.0}
    export(resumed.model, resumed.folder, tmp_path / "out", resumed.facts())
    loaded = rsutils.load_model(tmp_path / "out")
    assert loaded.cfg.n_layers == 2 and loaded.cfg.d_model == 14
    assert sorted(path.name for path in (tmp_path / "out/checkpoints").iterdir()) == [
        "step-00000.safetensors",
        "step-00003.safetensors",
    ]
