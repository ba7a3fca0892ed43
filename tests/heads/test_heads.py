"""Composition scores are those of the dense circuits on every shape, beat a stated null, and find planted edges."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import shapes
import torch
import transformers
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components import AttentionBridge

import rsutils
from rsutils import heads, models
from rsutils.models.families import FAMILIES

TOKENS = torch.randint(0, 257, (1, 19), generator=torch.Generator().manual_seed(7))


def dense(model, offset=0):
    """W_OV and W_QK of every head, multiplied out in float64, by label."""
    OV, QK = {}, {}
    for layer, block in enumerate(model.blocks):
        turn = heads.rotation(model, offset, layer).double()
        W_Q, W_K, W_V, W_O = (getattr(block.attn, f"W_{x}").double() for x in "QKVO")
        for head in range(len(W_Q)):
            group = head * len(W_K) // len(W_Q)
            OV[f"L{layer}H{head}"] = W_V[group] @ W_O[head]
            QK[f"L{layer}H{head}"] = W_Q[head] @ turn @ W_K[group].T
    return OV, QK


@pytest.mark.parametrize("offset", [0, 3])
def test_every_pair_is_what_the_dense_circuits_give(model, offset, monkeypatch):
    monkeypatch.setattr(heads.scores, "ROWS", 11)
    OV, QK = dense(model, offset)
    c = heads.circuits(model, offset)
    found = heads.composition(c)
    n_pairs = 0
    for i, source in enumerate(c.labels):
        for j, destination in enumerate(c.labels):
            earlier = int(source[1]) < int(destination[1])
            n_pairs += earlier
            for mode, reader in {"Q": QK[destination], "K": QK[destination].T, "V": OV[destination]}.items():
                if not earlier:
                    assert all(np.isnan(found[mode].metric(metric)[i, j]) for metric in found[mode].metrics)
                    continue
                norm = (OV[source] @ reader).norm().item()
                assert found[mode].norm[i, j] == pytest.approx(norm, rel=1e-5)
                score = norm / (OV[source].norm() * reader.norm()).item()
                assert found[mode].score[i, j] == pytest.approx(score, abs=1e-6)
    assert all(found[mode].there.sum() == n_pairs for mode in heads.MODES)
    assert all(found[mode].sources == found[mode].destinations == c.labels for mode in heads.MODES)


@pytest.mark.parametrize("mode", heads.MODES)
def test_scores_are_those_of_transformer_lens(model, mode):
    theirs = model.all_composition_scores(mode).scores.flatten(0, 1).flatten(1)
    ours = torch.from_numpy(heads.composition(heads.circuits(model))[mode].score)
    assert theirs.max() > 0.1
    torch.testing.assert_close(ours.nan_to_num(0).float(), theirs, atol=1e-6, rtol=0)


def test_thin_factors_have_the_grams_of_the_circuits(model):
    OV, QK = dense(model, offset=2)
    c = heads.circuits(model, offset=2)
    for i, label in enumerate(c.labels):
        full = {"write": OV[label], "Q": QK[label].T, "K": QK[label], "V": OV[label].T}
        for name, W in full.items():
            thin = (c.write if name == "write" else c.read[name])[i].double()
            assert thin.shape == (model.cfg.d_head, model.cfg.d_model)
            torch.testing.assert_close(thin.T @ thin, W.T @ W, atol=1e-5, rtol=1e-5)


def test_offset_free_form_leaves_out_the_other_side(model):
    OV, _ = dense(model)
    c = heads.circuits(model, offset=None)
    found = heads.composition(c)
    attn = model.blocks[2].attn
    for mode, W in {"Q": attn.W_Q[4], "K": attn.W_K[4 * len(attn.W_K) // len(attn.W_Q)]}.items():
        norm = (OV["L0H1"] @ W.double()).norm().item()
        assert found[mode].norm[c.place("L0H1", "L2H4")] == pytest.approx(norm, rel=1e-5)
    np.testing.assert_array_equal(found["V"].score, heads.composition(heads.circuits(model))["V"].score)


def test_offset_matters_with_rotary_positions_only(model):
    near, far = (heads.composition(heads.circuits(model, offset))["K"].score for offset in (0, 5))
    is_rotary = model.cfg.positional_embedding_type == "rotary"
    assert (np.nanmax(np.abs(near - far)) > 1e-3) == is_rotary


@shapes.every_family
@pytest.mark.parametrize("offset", [0, 1, 7])
def test_rotation_gives_the_models_attention_scores(model, offset):
    """With biases, and with the rotation for that distance, the factors give the scores the model computes.

    Norms on queries and keys divide by one number a token, and a head (or all heads together).
    """
    attn = model.blocks[1].attn
    if type(attn) is AttentionBridge:
        pytest.skip("Hugging Face's own attention shows patterns only: see the next test")
    divided = [name for name in ("q_norm", "k_norm") if name in attn.submodules]
    names = ["blocks.1.attn.hook_in", "blocks.1.attn.hook_attn_scores"]
    scales = [f"blocks.1.attn.{name}.hook_scale" for name in divided]
    _, cache = model.run_with_cache(TOKENS, names_filter=[*names, *scales])
    x = cache[names[0]][0]
    cap = getattr(model.cfg, "attn_scores_soft_cap", None) or 0
    for head in range(model.cfg.n_heads):
        group = head * len(attn.W_K) // len(attn.W_Q)
        query, key = x @ attn.W_Q[head], x @ attn.W_K[group]
        if attn.b_Q is not None:
            query, key = query + attn.b_Q[head], key + attn.b_K[group]
        if divided:
            query, key = (
                u / (cache[name][0, i] if cache[name].ndim == 4 else cache[name][0])
                for u, name, i in zip((query, key), scales, (head, group), strict=True)
            )
        scores = query @ heads.rotation(model, offset, 1) @ key.T / model.cfg.d_head**0.5
        scores = cap * (scores / cap).tanh() if cap > 0 else scores
        actual = cache[names[1]][0, head].diagonal(-offset)
        assert actual.std() > 0.1
        torch.testing.assert_close(scores.diagonal(-offset), actual, atol=2e-5, rtol=0)


@shapes.every_family
def test_rotations_give_the_models_patterns(model):
    """All distances at once, within the layer's window, where no norm comes between."""
    if any(map(models.head_norms, model.blocks)):
        pytest.skip("scores are divided by numbers of each token here: see the test before")
    assert_rotations_give_patterns(model)


def assert_rotations_give_patterns(model):
    for layer, block in enumerate(model.blocks):
        names = [f"blocks.{layer}.{name}" for name in ("ln1.hook_normalized", "attn.hook_pattern")]
        _, cache = model.run_with_cache(TOKENS, names_filter=names)
        x, n = cache[names[0]][0], TOKENS.shape[1]
        (W_Q, b_Q), (W_K, b_K), _ = models.attention_readers(block)
        query, key = (
            x @ W + (0 if b is None else b[:, None])
            for W, b in (
                (W_Q, b_Q),
                (W_K[models.kv_heads(block.attn)], b_K if b_K is None else b_K[models.kv_heads(block.attn)]),
            )
        )
        scores = torch.full((model.cfg.n_heads, n, n), -torch.inf)
        for offset in range(models.window(model, layer) or n):
            if offset >= n:
                break
            found = query @ heads.rotation(model, offset, layer) @ key.mT / model.cfg.d_head**0.5
            rows = torch.arange(offset, n)
            scores[:, rows, rows - offset] = found[:, rows, rows - offset]
        cap = getattr(model.cfg, "attn_scores_soft_cap", None) or 0
        scores = cap * (scores / cap).tanh().where(scores.isfinite(), -torch.inf) if cap > 0 else scores
        torch.testing.assert_close(scores.softmax(-1), cache[names[1]][0], atol=2e-5, rtol=0)


SCALED = {
    "linear": {"factor": 3.0},
    "dynamic": {"factor": 3.0},
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "yarn": {"factor": 8.0},
    "longrope": {"factor": 8.0, "short_factor": [1.0, 1.1, 1.3, 1.7], "long_factor": [9.0] * 4},
}
WHOLE, HALF = {"hidden_size": 66, "head_dim": 8}, {"hidden_size": 96}
KINDS = [("llama", kind, WHOLE) for kind in SCALED] + [("phi3", "longrope", HALF), ("stablelm", "yarn", HALF)]


@pytest.fixture
def scaled(request, tmp_path):
    """A model whose positions are scaled, with heads that turn as a whole or in half, and Hugging Face's own."""
    family, kind, shape = request.param
    config = copy.deepcopy(shapes.CONFIGS[family])
    config.update(shape)
    turning = {"partial_rotary_factor": 0.5} if shape is HALF else {}
    config.rope_parameters = {"rope_type": kind, "rope_theta": 100.0, "original_max_position_embeddings": 37}
    config.rope_parameters |= turning | SCALED[kind]
    config.original_max_position_embeddings = 37  # where Phi-3 looks
    reference = shapes.random_model(config)
    reference.save_pretrained(tmp_path)
    shapes.byte_tokenizer().save_pretrained(tmp_path)
    return reference, rsutils.load_model(tmp_path)


@pytest.mark.parametrize("scaled", KINDS, indirect=True, ids=lambda case: " ".join(case[:2]))
def test_rotations_hold_what_scales_positions(scaled):
    """Frequencies are divided, and in YaRN and LongRoPE queries and keys grow by a factor each."""
    reference, model = scaled
    with torch.no_grad():
        torch.testing.assert_close(model(TOKENS), reference(TOKENS).logits, atol=2e-5, rtol=0)
    assert_rotations_give_patterns(model)
    ids = heads.repeated_tokens(model, length=11, batch=3)
    split = heads.split_preference(model, ids, 2, 1)
    assert split.terms.sum().item() == pytest.approx(split.measured, abs=1e-4)


@pytest.mark.parametrize("scaled", [KINDS[4], KINDS[5]], indirect=True, ids=lambda case: case[0])
def test_a_text_that_longrope_turns_otherwise_is_beyond_the_context(scaled):
    _, model = scaled
    assert model.cfg.n_ctx == 37
    heads.patterns(model, TOKENS[:, [0] * 37])
    with pytest.raises(rsutils.CourseError, match="at most 37 tokens"):
        heads.patterns(model, TOKENS[:, [0] * 38])


# The null.


def random_circuits(seed=0, n_directions=31, spectrum=(3.0, 2.0, 2.0, 1.0, 1.0)) -> heads.Circuits:
    """Four heads, two a layer, of the given singular values."""
    generator = torch.Generator().manual_seed(seed)
    thin = torch.diag(torch.tensor(spectrum)) @ torch.randn(16, len(spectrum), n_directions, generator=generator)
    write, Q, K, V = thin.split(4)
    return heads.Circuits("random", ["L0H0", "L0H1", "L1H0", "L1H1"], 2, n_directions, write, {"Q": Q, "K": K, "V": V})


def test_null_is_what_random_rotations_give():
    """Spectra fixed, a random rotation between: mean 1/n_directions, the stated deviation, so z is standard."""
    c = random_circuits()
    generator = torch.Generator().manual_seed(1)
    squares, z = [], []
    for _ in range(3000):
        R = torch.nn.init.orthogonal_(torch.empty(c.n_directions, c.n_directions), generator=generator)
        found = heads.composition(replace(c, write=c.write @ R))
        squares.append(found["K"].score[0, 3] ** 2)
        z.append(found["K"].z[0, 3])
    squares, z = np.array(squares), np.array(z)
    assert squares.mean() == pytest.approx(1 / c.n_directions, rel=0.02)
    assert z.mean() == pytest.approx(0, abs=0.07)
    assert z.std(ddof=1) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_drawn_null_agrees_with_the_closed_form(small_models, kind):
    """On centred and on plain writers; with d_model for ``n_directions`` the first would be three errors off."""
    c = heads.circuits(small_models[kind])
    squares = heads.null_scores(c, "Q", "L0H3", "L2H1", n=4000).double() ** 2
    found, at = heads.composition(c)["Q"], c.place("L0H3", "L2H1")
    deviation = (found.score[at] ** 2 - 1 / c.n_directions) / found.z[at]
    assert squares.std().item() == pytest.approx(deviation, rel=0.08)
    assert squares.mean().item() == pytest.approx(1 / c.n_directions, abs=4 * deviation / 4000**0.5)


def test_centred_writers_have_one_dimension_less(small_models):
    """Folded and centred circuits of a LayerNorm model never touch the all-ones direction."""
    for kind, model in small_models.items():
        c = heads.circuits(model)
        along = c.write.sum(-1).abs().max()
        assert (along < 1e-5) == (c.n_directions == model.cfg.d_model - 1) == (FAMILIES[kind].norm == "LayerNorm")


# Planted edges: of 18 heads in 3 layers, L0H1 feeds the queries, L0H0 the keys, L1H1 the values of L2H0.

PLANTED = {"Q": ("L0H1", "L2H0"), "K": ("L0H0", "L2H0"), "V": ("L1H1", "L2H0")}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("planted")
    config = transformers.GPT2Config(n_positions=61, n_embd=78, n_layer=3, n_head=6, **shapes.SHARED)
    hf_model, tokenizer = shapes.random_model(config), shapes.byte_tokenizer()
    tokenizer.save_pretrained(directory)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = TransformerBridge.boot_transformers("planted", hf_model=hf_model, tokenizer=tokenizer, device="cpu")
    model.requires_grad_(False)
    model.info = rsutils.models.ModelInfo("planted", "test", "", 0, False, False)
    directions = torch.nn.init.orthogonal_(torch.empty(78, 78), generator=torch.Generator().manual_seed(2))
    destination = model.blocks[2].attn
    for (mode, (source, _)), rows in zip(PLANTED.items(), directions[:9].split(3), strict=True):
        reader = {"Q": destination.W_Q, "K": destination.W_K, "V": destination.W_V}[mode][0]
        reader[:, :3] += 4 * rows.T
        model.blocks[int(source[1])].attn.W_O[int(source[3]), :3] += 4 * rows
    loud = model.blocks[1].attn.W_O[0]
    loud *= 30
    return model


@pytest.mark.parametrize("metric", ["score", "z"])
def test_planted_edges_come_first(planted, metric):
    found = heads.composition(heads.circuits(planted))
    for mode, (source, destination) in PLANTED.items():
        assert found[mode].top(metric, 1)[0][:2] == (source, destination)
        assert found[mode].rank(source, destination, metric) == 1


def test_one_loud_head_hides_planted_edges_from_the_raw_norm(planted):
    found = heads.composition(heads.circuits(planted))
    for mode in ("Q", "K"):
        assert found[mode].top("norm", 1)[0].source == "L1H0"


def test_backward_circuit_misses_planted_edges(planted):
    """The wrong formula ``W_Q.T @ W_OV`` asks what the source reads, so it compares with its reading side."""
    c = heads.circuits(planted)
    wrong = heads.composition(replace(c, write=c.read["V"]))
    assert wrong["Q"].rank(*PLANTED["Q"]) > 1
    assert wrong["K"].rank(*PLANTED["K"]) > 1
    OV, _ = dense(planted)
    W_Q = planted.blocks[2].attn.W_Q[0].double()
    free = heads.circuits(planted, offset=None)
    norm = heads.composition(replace(free, write=free.read["V"]))["Q"].norm[1, 12]
    assert norm == pytest.approx((W_Q.T @ OV["L0H1"]).norm().item(), rel=1e-5)


def test_a_head_that_writes_nothing_that_is_read_scores_zero():
    c = random_circuits()
    write = torch.zeros_like(c.write)
    write[..., :13] = c.write[..., :13]
    K = torch.zeros_like(c.read["K"])
    K[..., 13:] = c.read["K"][..., 13:]
    assert heads.composition(replace(c, write=write, read=c.read | {"K": K}))["K"].score[:2, 2:].max() < 1e-6


# Components and lists.


def test_components_are_those_of_the_dense_circuits_and_show_the_planted_directions(planted):
    c = heads.circuits(planted)
    shares = heads.components(c, "K", *PLANTED["K"]).shares
    assert shares.shape == (13, 13)
    assert shares.sum().item() == pytest.approx(1, abs=1e-5)
    assert shares[:3, :3].sum() > 0.95
    OV, QK = dense(planted)
    _, s_write, directions = torch.linalg.svd(OV["L0H0"])
    read_directions, s_read, _ = torch.linalg.svd(QK["L2H0"].T)
    parts = (s_write[:, None] * (directions @ read_directions) * s_read).square()[:13, :13]
    torch.testing.assert_close(shares.double(), parts / parts.sum(), atol=1e-5, rtol=1e-4)


def test_top_lists_pairs_in_falling_order(small_models):
    found = heads.composition(heads.circuits(small_models["llama"]))["V"]
    pairs = found.top(n=1000)
    assert len(pairs) == found.there.sum() == 360
    assert [value for *_, value in pairs] == sorted((value for *_, value in pairs), reverse=True)
    assert [found.rank(s, d) for s, d, _ in pairs[:5]] == [1, 2, 3, 4, 5]


def test_unknown_head_gets_one_line(small_models):
    with pytest.raises(rsutils.CourseError, match="L0H0 to L2H4, got 'L9H9'"):
        heads.circuits(small_models["gpt2"]).index("L9H9")
