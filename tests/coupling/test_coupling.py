"""Couplings from Gram matrices equal the products they stand for, and their null equals what random rotations do."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import shapes
import torch
from transformer_lens import FactoredMatrix

import rsutils
from rsutils import basis, compare, coupling, virtual
from rsutils.compare import rank_correlation
from rsutils.coupling import Reader, Writer, figures
from rsutils.models import load_model, tokens, writer_scale

TEXTS = ("Anna gave the red ball to Tom.", "Why did the bird fly away?", "The opposite of hot is cold.")


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def spread(rows, columns, seed=0):
    """A random matrix whose singular values differ a lot, so that its Gram is far from a multiple of the identity."""
    return randn(rows, columns, seed=seed) * torch.linspace(0.1, 3.0, columns)


@pytest.fixture
def measured(model):
    return coupling.all_pairs(model, TEXTS)


@pytest.fixture
def silent(model):
    return coupling.controls(model)


def test_the_norm_is_the_norm_of_the_product_in_float64(model, measured):
    for i, source in enumerate(coupling.sources(model)):
        for j, destination in enumerate(coupling.destinations(model)):
            if source.layer >= destination.layer:
                assert all(np.isnan(measured.metric(metric)[i, j]) for metric in measured.metrics)
                continue
            A, B = source.weight.double(), destination.weight.double()
            raw, size = torch.linalg.norm(A @ B).item(), (torch.linalg.norm(A) * torch.linalg.norm(B)).item()
            assert measured.norm[i, j] == pytest.approx(raw, rel=1e-6)
            assert measured.metric("size")[i, j] == pytest.approx(size, rel=1e-6)
            assert measured.score[i, j] == pytest.approx(raw / size, rel=1e-6)


def test_the_loop_and_transformer_lens_agree_with_the_grams(model, measured):
    sources, destinations = coupling.sources(model), coupling.destinations(model)
    np.testing.assert_allclose(coupling.by_products(sources, destinations), measured.norm, rtol=2e-6)
    norm = FactoredMatrix(sources[1].weight, destinations[-1].weight).norm().item()
    assert measured.norm[1, -1] == pytest.approx(norm, rel=1e-5)


@shapes.every_family
def test_parts_are_the_models_own_weights_from_embedding_to_unembedding(model):
    sources, destinations = coupling.sources(model), coupling.destinations(model)
    kinds = 2 if model.cfg.gated_mlp else 1
    assert [s.name for s in sources] == ["embed", *(f"mlp {layer}" for layer in range(model.cfg.n_layers))]
    assert len(destinations) == kinds * model.cfg.n_layers + 1
    assert destinations[-1].weight.shape == (model.cfg.d_model, model.cfg.d_vocab)
    assert sources[0].weight.shape == (model.cfg.d_vocab, model.cfg.d_model)
    torch.testing.assert_close(sources[2].weight, model.W_out[1])
    torch.testing.assert_close(destinations[kinds].weight, model.W_in[1])
    if kinds == 2:
        assert destinations[3].name == "mlp 1 gate"
        torch.testing.assert_close(destinations[3].weight, model.W_gate[1])


def rotations(dimensions, fixed, n):
    for seed in range(n):
        yield basis.fixing_ones(dimensions, seed) if fixed else basis.random_rotation(dimensions, seed)


@pytest.mark.parametrize("centred", [False, True])
def test_null_has_the_mean_and_deviation_of_simulated_rotations(centred):
    d, n = 13, 3000
    A, B = spread(29, d, seed=1).double(), spread(37, d, seed=2).double().T
    if centred:
        A, B = A - A.mean(dim=1, keepdim=True), B - B.mean(dim=0)
    found = coupling.measure([Writer("a", 0, A.float())], [Reader("b", 1, B.float())], d - centred)
    size = found.metric("size").item()
    squares = np.array([torch.linalg.norm(A @ R @ B).item() ** 2 for R in rotations(d, centred, n)])
    assert squares.mean() / size**2 == pytest.approx(found.chance**2, abs=5 * squares.std() / n**0.5 / size**2)
    z = (found.norm.item() ** 2 - squares.mean()) / squares.std()
    # The deviation of a deviation over n draws is about 1/sqrt(2n) of it, and these are not far from normal.
    assert found.z.item() == pytest.approx(z, rel=0.05, abs=0.1)


def test_rho_is_one_for_one_spectrum_in_one_basis_and_z_its_multiple():
    W = spread(29, 11, seed=3)
    found = coupling.measure([Writer("a", 0, W)], [Reader("b", 1, W.T)], 11)
    assert found.metric("rho").item() == pytest.approx(1, abs=1e-6)
    assert found.z.item() == pytest.approx((10 * 13 / 2) ** 0.5, rel=1e-6)
    assert found.chance == pytest.approx(11**-0.5)


def test_centred_models_have_one_direction_fewer(model, measured):
    assert measured.chance == pytest.approx((model.cfg.d_model - model.info.centred) ** -0.5)
    assert model.info.centred == (type(model.ln_final.original_component).__name__ == "LayerNorm")


def test_planted_edge_ranks_first_where_direction_is_measured_and_not_where_size_is():
    """Source 1 writes, faintly, in the three directions that destination 3 reads; source 2 is loud and aimless."""
    d, shared = 31, basis.random_rotation(31, seed=7).float()[:3]
    writers = [randn(43, d, seed=i) / 6 for i in range(3)]
    writers[1] = 0.05 * randn(43, 3, seed=11) @ shared
    writers[2] = 9 * writers[2]
    readers = [randn(d, 47, seed=20 + i) / 6 for i in range(3)]
    readers[2] = 0.05 * shared.T @ randn(3, 47, seed=12)
    found = coupling.measure(
        [Writer(f"s{i}", i, W) for i, W in enumerate(writers)],
        [Reader(f"d{i + 1}", i + 1, W) for i, W in enumerate(readers)],
        d,
    )
    first = {metric: best[:2] for metric in found.metrics for best in found.top(metric, 1)}
    assert first["score"] == first["z"] == first["rho"] == ("s1", "d3")
    assert first["norm"] != ("s1", "d3") and first["size"] != ("s1", "d3")
    assert found.top("norm")[-1][:2] == ("s1", "d3")


@torch.no_grad()
def test_weighted_coupling_is_the_rms_of_what_varies_in_a_readers_input(model, measured):
    """Rebuilt from the neurons' activations, not from the MLP's output, and without any Gram matrix."""
    caches = [model.run_with_cache(tokens(model, text))[1] for text in TEXTS]
    layer, kinds = 2, 2 if model.cfg.gated_mlp else 1
    scale = torch.cat([cache[f"blocks.{layer}.ln2.hook_scale"][0, 1:] for cache in caches]).double().mean()
    into = coupling.destinations(model)[kinds * layer].weight.double()
    for source in (0, 1):
        posts = [
            cache[f"blocks.{source}.mlp.hook_post"] / writer_scale(model, cache, source, "mlp") for cache in caches
        ]
        post = torch.cat([each[0, 1:] for each in posts]).double()
        contribution = post @ model.blocks[source].mlp.W_out.double() @ into / scale
        rms = (contribution - contribution.mean(dim=0)).square().sum(dim=1).mean().sqrt().item()
        assert measured.metric("weighted")[source + 1, kinds * layer] == pytest.approx(rms, rel=1e-4)


def test_weighted_needs_text_that_fits(small_models):
    with pytest.raises(rsutils.CourseError, match="shorten"):
        coupling.all_pairs(small_models["gpt2"], ["long " * 40])
    assert "weighted" not in coupling.all_pairs(small_models["gpt2"]).metrics


@pytest.mark.parametrize(
    "kind", ["gpt2", "gpt_neo", "gpt_neox", "gptj", "llama", "olmo", "opt", "phi", "qwen3", "stablelm"]
)
def test_centring_the_writers_changes_no_product_once_norms_are_folded(kind, small_models):
    """Of the families whose writers hold no constants or gains."""
    model = small_models[kind]
    measured = coupling.all_pairs(model, TEXTS)
    plain = load_model(model.info.name, processed=False)
    half = coupling.measure(coupling.sources(plain), coupling.destinations(model), model.cfg.d_model)
    np.testing.assert_allclose(half.norm, measured.norm, rtol=2e-6)
    assert np.nanmax(half.metric("size") / measured.metric("size")) > 1 + 1e-4 * model.info.centred - 1e-6


def test_extra_memory_stays_within_two_matrices_a_layer():
    d, layers = 211, 13
    writers = [Writer(f"s{i}", i, randn(307, d, seed=i)) for i in range(layers)]
    readers = [Reader(f"d{i}", i, randn(d, 311, seed=i)) for i in range(layers)]
    tracemalloc.start()
    coupling.measure(writers, readers, d)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert d * d * 4 * layers < peak < 2 * d * d * 4 * layers


def test_mlps_are_the_map_without_its_ends(measured):
    inner, whole = coupling.mlps(measured), measured.table()
    ends = (whole["source"] == "embed") | (whole["destination"] == "unembed")
    pd.testing.assert_frame_equal(inner.table(), whole[~ends].reset_index(drop=True))


def test_distance_is_counted_in_layers_between_mlps(model, measured):
    inner, apart = coupling.mlps(measured), coupling.distance(measured)
    layers = {part.name: part.layer for part in (*coupling.sources(model), *coupling.destinations(model))}
    for i, source in enumerate(inner.sources):
        for j, destination in enumerate(inner.destinations):
            layers_between = layers[destination] - layers[source]
            assert apart[i, j] == layers_between if layers_between > 0 else np.isnan(apart[i, j])


def test_figures_show_the_map_and_say_what_is_in_it(measured):
    for metric in coupling.METRICS:
        [best] = measured.top(metric, 1)
        fig = figures.pairs(measured, metric)
        np.testing.assert_array_equal(fig.data[0].z.astype(np.float32), measured.metric(metric).astype(np.float32))
        assert f"{metric} is largest from {best.source} to {best.destination}" in fig.words
        assert (fig.layout.xaxis.title.text, fig.layout.yaxis.title.text) == ("destination (reads)", "source (writes)")
        row = figures.pairs(measured, metric, "embed")
        np.testing.assert_allclose(row.data[0].y, measured.metric(metric)[0], rtol=1e-6)
        assert f"{metric} of embed is largest to" in row.words


def test_sizes_are_drawn_beside_norms(measured):
    fig = figures.sizes(measured)
    at = list(fig.data[0].text).index("mlp 0 to unembed")
    assert fig.data[0].x[at] == pytest.approx(measured.metric("size")[1, -1])
    assert fig.data[0].y[at] == pytest.approx(measured.norm[1, -1])
    assert len(fig.data[0].x) == np.isfinite(measured.norm).sum()
    follows = rank_correlation(measured.metric("size"), measured.norm)
    assert f"Size and norm rank the pairs with correlation {follows:.2f}" in fig.words


def test_rankings_compare_each_metric_with_each(measured):
    fig = figures.rankings(measured)
    metrics = measured.metrics
    assert list(fig.layout.xaxis.ticktext) == list(fig.layout.yaxis.ticktext) == metrics
    for i, a in enumerate(metrics):
        for j, b in enumerate(metrics):
            alike = rank_correlation(measured.metric(a), measured.metric(b))
            assert fig.data[0].z[i, j] == pytest.approx(alike, abs=1e-6)
            assert (f"{a} and {b} {alike:.2f}" in fig.words) == (i < j)
    norm, score = measured.norm[measured.there], measured.score[measured.there]
    assert f"rank the pairs with correlation {rank_correlation(norm, score):.2f}" in fig.words


def test_null_stands_beside_the_pairs_own_value(measured):
    drawn = torch.tensor([0.1, 0.2, 0.2, 0.4])
    fig = figures.null(measured, "mlp 0", "unembed", drawn)
    rotations, own = fig.data
    value = measured.score[1, -1]
    assert (rotations.name, sum(rotations.y)) == ("random rotations", 4)
    assert own.x[np.argmax(own.y)] == pytest.approx(value, abs=float(own.width[0])) and sum(own.y) == 1
    assert f"mlp 0 to unembed has {value:.4f}; chance gives 0.2250" in fig.words
    assert f"closed form {measured.chance:.4f}" in fig.words and "4 draws between 0.1000 and 0.4000" in fig.words


def test_band_is_the_mean_over_pairs_of_mlps_at_each_distance(model, measured):
    kinds = 2 if model.cfg.gated_mlp else 1
    matrix = measured.score
    neighbours = [matrix[i + 1, kinds * (i + 1) + k] for i in range(model.cfg.n_layers - 1) for k in range(kinds)]
    assert coupling.by_distance(measured, "score")[1] == pytest.approx(np.mean(neighbours))
    assert max(coupling.by_distance(measured, "norm")) == model.cfg.n_layers - 1


def test_controls_are_the_pairs_of_mlps_whose_writer_is_not_earlier(model, measured, silent):
    writers, readers = coupling.sources(model)[1:], coupling.destinations(model)[:-1]
    for i, writer in enumerate(writers):
        for j, reader in enumerate(readers):
            if writer.layer < reader.layer:
                assert np.isnan(silent.norm[i, j])
                continue
            A, B = writer.weight.double(), reader.weight.double()
            assert silent.norm[i, j] == pytest.approx(torch.linalg.norm(A @ B).item(), rel=1e-6)
            as_earlier = coupling.measure([Writer("w", -1, writer.weight)], [reader], measured.n_directions)
            for metric in as_earlier.metrics:
                assert silent.metric(metric)[i, j] == pytest.approx(as_earlier.metric(metric)[0, 0])
    values, can = coupling.together(measured, silent, "score")
    np.testing.assert_array_equal(can, coupling.mlps(measured).there)
    np.testing.assert_array_equal(values[~can], silent.score[silent.there])
    np.testing.assert_array_equal(values[can], measured.score[1:, :-1][can])


def test_an_untrained_models_pairs_lie_at_chance_whether_they_can_communicate_or_not():
    untrained = load_model(rsutils.checkpoints()[0])
    both, can = coupling.together(coupling.all_pairs(untrained), coupling.controls(untrained), "z")
    assert np.abs(both).max() < 4
    assert abs(compare.lead(both, can)) < 2


def test_controls_are_drawn_apart_from_the_pairs_that_can_communicate(measured, silent):
    fig = figures.controls(measured, silent, "score")
    can, own, later = fig.data
    assert [trace.name for trace in fig.data] == ["can communicate", "cannot: itself", "cannot: later"]
    assert min(can.x) == 1 and set(own.x) == {0} and max(later.x) == -1
    at = list(later.text).index("mlp 2 to mlp 0")
    assert later.x[at] == -2 and later.y[at] == pytest.approx(silent.score[2, 0])
    at = list(can.text).index("mlp 0 to mlp 2")
    assert can.x[at] == 2 and can.y[at] == pytest.approx(measured.score[measured.place("mlp 0", "mlp 2")])
    middle = np.median(coupling.mlps(measured).score[coupling.mlps(measured).there])
    assert f"median score of {middle:.3g}, those that cannot {np.median([*own.y, *later.y]):.3g}" in fig.words


def test_the_band_stands_beside_the_same_distances_backwards(measured, silent):
    fig = figures.distance(measured, silent)
    forwards, backwards, chance = fig.data
    assert list(chance.y) == pytest.approx([measured.chance] * len(forwards.x))
    inner, apart = coupling.mlps(measured), coupling.distance(measured)
    assert list(forwards.y) == pytest.approx([inner.score[apart == d].mean() for d in range(1, len(inner.sources))])
    back = coupling.distance(silent)
    assert list(backwards.y) == pytest.approx([silent.score[back == -d].mean() for d in range(1, len(inner.sources))])
    near = inner.score[apart == 1].mean() / inner.score[apart > 1].mean()
    assert f"Neighbouring MLPs have {near:.2f} times the score of distant ones" in fig.words
    assert f"{coupling.nearness(silent.score, -back):.2f} times" in fig.words


def test_two_maps_share_one_scale(measured, small_models):
    other = coupling.all_pairs(small_models["llama"], TEXTS)
    for metric in ("score", "z"):
        left, right = figures.two(measured, other, metric).data
        assert (left.zmin, left.zmax, left.colorscale) == (right.zmin, right.zmax, right.colorscale)
        np.testing.assert_array_equal(left.z.astype(np.float32), measured.metric(metric).astype(np.float32))


def test_neurons_behind_a_pair(model):
    source, destination = coupling.sources(model)[1], coupling.destinations(model)[-2]
    fig = figures.neurons(source, destination, 5)
    i, j, value, _ = virtual.strongest(source.weight, destination.weight, 1)[0]
    assert f"mlp 0 neuron {i} to {destination.name} neuron {j} is the strongest" in fig.words
    assert np.abs(fig.data[0].z).max() == pytest.approx(abs(value), rel=1e-5)


def test_explorer_redraws_the_map(measured):
    explorer = rsutils.Explorer(
        lambda metric, source: figures.pairs(measured, metric, source),
        metric=list(coupling.METRICS),
        source=[*figures.WHOLE, *measured.sources],
    )
    assert "z is largest from" in explorer.set(metric="z").static().words
    assert "of mlp 1 is largest to" in explorer.set(source="mlp 1").static().words
    assert explorer.set(source="MLPs only").static().data[0].z.shape == coupling.mlps(measured).z.shape
