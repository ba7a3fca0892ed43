"""The writes are all there: their running sum is the stream, bit for bit, and through the final norm the logits."""

import re

import pytest
import shapes
import torch
from transformer_lens.tools.analysis import direct_logit_attribution, logit_lens

import rsutils
from rsutils import traces

TEXT = "The cat sat on the mat"
BOUND = 2e-6  # float32 sums of up to 71 terms of size about one
PAIR = traces.Contrast(torch.tensor([[1, 2]]), 3, 5, (" Mary", " John"))


@pytest.fixture
def found(model):
    return traces.trace(model, TEXT)


def test_running_sum_is_the_stream_bit_for_bit(found):
    assert found.streams.shape == (found.model.cfg.n_layers + 1, len(found.labels), found.model.cfg.d_model)
    assert torch.equal(traces.rebuild(found), found.streams)


def test_parallel_blocks_add_attention_and_mlp_first(small_models):
    """The order matters in the last bit: this is why rebuild has two ways to add."""
    found = traces.trace(small_models["gpt_neox"], TEXT)
    one_by_one = found.writes.cumsum(dim=0)[2::2]
    assert not torch.equal(one_by_one, found.streams[1:])
    torch.testing.assert_close(one_by_one, found.streams[1:], atol=BOUND, rtol=0)


def test_nothing_is_dropped(found):
    """Embedding and layer 0 come first; positions are there where the model adds them to the stream."""
    has_positions = found.model.cfg.positional_embedding_type == "standard"
    assert found.names[0] == "embed" and ("pos_embed" in found.names) == has_positions
    assert len(found.names) == len(found.writes) == 1 + has_positions + 2 * found.model.cfg.n_layers
    assert "0_attn_out" in found.names and "0_mlp_out" in found.names


def capped(model, logits):
    """What a model that caps its logits makes of them; most return them as they are."""
    cap = model.cfg.output_logits_soft_cap
    return cap * (logits / cap).tanh() if cap > 0 else logits


def test_sum_through_the_final_norm_gives_the_logits(found):
    model, total = found.model, traces.rebuild(found)[-1:]
    assert torch.equal(model.unembed(model.ln_final(total))[0], found.logits)
    assert torch.equal(model(found.tokens)[0], capped(model, found.logits))


def test_logits_are_linear_in_the_writes_given_the_scale(found):
    model = found.model
    centred = found.writes - found.writes.mean(-1, keepdim=True) * (model.cfg.normalization_type == "LN")
    terms = centred / found.cache["ln_final.hook_scale"] @ model.W_U
    torch.testing.assert_close(terms.sum(0) + model.b_U, found.logits, atol=1e-5, rtol=0)


def test_streams_read_are_those_the_model_normalised(found):
    """The norms' inputs are hooked in a second run, so that this does not use what the module kept."""
    _, cache = found.model.run_with_cache(found.tokens)
    read = traces.read_streams(found)
    assert not read[0].any()
    for layer in range(found.model.cfg.n_layers):
        attn, mlp = read[found.names.index(f"{layer}_attn_out")], read[found.names.index(f"{layer}_mlp_out")]
        assert torch.equal(attn, cache[f"blocks.{layer}.ln1.hook_in"][0])
        assert torch.equal(mlp, cache[f"blocks.{layer}.ln2.hook_in"][0])


def test_measures_against_a_loop(found):
    measures = traces.measure(found)
    read, final = traces.read_streams(found), found.streams[-1]
    for w, pos in [(0, 0), (1, 2), (len(found.names) - 1, 7)]:
        write = found.writes[w, pos]
        assert measures.norm[w, pos] == pytest.approx(write.square().sum().sqrt().item(), rel=1e-5)
        share = (write @ final[pos]) / (final[pos] @ final[pos])
        assert measures.share[w, pos] == pytest.approx(share.item(), abs=1e-5)
        for cosine, other in [(measures.cosine_before, read[w, pos]), (measures.cosine_final, final[pos])]:
            if other.any():
                expected = torch.nn.functional.cosine_similarity(write, other, dim=0)
                assert cosine[w, pos] == pytest.approx(expected.item(), abs=1e-5)
    assert measures.cosine_before[0].isnan().all() and not measures.cosine_before[1:].isnan().any()
    torch.testing.assert_close(measures.share.sum(0), torch.ones(len(found.labels)), atol=1e-5, rtol=0)


def test_growth_recovers_a_factor_and_tells_a_bad_fit():
    steps = torch.arange(11)
    assert traces.growth(3 * 1.045**steps).factor == pytest.approx(1.045, abs=1e-6)
    assert traces.growth(3 * 0.9**steps).factor == pytest.approx(0.9, abs=1e-6)
    zigzag = torch.tensor([1.0, 9.0, 1.0, 9.0, 1.0])
    assert traces.growth(zigzag).r2 < 0.1 and traces.growth(zigzag).factor == pytest.approx(1)
    with pytest.raises(rsutils.CourseError, match="at least 2"):
        traces.growth(torch.tensor([1.0]))


@pytest.mark.parametrize("wrong", [0.0, -1.0, torch.nan, torch.inf])
def test_growth_of_what_has_no_logarithm_is_refused(wrong):
    with pytest.raises(rsutils.CourseError, match="norms above zero"):
        traces.growth(torch.tensor([1.0, wrong, 2.0]))


def test_a_flat_line_fits_norms_that_stay_the_same():
    for norm in (1.0, 3.3, 1e-6):
        assert traces.growth(torch.full((7,), norm)) == (pytest.approx(1), 1)


def test_parts_by_source_position_sum_to_the_heads_and_heads_to_attn_out(found):
    """Heads by TransformerLens, from another hook (z) than the readings use (v and pattern)."""
    model, last = found.model, len(found.labels) - 1
    heads = found.cache.stack_head_results().unflatten(0, (model.cfg.n_layers, model.cfg.n_heads))
    for layer in range(model.cfg.n_layers):
        b_O = model.blocks[layer].attn.b_O
        everything = heads[layer].sum(0) + (0 if b_O is None else b_O)
        torch.testing.assert_close(everything, found.cache["attn_out", layer], atol=BOUND, rtol=0)
        for head in range(model.cfg.n_heads):
            for destination in (0, 5, last):
                read = traces.by_source_position(found, layer, head, destination)
                torch.testing.assert_close(read.sum(0), heads[layer, head, destination], atol=BOUND, rtol=0)
                assert not read[destination + 1 :].any()  # the causal mask


def test_parts_by_source_position_refuse_what_is_not_there(found):
    n_layers, n_heads = found.model.cfg.n_layers, found.model.cfg.n_heads
    wrong = [((n_layers, 0, 0), "layer"), ((0, n_heads, 0), "head"), ((0, 0, 99), "position"), ((-1, 0, 0), "layer")]
    for place, word in wrong:
        with pytest.raises(rsutils.CourseError, match=f"a {word} from 0 to"):
            traces.by_source_position(found, *place)


def test_contrast_goes_on_to_the_first_token_that_differs(small_models):
    model = small_models["llama"]  # one token a byte: " Mary" and " John" share the space
    pair = traces.contrast(model, "gave a drink to", " Mary", " John")
    assert model.to_string(pair.tokens[0, 1:]) == "gave a drink to "
    assert (model.to_string([pair.right]), model.to_string([pair.wrong])) == pair.words == ("M", "J")
    logits = torch.randn(3, model.cfg.d_vocab)
    assert torch.equal(pair.gap(logits), logits[:, pair.right] - logits[:, pair.wrong])
    for answers in [(" Mary", " Mary"), (" Mary", " Maryland"), ("", " John")]:
        with pytest.raises(rsutils.CourseError, match="part somewhere"):
            traces.contrast(model, "gave to", *answers)


@shapes.every_family
def test_transformerlens_attribution_and_lens_agree_with_the_writes(model):
    pair = traces.contrast(model, "to", " Mary", " John")
    found = traces.trace(model, pair.tokens)
    gap, bias = pair.gap(found.logits[-1]).item(), pair.gap(model.b_U).item()
    for unit in ("component", "head"):
        theirs = direct_logit_attribution(model, None, pair.right, pair.wrong, unit=unit, cache=found.cache)
        assert theirs.attribution.sum().item() + bias == pytest.approx(gap, abs=1e-5)
    theirs = direct_logit_attribution(model, None, pair.right, pair.wrong, cache=found.cache)
    assert theirs.labels == found.names
    lens = logit_lens(found.cache, positions=None)
    through = capped(model, model.unembed(model.ln_final(found.streams)))
    torch.testing.assert_close(lens.readout.values, through, atol=1e-5, rtol=0)


def test_zero_ablated_cuts_one_write_at_one_position(found):
    name, position = "1_mlp_out", 3
    cut = traces.zero_ablated(found, name, position)
    index = found.names.index(name)
    assert not cut.writes[index, position].any() and found.writes[index, position].any()
    assert torch.equal(cut.writes[:index], found.writes[:index])
    assert torch.equal(cut.streams[:, :position], found.streams[:, :position])
    assert not torch.allclose(cut.writes[-1, position:], found.writes[-1, position:], atol=1e-3)
    assert torch.equal(traces.rebuild(cut), cut.streams)
    assert torch.equal(traces.trace(found.model, TEXT).logits, found.logits)  # the hook is gone
    for name in ("embed", "0_attn_out"):
        assert not traces.zero_ablated(found, name, 2).writes[found.names.index(name), 2].any()
    with pytest.raises(rsutils.CourseError, match="one of the writes embed"):
        traces.zero_ablated(found, "9_mlp_out", 0)
    for position in (len(found.labels), -1):
        with pytest.raises(rsutils.CourseError, match="a position from 0 to"):
            traces.zero_ablated(found, "embed", position)


def test_empty_and_too_long_text_get_one_line(small_models):
    with pytest.raises(rsutils.CourseError, match="empty"):
        traces.trace(small_models["gpt2"], "")
    with pytest.raises(rsutils.CourseError, match="at most 61"):
        traces.trace(small_models["gpt2"], "x" * 99)


# The figures: what they say is what the arrays hold.


def test_every_figure_can_be_drawn_on_every_model(found):
    """Titles and alt texts are asked for by the figures themselves; here they must be computable everywhere."""
    shape, n_writes, n_pos = found.streams.shape[:2], len(found.names), len(found.labels)
    ids = torch.zeros(shape, dtype=torch.long)
    compared = traces.trace(found.model, "The cat sat in the mat")
    drawn = [
        (traces.figures.norm_lines(found), 4 * shape[:1]),
        (traces.figures.norm_map(found), shape),
        *((traces.figures.writes(found, 2, kind), (n_writes,)) for kind in traces.figures.MEASURES),
        (traces.figures.cancellation(found, 2), (n_writes, n_writes)),
        (traces.figures.reading(found, 0, 1, 4), (n_pos, n_pos)),
        (traces.attribution.lens(found, ids, torch.rand(shape)), shape),
        (traces.attribution.writes(found.names, {"direct": torch.randn(n_writes)}, PAIR), (n_writes,)),
        (traces.figures.head_component(found, 1, 1, 4), shape[:1]),
        (traces.figures.difference(found, compared), shape),
    ]
    for figure, size in drawn:
        data = figure.data
        assert data[0].z.shape == size if data[0].type == "heatmap" else tuple(len(part.y) for part in data) == size
        assert not re.search(r"\b(nan|inf)\b", figure.words), figure.words


def test_the_embedding_has_no_cosine_with_what_was_there_before(found):
    """Neither a bar nor the largest or smallest of them: it reads tokens alone."""
    figure = traces.figures.writes(found, 2, "cosine_before")
    values = torch.tensor(figure.data[0].y)
    assert values[0].isnan() and not values[1:].isnan().any()
    assert f"largest for {found.names[values[1:].argmax() + 1]} ({values[1:].max():.2f})" in figure.words
    assert f"smallest for {found.names[values[1:].argmin() + 1]} ({values[1:].min():.2f})" in figure.words
    assert f"each of {len(values) - 1} writes" in figure.words


def test_figures_hold_what_the_module_computes(found):
    norms = found.streams.norm(dim=-1)
    lines = {line.name: torch.tensor(line.y) for line in traces.figures.norm_lines(found).data}
    assert torch.equal(lines["first position"], norms[:, 0])
    assert torch.equal(lines["median of the other positions"], norms[:, 1:].median(1).values)
    share = traces.figures.writes(found, 3, "share").data[0].y
    assert share.sum() == pytest.approx(1, abs=1e-5)
    for bar in traces.figures.reading(found, 1, 2, 5).data:
        assert bar.y.sum() == pytest.approx(1, abs=1e-5)


def test_following_a_head_jumps_by_what_its_layer_adds(found):
    """The jump is one (the head itself) plus what its layer's other heads and MLP add along the same direction."""
    layer, head, position = 1, 1, 4
    amount = torch.tensor(traces.figures.head_component(found, layer, head, position).data[0].y)
    write = traces.by_source_position(found, layer, head, position).sum(0)
    others = found.cache["attn_out", layer][position] - write + found.cache["mlp_out", layer][position]
    jump = 1 + (others @ write / (write @ write)).item()
    assert amount[layer + 1] - amount[layer] == pytest.approx(jump, abs=1e-4)


def test_prompts_differ_from_the_first_token_that_differs(found):
    other = traces.trace(found.model, TEXT.replace("sat", "sit"))
    place = next(i for i, (a, b) in enumerate(zip(found.labels, other.labels, strict=True)) if a != b)
    z = torch.tensor(traces.figures.difference(found, other).data[0].z)
    assert not z[:, :place].any() and z[0, place] > 0 and not z[0, place + 1 :].any() and z[-1, place:].all()
    with pytest.raises(rsutils.CourseError, match="equal length"):
        traces.figures.difference(found, traces.trace(found.model, TEXT + "s"))


def test_one_token_has_no_other_positions(small_models):
    one = traces.trace(small_models["gpt2"], torch.tensor([[5]]))
    with pytest.raises(rsutils.CourseError, match="at least two tokens"):
        traces.figures.norm_lines(one)


def test_cumulative_share_names_the_write_that_brings_the_half():
    share = torch.tensor([0.125, 0.0, 0.75, 0.5, 1.0])
    fig = traces.figures.cumulative_share(share, ["a", "b", "c", "d", "e"], " mat")
    assert fig.data[0].y.tolist() == share.tolist()
    assert "at ' mat' is there for the first time after c" in fig.words
    assert "5 writes from 0.12 to 1.00; it falls at 2 writes." in fig.words


def test_heads_names_the_layer_that_cancels_most():
    added = torch.tensor([[1.0, 1.0, 1.0], [4.0, -3.0, 0.5]])
    fig = traces.attribution.heads(added, PAIR)
    assert torch.equal(torch.tensor(fig.data[0].z), added)
    assert (fig.layout.xaxis.title.text, fig.layout.yaxis.title.text) == ("head", "layer")
    assert "Heads of layer 1 cancel most: their sizes sum to 7.5, they themselves to +1.5" in fig.words
    assert "2 layers by 3 heads, from -3.00 to 4.00." in fig.words


def test_sources_names_the_position_that_gives_most():
    fig = traces.attribution.sources(torch.tensor([0.5, 2.0, -0.25]), ["The", " Mary", " to"], 5, 3, PAIR)
    assert fig.data[0].y.tolist() == [0.5, 2.0, -0.25]
    assert "Head 3 of layer 5 reads ' Mary' at ' Mary': +2.00 of +2.25" in fig.words
    assert fig.layout.yaxis.title.text == "added to ' Mary' over ' John'"


def test_remains_begins_with_the_write_itself():
    fig = traces.figures.remains(torch.tensor([1.0, -0.5, 0.25]), ["1_mlp_out", "2_attn_out", "2_mlp_out"])
    assert fig.data[0].y.tolist() == [1.0, -0.5, 0.25]
    assert "Of what 1_mlp_out wrote, 0.25 is left at the end" in fig.words
    assert "A line from 1 to 0.25 over 3 writes, lowest -0.50." in fig.words


def test_explorers_follow_their_controls_and_show_errors_beside_the_figure(small_models, monkeypatch):
    model = small_models["gpt2"]
    monkeypatch.setenv("RSUTILS_STRICT", "1")

    def draw(text, layer, head, destination):
        return traces.figures.reading(traces.trace(model, text), layer, head, destination)

    controls = {"layer": range(model.cfg.n_layers), "head": range(model.cfg.n_heads)}
    explorer = rsutils.Explorer(draw, text=TEXT, **controls, destination=lambda text: model.to_str_tokens(text))
    explorer.set(layer=1, head=2, destination=5)
    expected = traces.trace(model, TEXT).cache["pattern", 1][2, 5]
    assert torch.equal(torch.tensor(explorer.figure.data[0].y), expected)
    explorer.set(text="The dog")
    assert len(explorer.figure.data[0].y) == len(traces.trace(model, "The dog").labels)
    explorer.set(text="")
    assert "type at least one character" in explorer.error.value

    def compare(first, second):
        return traces.figures.difference(traces.trace(model, first), traces.trace(model, second))

    explorer = rsutils.Explorer(compare, first=TEXT, second=TEXT.replace("cat", "dog")).set(second="The dog")
    assert "equal length" in explorer.error.value
