"""The figures of chapter 05: titles and words are true of the data they show, and every explorer redraws."""

import numpy as np
import pytest
import torch

import rsutils
from rsutils import heads
from rsutils.compare import rank_correlation


@pytest.fixture(scope="module")
def found(small_models):
    c = heads.circuits(small_models["gpt2"])
    return c, heads.composition(c)


def values(fig) -> torch.Tensor:
    return torch.tensor(np.asarray(fig.data[0].z, dtype=np.float32))  # a cell without a value may be None or NaN


@pytest.mark.parametrize("mode", heads.MODES)
@pytest.mark.parametrize("metric", ["norm", "score", "z"])
def test_composition_title_names_the_largest_cell(found, mode, metric):
    labels = found[0].labels
    fig = heads.figures.composition(found[1], mode, metric)
    source, destination = divmod(values(fig).nan_to_num(-1).argmax().item(), len(labels))
    assert f"{labels[source]} feeds the {heads.figures.READS[mode]} of {labels[destination]} most" in fig.words
    assert "destination" in fig.layout.xaxis.title.text
    assert "source" in fig.layout.yaxis.title.text


def test_token_table_title_counts_the_diagonal(model):
    for circuit in ("OV", "QK"):
        table = heads.token_table(model, "hello", 1, 4, circuit)
        own = sum(row.argmax() == i for i, row in enumerate(table.values)) / len(table.words)
        fig = heads.figures.token_table(table)
        assert f"{circuit} of L1H4: " in fig.words
        assert f"largest of its row for {own:.0%}" in fig.words
        torch.testing.assert_close(values(fig), table.values)


def test_roles_name_the_best_heads(small_models):
    scores = {role: torch.rand(3, 5) for role in ("previous token", "duplicate token", "induction")}
    scores["induction"][2, 1] = 2
    assert "most induction: L2H1 (2.00)" in heads.figures.roles(scores).words


def test_null_marks_the_pair(found):
    c, scores = found
    source, destination, z = scores["K"].top(n=1)[0]
    drawn = heads.null_scores(c, "K", source, destination, n=40)
    fig = heads.figures.null(drawn, scores, "K", source, destination)
    assert f"z {z:.1f}" in fig.words
    assert f"40 random rotations reach {drawn.max():.3f}" in fig.words
    score = scores["K"].score[c.place(source, destination)]
    assert fig.layout.shapes[0].x0 == pytest.approx(score)


def test_components_name_the_largest_share(found):
    fig = heads.figures.components(heads.components(found[0], "V", "L0H3", "L1H2"))
    i, j = divmod(values(fig).argmax().item(), values(fig).shape[1])
    assert f"direction {i} written and direction {j} read carry {values(fig).max():.0%}" in fig.words


def test_prediction_shows_every_pair_once(small_models, found):
    model = small_models["gpt2"]
    effects = heads.ablate_each_head(model, heads.repeated_tokens(model, 5, batch=1))
    fig = heads.figures.prediction(found[1], effects, "Q", "norm")
    assert len(fig.data[0].x) == 75
    assert f"rank correlation {rank_correlation(found[1]['Q'].norm, effects.pattern):.2f}" in fig.words
    at = list(fig.data[0].text).index("L0H2 to L2H4")
    assert fig.data[0].y[at] == pytest.approx(effects.pattern[2, 14].item())


def test_explorers_redraw(small_models, found, monkeypatch):
    monkeypatch.setenv("RSUTILS_STRICT", "1")
    model = small_models["llama"]
    explorer = rsutils.Explorer(
        lambda text, layer, head, circuit: heads.figures.token_table(
            heads.token_table(model, text, layer, head, circuit)
        ),
        text="hello",
        layer=range(5),
        head=range(6),
        circuit=["OV", "QK"],
    )
    assert "QK of L4H5" in explorer.set(layer=4, head=5, text="abab", circuit="QK").static().words
    explorer.set(text="")
    assert "empty" in explorer.error.value
    c, scores = found
    explorer = rsutils.Explorer(
        lambda mode, pair: heads.figures.components(heads.components(c, mode, *scores[mode].top()[pair][:2])),
        mode=["K", "Q", "V"],
        pair=lambda mode: [f"{s} to {d}" for s, d, _ in scores[mode].top()],
    )
    source, destination, _ = scores["V"].top()[7]
    assert f"{source} to {destination}, V" in explorer.set(mode="V", pair=7).static().words
