"""Models of different depths on one axis: what is put where, over which chance, and how alike two maps are."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

import rsutils
from rsutils import compare, coupling, heads
from rsutils.compare import DepthMap, depth
from rsutils.drawing import GAP


def later_only(values):
    values = np.array(values, dtype=np.float64)
    values[np.tril_indices(len(values))] = np.nan
    return values


def made(name, layers, seed=0):
    return DepthMap(name, later_only(np.exp(np.random.default_rng(seed).normal(0, 0.3, (layers, layers)))))


@pytest.fixture(scope="module")
def maps(small_models):
    """Two random models, of three and of five layers, the second with gated MLPs and heads that share keys."""
    return [coupling.by_depth(coupling.all_pairs(small_models[kind])) for kind in ("gpt2", "llama")]


def test_a_layer_lies_at_the_middle_of_what_it_covers():
    np.testing.assert_allclose(made("a", 5).middles, [0.1, 0.3, 0.5, 0.7, 0.9])


def test_coupling_is_that_of_all_an_mlp_reads_over_chance(model):
    """Rebuilt from whole products; a gated MLP's two readers stand side by side as one."""
    found = coupling.by_depth(coupling.all_pairs(model))
    width = model.cfg.d_model - model.info.centred
    assert found.values.shape == (model.cfg.n_layers, model.cfg.n_layers)
    assert found.model == Path(model.info.name).name
    for i, source in enumerate(model.blocks):
        for j, destination in enumerate(model.blocks):
            if i >= j:
                assert np.isnan(found.values[i, j])
                continue
            W_out, W_in = source.mlp.W_out.double().numpy(), destination.mlp.W_in.double().numpy()
            if model.cfg.gated_mlp:
                W_in = np.concatenate([W_in, destination.mlp.W_gate.double().numpy()], axis=1)
            score = np.linalg.norm(W_out @ W_in) / (np.linalg.norm(W_out) * np.linalg.norm(W_in))
            assert found.values[i, j] == pytest.approx(score * width**0.5, rel=1e-5)


def test_composition_sums_up_the_pairs_of_heads_of_two_layers(model):
    c, n = heads.circuits(model), model.cfg.n_heads
    scores = heads.composition(c)
    found = heads.by_depth(model, scores)
    assert set(found) == {(mode, over) for mode in heads.MODES for over in heads.figures.OVER}
    for mode in heads.MODES:
        block = scores[mode].score[:n, 2 * n : 3 * n] * c.n_directions**0.5
        assert found[mode, "rms"].values[0, 2] == pytest.approx(np.sqrt(np.square(block).mean()), rel=1e-5)
        assert found[mode, "max"].values[0, 2] == pytest.approx(block.max(), rel=1e-5)
        assert np.isnan(found[mode, "rms"].values[2, 0])


def test_an_untrained_model_lies_at_chance_and_its_strongest_heads_above_it(small_models):
    model = small_models["llama"]
    found = heads.by_depth(model, heads.composition(heads.circuits(model)))
    for mode in heads.MODES:
        assert found[mode, "rms"].pairs.mean() == pytest.approx(1, abs=0.05)
        assert found[mode, "max"].pairs.min() > 1.02


def test_a_finer_map_counts_by_area_on_the_coarser_grid():
    """Five layers on three: the middle cell of the grid's row 0 covers layers 5/3 to 10/3 and sources 0 to 5/3."""
    values = later_only(np.arange(1, 26).reshape(5, 5))
    grid = depth._on_grid(values, 3)
    rows, columns = {0: 1, 1: 2 / 3}, {1: 1 / 3, 2: 1, 3: 1 / 3}
    cells = {(i, j): a * b for i, a in rows.items() for j, b in columns.items() if i < j}
    by_hand = sum(values[cell] * area for cell, area in cells.items()) / sum(cells.values())
    assert grid[0, 1] == pytest.approx(by_hand)
    assert np.isnan(grid[1, 0]) and np.isfinite(grid[0, 0])
    np.testing.assert_allclose(depth._on_grid(values, 5), values)


def test_likeness_of_a_map_and_the_same_drawn_finer_is_one():
    coarse = made("coarse", 5)
    fine = DepthMap("fine", later_only(np.nan_to_num(np.kron(coarse.values, np.ones((3, 3))), nan=7.0)))
    for one, other in ((coarse, fine), (fine, coarse)):
        assert compare.likeness(one, other) == (1.0, 10)
    upside_down = DepthMap("less", 1 / coarse.values)
    assert compare.likeness(upside_down, fine) == (-1.0, 10)
    assert str(compare.likeness(upside_down, fine)) == "-1.00 (10 cells)"
    single = compare.likeness(made("two", 2), fine)
    assert np.isnan(single.correlation) and str(single) == "none (one cell)"


def test_distance_is_a_share_of_the_depth():
    values = later_only([[0, 2, 3, 7], [0, 0, 4, 5], [0, 0, 0, 6], [0, 0, 0, 0]])
    assert compare.by_distance(DepthMap("a", values)) == {0.25: 4.0, 0.5: 4.0, 0.75: 7.0}


def test_each_map_stands_at_its_own_depths_on_one_scale(maps):
    fig = compare.figures.maps(maps, "Coupling")
    for trace, each in zip(fig.data, maps, strict=True):
        n = len(each.values)
        for at in (trace.x, trace.y):
            np.testing.assert_allclose(at, [(k + 0.5) / n for k in range(n)])
        np.testing.assert_array_equal(trace.z.astype(np.float32), each.values.astype(np.float32))
        assert trace.z[0, 1] is not None and trace.z[1, 0] is None  # row = source; None is drawn as a gap
        assert trace.coloraxis == "coloraxis" and trace.zmin is None
    assert fig.layout.plot_bgcolor == GAP and fig.layout.coloraxis.colorbar.title.text == "times chance"
    for axis in (fig.layout.yaxis, fig.layout.yaxis2):
        assert tuple(axis.range) == (1, 0)
    assert tuple(fig.layout.xaxis.range) == (0, 1)
    assert fig.layout.yaxis.title.text.startswith("source") and fig.layout.xaxis.title.text.startswith("destination")
    assert [note.text for note in fig.layout.annotations] == ["gpt2, 3 layers", "llama, 5 layers"]


def test_titles_and_words_say_what_the_maps_hold(maps):
    words = compare.figures.maps(maps, "Coupling").words
    assert f"{maps[0].pairs.max():.2f} in gpt2, {maps[1].pairs.max():.2f} in llama" in words
    assert f"with the map of gpt2: {compare.likeness(*maps)} for llama" in words
    i, j = divmod(np.nan_to_num(maps[1].values).argmax(), 5)
    assert f"leads from depth {(i + 0.5) / 5:.2f} to {(j + 0.5) / 5:.2f}" in words.split("llama: ")[-1]


def test_chance_is_white_and_ratios_are_even():
    low, high = (DepthMap(name, later_only(np.full((3, 3), value))) for name, value in (("a", 0.5), ("b", 1.25)))
    axis = compare.figures.maps([low, high], "Coupling").layout.coloraxis
    assert (axis.cmin, axis.cmax) == (0.5, 2.0)
    places = [axis.cmin + place * (axis.cmax - axis.cmin) for place, _ in axis.colorscale]
    np.testing.assert_allclose(places, 2.0 ** np.linspace(-1, 1, 11), rtol=1e-5)
    assert axis.colorscale[5][1] == "rgb(247,247,247)" and axis.colorscale[-1][1] == "rgb(103,0,31)"
    level = [DepthMap(name, later_only(np.ones((3, 3)))) for name in "ab"]
    assert compare.figures.maps(level, "Coupling").layout.coloraxis.cmax == 1.1


def test_many_maps_stand_three_in_a_row():
    maps = [made(f"model of {layers}", layers) for layers in (2, 3, 5, 7, 11)]
    fig = compare.figures.maps(maps, "Coupling")
    starts = [round(fig.layout[f"xaxis{k or ''}"].domain[0], 2) for k in ("", 2, 3, 4, 5)]
    assert starts[0] == starts[3] < starts[1] == starts[4] < starts[2]
    assert fig.layout.yaxis.domain[0] > fig.layout.yaxis4.domain[1]
    assert [bool(fig.layout[f"yaxis{k}"].title.text) for k in ("", 2, 3, 4, 5)] == [True, False, False, True, False]


def test_lines_have_distances_of_their_own_beside_chance(maps):
    fig = compare.figures.distance(maps, "Coupling")
    assert [trace.name for trace in fig.data] == ["gpt2", "llama", "chance"]
    for trace, each in zip(fig.data, maps, strict=False):
        drawn = {round(float(x), 5): y for x, y in zip(trace.x, trace.y, strict=True) if np.isfinite(y)}
        expected = compare.by_distance(each)
        np.testing.assert_allclose(list(drawn), sorted(expected), rtol=1e-4)
        np.testing.assert_allclose(list(drawn.values()), [expected[d] for d in sorted(expected)], rtol=1e-6)
        assert trace.connectgaps
    assert set(fig.data[-1].y) == {1.0}
    assert "(3 pairs) in gpt2" in fig.words and "(10 pairs) in llama" in fig.words


def test_the_trend_with_distance_has_the_right_sign():
    falling = DepthMap("falls", later_only([[2.0 ** -(j - i) for j in range(5)] for i in range(5)]))
    words = compare.figures.distance([falling, DepthMap("rises", 1 / falling.values), made("two", 2)], "It").words
    assert "-1.00 (10 pairs) in falls, 1.00 (10 pairs) in rises, none (one pair) in two" in words


def test_models_beside_are_let_go_one_by_one(embedded, directories):
    alive = []

    def measure(model):
        gc.disable()  # only what `beside` does itself may free the one before
        assert all(reference() is None for reference in alive)
        alive.append(weakref.ref(model))
        return model.info.name

    try:
        found = compare.beside(embedded, [directories["gpt2"], "embedded", directories["llama"]], measure)
    finally:
        gc.enable()
    assert found == [rsutils.checkpoints()[0], str(directories["gpt2"]), str(directories["llama"])]


def test_the_embedded_model_stands_beside_another(small_models):
    names = compare.beside(small_models["llama"], [], lambda model: model.info.name)
    assert names == ["embedded", rsutils.checkpoints()[0]]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (np.full((1, 1), np.nan), r"two layers or more for a, got \[1, 1\]"),
        (np.full((3, 5), np.nan), r"got \[3, 5\]"),
        (later_only(np.ones((3, 3))).T, "rows are sources"),
        (later_only(-np.ones((3, 3))), "above zero"),
        (later_only(np.full((3, 3), np.inf)), "finite"),
        (np.full((3, 3), np.nan), "one at least"),
    ],
)
def test_what_is_no_map_is_refused(values, complaint):
    with pytest.raises(rsutils.CourseError, match=complaint):
        DepthMap("a", values)


@pytest.mark.parametrize("draw", [compare.figures.maps, compare.figures.distance])
def test_a_comparison_needs_two_models_of_different_names(draw):
    with pytest.raises(rsutils.CourseError, match="two models or more to compare, got 1"):
        draw([made("a", 3)], "Coupling")
    with pytest.raises(rsutils.CourseError, match="different names"):
        draw([made("a", 3), made("a", 5)], "Coupling")
