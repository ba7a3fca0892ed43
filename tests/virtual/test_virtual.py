"""Virtual weights against the plain product, found and summed up without building it, and against their null."""

import re

import pytest
import torch

import rsutils
from rsutils import virtual
from rsutils.virtual import products


def random_factors(rows=17, d=13, columns=11, seed=0):
    generator = torch.Generator().manual_seed(seed)
    A, B = torch.randn(rows, d, generator=generator), torch.randn(d, columns, generator=generator)
    return A * torch.linspace(0.2, 2, d), torch.linspace(0.3, 3, d)[:, None] * B


def test_row_is_source_and_column_is_destination(model):
    for reader in virtual.reader_names(model):
        V = virtual.virtual_weights(model, 0, 2, reader=reader)
        mlp = model.blocks[2].mlp
        W = mlp.W_gate if reader == "gate" else mlp.W_in
        expected = sum(model.blocks[0].mlp.W_out[5, m] * W[m, 7] for m in range(model.cfg.d_model))
        torch.testing.assert_close(V[5, 7], expected, atol=1e-5, rtol=0)
        assert V.shape == (71, 71)


def test_gated_models_have_two_readers_and_others_one(small_models):
    assert virtual.reader_names(small_models["gpt2"]) == virtual.reader_names(small_models["gpt_neox"]) == ["in"]
    assert virtual.reader_names(small_models["llama"]) == ["in", "gate"]
    V_in, V_gate = (virtual.virtual_weights(small_models["llama"], 0, 1, reader=r) for r in ("in", "gate"))
    assert (V_in - V_gate).abs().max() > 0.1


def test_embedding_writes_and_unembedding_reads(model):
    assert virtual.virtual_weights(model, "embed", 1).shape == (257, 71)
    torch.testing.assert_close(
        virtual.virtual_weights(model, 1, "unembed"), model.blocks[1].mlp.W_out @ model.unembed.W_U
    )
    if model.cfg.positional_embedding_type == "standard":
        assert virtual.virtual_weights(model, "pos_embed", 0).shape == (61, 71)
    else:
        with pytest.raises(rsutils.CourseError, match="rotates queries and keys"):
            virtual.virtual_weights(model, "pos_embed", 0)


def test_a_block_is_that_part_of_the_whole(model):
    V = virtual.virtual_weights(model, 0, 1)
    rows, columns = [3, 0, 70], slice(7, 12)
    torch.testing.assert_close(
        virtual.virtual_weights(model, 0, 1, rows=rows, columns=columns), V[rows][:, columns], atol=1e-6, rtol=0
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 1), "source layer below the destination layer, got 1 -> 1"),
        ((2, 1), "got 2 -> 1"),
        ((0, 3), "expected a layer from 0 to 2, got 3"),
        ((-1, 1), "expected a layer from 0 to 2, got -1"),
        (("unembed", 1), "layer's number, 'embed' or 'pos_embed', got 'unembed'"),
        ((0, 1, "gate"), "MLP readers \\['in'\\], got 'gate'"),
    ],
)
def test_a_pair_that_does_not_exist_gets_one_line(small_models, arguments, message):
    with pytest.raises(rsutils.CourseError, match=message) as error:
        virtual.factors(small_models["gpt2"], *arguments)
    assert "\n" not in str(error.value)


def test_too_big_or_out_of_range_gets_one_line(small_models, monkeypatch):
    with pytest.raises(rsutils.CourseError, match="rows below 71 and columns below 71, got \\[71\\]"):
        virtual.virtual_weights(small_models["gpt2"], 0, 1, rows=[71])
    monkeypatch.setattr(products, "free_memory", lambda: 40_000)
    with pytest.raises(rsutils.CourseError, match=r"got 71 x 71 that take .* ask for rows= or columns="):
        virtual.virtual_weights(small_models["gpt2"], 0, 1)
    assert virtual.virtual_weights(small_models["gpt2"], 0, 1, rows=[1]).shape == (1, 71)


def test_connections_are_the_norms_of_rows_and_columns():
    A, B = random_factors()
    rows, columns = virtual.connections(A, B)
    torch.testing.assert_close(rows, (A @ B).norm(dim=1))
    torch.testing.assert_close(columns, (A @ B).norm(dim=0))


def test_cosines_are_counted_as_they_are(monkeypatch):
    A, B = random_factors()
    cosines = torch.nn.functional.normalize(A, dim=1) @ torch.nn.functional.normalize(B, dim=0)
    whole = virtual.cosine_counts(A, B, bins=7, most=0.35)
    monkeypatch.setattr(products, "BLOCK", 30)
    assert virtual.cosine_counts(A, B, bins=7, most=0.35).tolist() == whole.tolist()
    assert whole.sum() == 17 * 11 and whole[0] == (cosines < -0.25).sum() and whole[3] == (cosines.abs() < 0.05).sum()
    assert virtual.share_beyond(A, B, 0.3) == (cosines.abs() > 0.3).sum().item() / (17 * 11)


def test_every_label_and_colour_of_the_heatmap_is_true(model):
    V = virtual.virtual_weights(model, 0, 1)
    fig = virtual.figures.most_connected(0, 1, virtual.most_connected(*virtual.factors(model, 0, 1), k=37))
    trace = fig.data[0]
    rows, columns = ([int(re.sub(r"\D", "", str(label))) for label in axis] for axis in (trace.y, trace.x))
    torch.testing.assert_close(torch.tensor(trace.z), V[rows][:, columns], atol=1e-6, rtol=0)
    norms = V.norm(dim=1)
    assert sorted(rows) == sorted(norms.topk(37).indices.tolist()) and rows[0] == norms.argmax()
    for axis, labels in ((fig.layout.yaxis, rows), (fig.layout.xaxis, columns)):
        assert all(int(re.sub(r"\D", "", tick)) in labels for tick in axis.tickvals)
    most = V[rows][:, columns].abs().max()
    assert f"The reddest cells stand for {most:+.3g}, the bluest for {-most:+.3g}." in fig.words


def test_colour_meaning_is_read_from_the_figure(small_models):
    fig = virtual.figures.most_connected(0, 1, virtual.most_connected(*virtual.factors(small_models["gpt2"], 0, 1)))
    most = fig.data[0].zmax
    fig.data[0].colorscale = fig.data[0].colorscale[::-1]
    fig.data[0].colorscale = [(1 - at, colour) for at, colour in fig.data[0].colorscale]
    assert (
        virtual.figures.colour_meaning(fig) == f"The reddest cells stand for {-most:+.3g}, the bluest for {most:+.3g}."
    )
