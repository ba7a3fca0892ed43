"""The map of every edge, what else could predict an effect, the scoreboard and the sealed contest."""

import json

import numpy as np
import pytest
import torch

from rsutils import CourseError, causal, coupling
from rsutils.causal import predictors as P
from rsutils.causal import ranking as S
from rsutils.causal import runs as R
from rsutils.causal.contest import Board, predict, seal


@pytest.fixture(scope="module")
def from_weights(embedded):
    return P.from_weights(embedded)


def planted(predictors, of="score", family="names"):
    """Effects that are exactly what one predictor says, on three prompts."""
    value = np.where(predictors.can, np.abs(predictors.of(of)), np.nan)
    value *= S.FELT / np.nanmedian(value)  # so that half of the edges count as felt
    names = [[part.name for part in parts] for parts in (predictors.sources, predictors.destinations)]
    values = {"live": np.repeat(value[..., None], 3, axis=-1).astype(np.float32)}
    return causal.EdgeEffects("embedded", family, "fresh", *names, values)


def test_the_whole_map_is_every_product(model):
    maps = causal.whole_map(model), causal.whole_map(model, of_controls=True)
    norm = np.where(maps[0].there, maps[0].norm, maps[1].norm)
    sources, destinations = causal.writers(model), causal.readers(model)
    for i, writer in enumerate(sources):
        for j, reader in enumerate(destinations):
            product = torch.linalg.norm(causal.written(model, writer) @ causal.read(model, reader)).item()
            assert norm[i, j] == pytest.approx(product, rel=1e-4)
            assert maps[0].there[i, j] == reader.hears(writer) != maps[1].there[i, j]


def test_the_whole_map_holds_chapter_04(embedded):
    whole, chapter = causal.whole_map(embedded), coupling.all_pairs(embedded)
    mlps = coupling.mlps(chapter)
    for metric in ("norm", "score", "z"):
        there = whole.among(mlps.sources, mlps.destinations).metric(metric)
        np.testing.assert_allclose(there, mlps.metric(metric), rtol=1e-5)


def test_what_is_sent_is_measured_on_the_tokens(model):
    prompts = causal.repeated(model, n=4, lags=(13, 13))
    found = P.sent(model, prompts)
    _, cache = model.run_with_cache(prompts.tokens)
    sources, destinations = causal.writers(model), causal.readers(model)
    for i, writer in enumerate(sources):
        for j, reader in enumerate(destinations):
            x = R.of_writer(model, writer, cache[R.writer_hook(writer)])[:, 1:] / cache[R.scale_hook(reader)][:, 1:]
            sent = (x @ causal.read(model, reader)).square().sum(-1).mean().sqrt().item()
            assert found[i, j] == pytest.approx(sent, rel=1e-3)


def test_a_predictor_that_is_the_effect_is_perfect_and_its_opposite_the_worst(from_weights):
    effects = planted(from_weights)
    right = from_weights.of("score")
    turned = P.Predictors(from_weights.sources, from_weights.destinations, {"right": right, "wrong": -right})
    board = S.scoreboard(turned, effects, "live", "K").set_index("predictor")
    for column, best, worst in (("pooled", 1, -1), ("within", 1, -1), ("auc", 1, 0), ("precision", 1, None)):
        assert board.loc["right", column] == pytest.approx(best)
        assert worst is None or board.loc["wrong", column] == pytest.approx(worst)
    assert S.reliability(turned, effects, "live", "K") == pytest.approx(1)
    lead, interval = S.lead(turned, effects, "live", "K", ("right", "wrong"))
    assert lead == pytest.approx(2) and interval.low > 1


def test_pooling_can_turn_a_correlation_round():
    """Within each pair of layers the predictor is right, over all it is wrong (Simpson's paradox)."""
    effect = np.array([[4.0, 5.0, 6.0, 7.0], [0.0, 1.0, 2.0, 3.0]])
    value = np.array([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]])
    edges = S.Edges(effect, value, np.array([[0] * 4, [1] * 4]))
    assert S.within_layers(edges) == 1
    assert S.rank_correlation(edges.value, edges.effect) < 0


def test_edges_that_cannot_exist_compete_for_the_first_places(from_weights):
    sources, destinations = from_weights.sources, from_weights.destinations
    backwards = P.Predictors(sources, destinations, {"backwards": -from_weights.can.astype(float)})
    board = S.scoreboard(backwards, planted(from_weights), "live", "K")
    assert board["impossible"].tolist() == [1.0]


def test_effects_of_other_edges_are_refused(from_weights):
    effects = planted(from_weights)
    fewer = causal.EdgeEffects(
        "", "", "", effects.sources[1:], effects.destinations, {"live": effects.values["live"][1:]}
    )
    with pytest.raises(CourseError, match="measure without naming parts"):
        S.scoreboard(from_weights, fewer, "live", "K")
    with pytest.raises(CourseError, match="kind of reader among Q, K, V, in, unembed, got 'gate'"):
        S.scoreboard(from_weights, effects, "live", "gate")


class TestTheContest:
    def entry(self, model):
        return causal.whole_map(model).score

    def test_an_entry_is_sealed_before_it_is_judged(self, embedded, from_weights, tmp_path):
        board, effects = Board(tmp_path / "board.jsonl"), planted(from_weights)
        with pytest.raises(CourseError, match="got nothing on the board: enter it before"):
            board.judge("mine", embedded, self.entry, from_weights, effects)
        board.enter("mine", embedded, self.entry)
        won = board.judge("mine", embedded, self.entry, from_weights, effects)
        assert won["wins"] and won["within"] == pytest.approx(1)
        with pytest.raises(CourseError, match="got something else on the board"):
            board.judge("mine", embedded, lambda model: -np.nan_to_num(self.entry(model)), from_weights, effects)
        assert board.table()["entry"].tolist() == ["mine"]

    def test_a_line_that_was_cut_off_is_left_and_nothing_else_is_lost(self, embedded, from_weights, tmp_path):
        file = tmp_path / "board.jsonl"
        board = Board(file)
        board.enter("first", embedded, self.entry)
        whole = file.read_text()
        file.write_text(whole + '{"event": "sea')
        board.enter("second", embedded, self.entry)
        assert file.read_text().startswith(whole + '{"event": "sea\n')
        for name in ("first", "second"):
            board.judge(name, embedded, self.entry, from_weights, planted(from_weights))
        assert set(board.table()["entry"]) == {"first", "second"}
        assert json.loads(file.read_text().splitlines()[0])["entry"] == "first"

    def test_only_the_order_is_sealed(self):
        scores = np.array([[0.5, 2.0, np.nan], [3.0, 1.0, 0.0]])
        assert seal(scores) == seal(7 * scores + 1)
        assert seal(scores) != seal(scores[:, ::-1])

    @pytest.mark.parametrize(
        ("predictor", "said"),
        [
            (lambda model: np.zeros((2, 3)), "see causal.writers"),
            (lambda model: np.full((len(causal.writers(model)), len(causal.readers(model))), np.nan), "give it a 0"),
        ],
    )
    def test_a_predictor_of_other_edges_is_refused(self, embedded, predictor, said):
        with pytest.raises(CourseError, match=said):
            predict(embedded, predictor)

    def test_a_board_that_cannot_be_written_says_so(self, embedded, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(CourseError, match="cannot be written"):
            Board(tmp_path / "file" / "board.jsonl").enter("mine", embedded, self.entry)
