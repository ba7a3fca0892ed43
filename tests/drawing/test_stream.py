"""The picture of the stream shows every write at its size, says it in words, and none of its texts touch or are cut."""

import re
import xml.etree.ElementTree as ET

import pytest
import shapes
import torch
from IPython.core.formatters import DisplayFormatter

from rsutils import traces
from rsutils.drawing import stream
from rsutils.drawing.colours import COLOURS
from rsutils.drawing.svg import clip, text_width
from rsutils.errors import CourseError
from rsutils.traces.picture import numbers

TEXT = "The cat sat on the mat"
SVG = "{http://www.w3.org/2000/svg}"


def made_up(n_layers, *, positions=True, parallel=False, seed=0):
    """Writes of a random model whose layers write more and more, drawn as ``draw`` takes them."""
    generator = torch.Generator().manual_seed(seed)
    layers = [f"{layer}_{kind}_out" for layer in range(n_layers) for kind in ("attn", "mlp")]
    names = ["embed", *["pos_embed"] * positions, *layers]
    sizes = torch.rand(len(names), 1, generator=generator) * 1.1 ** torch.arange(len(names))[:, None] + 0.01
    writes = torch.randn(len(names), 61, generator=generator) * sizes
    final = writes.sum(dim=0)
    return dict(
        tokens=["The", " capital", " of", " France", " is"],
        names=names,
        norms=writes.norm(dim=-1),
        shares=writes @ final / (final @ final),
        after=writes.cumsum(dim=0).norm(dim=-1),
        likeliest=[(" Paris", 0.625), (" Versailles-sur-Seine", 0.125), ("\n", 0.0001)],
        parallel=parallel,
    )


SHAPES = {
    "1 layer": made_up(1),
    "2 layers": made_up(2),
    "4 layers": made_up(4),
    "6 layers, parallel": made_up(6, positions=False, parallel=True),
    "7 layers": made_up(7, positions=False),
    "12 layers": made_up(12),
    "30 layers": made_up(30, positions=False),
    "30 layers, parallel": made_up(30, parallel=True),
    "96 layers": made_up(96),
}


def views(picture):
    """The wide and, where there is one, the tall picture as XML."""
    return [ET.fromstring(text) for text in (picture.svg, picture.tall) if text]


def ribbons(root):
    """Width of each write's ribbon, in the order in which they were drawn, and whether it is striped."""
    found = root.findall(f".//{SVG}path[@class='rs-writes']") + root.findall(f".//{SVG}path[@class='rs-against']")
    drawn = {id(path): path for path in found if path.get("stroke").startswith("url")}
    ordered = [path for path in root.iter(f"{SVG}path") if id(path) in drawn]
    return [(float(path.get("stroke-width")), path.get("class") == "rs-against") for path in ordered]


def boxes(root):
    """Content, left, top, right and bottom of every text."""
    for text in root.iter(f"{SVG}text"):
        looks = (text.get("class") or "").split()
        size = 18 if "rs-h" in looks else 14
        width = text_width(text.text, size, bold=bool({"rs-h", "rs-b"} & set(looks)))
        left = float(text.get("x")) - width * {None: 0, "middle": 0.5, "end": 1}[text.get("text-anchor")]
        y = float(text.get("y"))
        yield text.text, left, y - 0.75 * size, left + width, y + 0.22 * size


@shapes.every_family
def test_every_write_of_every_family_has_a_ribbon(model):
    found = traces.trace(model, TEXT)
    measures = traces.measure(found)
    for root in views(stream.draw(*numbers(found, len(found.labels) - 1))):
        drawn = ribbons(root)
        assert len(drawn) == len(found.names)
        assert [striped for _, striped in drawn] == (measures.share[:, -1] < 0).tolist()


def test_the_numbers_are_those_of_the_trace(embedded):
    found = traces.trace(embedded, TEXT)
    given = numbers(found, 3)
    assert given.tokens == found.labels[1:4]  # without the token that marks the beginning
    torch.testing.assert_close(given.norms, traces.measure(found).norm[:, 3])
    torch.testing.assert_close(given.after[-1], found.streams[-1, 3].norm())
    assert given.shares.sum().item() == pytest.approx(1, abs=1e-5)
    best = found.logits[3].softmax(-1).max()
    assert given.likeliest[0] == (embedded.to_string([found.logits[3].argmax()]), pytest.approx(best.item()))
    assert numbers(found, 0).tokens == found.labels[:1]


@pytest.mark.parametrize("shape", SHAPES)
def test_ribbons_and_lane_are_as_wide_as_the_vectors_are_long_on_one_scale(shape):
    given = SHAPES[shape]
    for root in views(stream.draw(**given)):
        width = torch.tensor([width for width, _ in ribbons(root)])
        scale = (width / given["norms"])[given["norms"].argmax()]
        expected = (given["norms"] * scale).clamp(min=0.8)
        torch.testing.assert_close(width, expected, atol=0.011, rtol=0)  # coordinates have two decimals
        lane = next(path for path in root.iter(f"{SVG}path") if "-lane" in path.get("fill", ""))
        points = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+),([\d.]+)", lane.get("d"))]
        across = [y for _, y in points] if "rs-wide" in root.get("class") else [x for x, _ in points]
        states = given["after"][1:] if given["names"][1] == "pos_embed" else given["after"]
        states = states[::2] if given["parallel"] else states
        assert max(across) - min(across) == pytest.approx((states.max() * scale).item(), abs=0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_text_is_cut_or_touches_another(shape):
    for lit in (None, "mlp", "attn", "stream", "embed", 0):
        for root in views(stream.draw(**SHAPES[shape], lit=lit)):
            width, height = map(float, root.get("viewBox").split()[2:])
            found = list(boxes(root))
            for i, (name, left, top, right, bottom) in enumerate(found):
                assert left >= 4 and right <= width - 4 and top >= 2 and bottom <= height - 2, name
                for other, a, b, c, d in found[:i]:
                    assert right <= a or c <= left or bottom <= b or d <= top, (name, other)


@pytest.mark.parametrize("shape", ["1 layer", "2 layers", "4 layers", "6 layers, parallel"])
def test_up_to_six_layers_every_write_has_its_name_and_norm(shape):
    for root in views(stream.draw(**SHAPES[shape])):
        texts = [text.text for text in root.iter(f"{SVG}text")]
        n_layers = sum(name.endswith("mlp_out") for name in SHAPES[shape]["names"])
        assert texts.count("attention") == texts.count("MLP") == n_layers
        parts = [g for g in root.iter(f"{SVG}g") if "rs-unembed" not in g.get("class")]
        for part, norm in zip(parts, SHAPES[shape]["norms"].tolist(), strict=True):
            _, told = [text.text for text in part.iter(f"{SVG}text")]
            assert float(told.split()[0]) == pytest.approx(norm, abs=0.51)


def test_many_layers_are_numbered_and_the_longest_write_is_named():
    given = SHAPES["30 layers"]
    longest = given["names"][given["norms"].argmax()]
    for root in views(stream.draw(**given)):
        texts = {text.text for text in root.iter(f"{SVG}text")}
        assert {"layer 0", "layer 5", "layer 25"} <= texts and "layer 1" not in texts
        assert longest.replace("_attn_out", "").replace("_mlp_out", "") in {
            t.split()[-1] for t in texts if "MLP" in t or "attention" in t
        }


def test_blocks_in_parallel_read_one_stream_at_one_place():
    def feet(parallel):
        """Where the readers of the layers stand on the lane: along it, and how far from its middle."""
        root, _ = views(stream.draw(**(SHAPES["4 layers"] | dict(parallel=parallel))))
        dots = root.findall(f".//{SVG}g/{SVG}path[@class='rs-reads']")[2:-1]
        points = [tuple(map(float, path.get("d")[1:].split("L")[0].split(","))) for path in dots]
        middle = (points[0][1] + points[1][1]) / 2 if parallel else None
        return [x for x, _ in points], [abs(y - middle) for _, y in points] if parallel else []

    (together, widths), (in_turn, _) = feet(True), feet(False)
    assert together[::2] == together[1::2]
    assert widths[::2] == pytest.approx(widths[1::2])
    assert in_turn == sorted(in_turn) and len(set(in_turn)) == 8


@pytest.mark.parametrize("lit", ["mlp", "attn", "embed", "pos", "unembed", "stream", 2, "1_attn_out", ["0_mlp_out", 3]])
def test_what_is_lit_is_lit_and_the_rest_is_quiet(lit):
    given = SHAPES["4 layers"]
    picture = stream.draw(**given, lit=lit)
    (root,) = views(picture)
    assert float(root.get("viewBox").split()[3]) <= 140
    wanted = lit if isinstance(lit, list) else [lit]

    def is_lit(name):
        layer, _, kind = name.partition("_")
        return any(part in (name, kind.removesuffix("_out"), layer) for part in map(str, wanted))

    groups = root.findall(f"{SVG}g")
    quiet = ["rs-dim" in g.get("class") for g in groups]
    assert quiet == [not is_lit(name.replace("_embed", "")) for name in given["names"]] + [lit != "unembed"]
    assert ('class="rs-half"' in picture.svg) == (lit != "stream")


def test_between_a_lit_writer_and_a_later_lit_reader_the_stream_is_lit():
    given = SHAPES["4 layers"]
    (root,) = views(stream.draw(**given, lit=["3_attn_out", "0_mlp_out"]))
    (path,) = root.findall(f"{SVG}path[@class='rs-path']")
    xs = [float(x) for x in re.findall(r"([\d.]+),", path.get("d"))]
    readers = {
        g.find(f"{SVG}title").text.split(" writes")[0]: g.find(f"{SVG}path[@class='rs-reads']")
        for g in root.findall(f"{SVG}g")
    }
    assert max(xs) == float(readers["Layer 3’s attention"].get("d")[1:].split(",")[0])
    assert "rs-path" not in stream.draw(**given, lit="mlp").svg.split("</style>")[1]


def test_it_says_what_it_shows():
    picture = stream.draw(**SHAPES["4 layers"])
    largest = SHAPES["4 layers"]["shares"].max()
    assert f"accounts for {largest:.0%} of the final stream at “·is”" in picture.title
    assert "After “The capital of France is”" in picture.alt and "“·Paris” 62%" in picture.alt
    assert picture.alt.count("writes a vector of norm") == len(SHAPES["4 layers"]["names"])
    bundle, _ = DisplayFormatter().format(picture)
    assert bundle.keys() == {"text/html", "text/plain"}
    assert bundle["text/plain"] == f"{picture.title}\n{picture.alt}"
    lit = stream.draw(**SHAPES["4 layers"], lit=["1_mlp_out", 2])
    assert lit.title == "The residual stream at “·is”, lit: MLP 1, layer 2"
    assert lit.alt.count("writes a vector of norm") == 3
    many = stream.draw(**SHAPES["30 layers"])
    assert "The longest 6 of 61 writes: " in many.alt and many.alt.count("writes a vector of norm") == 6
    for root in views(picture):
        assert root.get("role") == "img" and root.get("aria-label") == picture.title
        assert [root[0].tag, root[1].tag] == [f"{SVG}title", f"{SVG}desc"]
        assert root[1].text == picture.alt
        assert all(g.find(f"{SVG}title") is not None for g in root.iter(f"{SVG}g"))


def test_tokens_that_look_like_markup_are_shown_as_they_are():
    given = SHAPES["4 layers"] | dict(
        tokens=["<b>", "\x05", " &"], likeliest=[("</svg>", 0.5), ("<|endoftext|>", 0.25)]
    )
    for root in views(stream.draw(**given)):
        texts = [text.text for text in root.iter(f"{SVG}text")]
        assert {"“<b>� &”", "·&", "</svg>", "<|eot|>"} <= set(texts)


def test_the_same_numbers_are_the_same_text_and_small_enough_for_a_notebook():
    once, again = (stream.draw(**made_up(4)) for _ in range(2))
    assert once.svg == again.svg and once.tall == again.tall
    assert len(once._repr_html_().encode()) < 40_000
    assert len(stream.draw(**made_up(4), lit="mlp")._repr_html_().encode()) < 20_000
    assert not re.search(r"\d\.\d{3}", re.sub("<style>.*?</style>", "", once.svg, flags=re.S))


def test_gradients_are_one_pictures_own():
    picture, other = stream.draw(**made_up(4)), stream.draw(**made_up(4, seed=1))
    ids = [re.findall(r' id="(\w+-\w+)"', text) for text in (picture.svg, picture.tall, other.svg, other.tall)]
    assert len({name for found in ids for name in found}) == sum(map(len, ids))
    assert set(re.findall(r"url\(#(\S+?)\)", picture.svg)) <= set(ids[0])


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted(luminance(colour) + 0.05 for colour in (one, other))
    return high / low


@pytest.mark.parametrize("theme", [0, 1])
def test_text_can_be_read_on_both_papers(theme):
    paper = COLOURS["paper"][theme]
    assert contrast(COLOURS["ink"][theme], paper) > contrast(COLOURS["quiet"][theme], paper) >= 4.5


def test_the_reader_chooses_the_theme_and_a_page_overrules():
    css = stream.draw(**made_up(4)).svg.split("<style>")[1].split("</style>")[0]
    dark = "--paper:" + COLOURS["paper"][1]
    assert f"@media (prefers-color-scheme:dark){{.rs-stream{{{dark}" in css
    assert re.search(rf"\[data-jp-theme-light='false'\] \.rs-stream,\[data-theme='dark'\] \.rs-stream\{{{dark}", css)
    assert all(rule.strip().startswith((".rs-stream", "[data-", "@media")) for rule in re.findall(r"[^{}]+(?={)", css))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(names=["embed"]), "for each of 1 writes, got 10, 10 and 10"),
        (dict(tokens=[]), "got 0 and 3"),
        (dict(likeliest=[]), "got 5 and 0"),
        (dict(lit="heads"), "got 'heads': take stream, embed, pos, attn, mlp, unembed, a layer's"),
        (dict(lit=[4]), "got 4"),
    ],
)
def test_what_cannot_be_drawn_is_said(change, message):
    with pytest.raises(CourseError, match=message):
        stream.draw(**(SHAPES["4 layers"] | change))


@pytest.mark.parametrize(
    ("text", "size", "bold", "measured"),
    [
        ("attention 12", 14, True, 97.7),
        ("unembedding", 14, True, 108.4),
        ("102 (−60%)", 14, False, 84.9),
        ("writes, as wide as its norm", 14, False, 187.0),
        ("Layer 3’s MLP writes 60% of the final stream at “·to”", 18, True, 539.3),
        ("When Mary and John went to the store", 14, False, 269.7),
        ("·Mary", 18, True, 57.5),
        ("日本語", 18, True, 54.0),
    ],
)
def test_texts_are_given_the_room_that_a_browser_needs_in_the_widest_typeface(text, size, bold, measured):
    """Measured in Chromium with DejaVu Sans; Japanese is as wide as it is high."""
    assert measured <= text_width(text, size, bold=bold) <= 1.25 * measured


def test_a_text_is_cut_at_the_end_that_counts_less():
    assert clip("a short one", 500, 14) == "a short one"
    for end in (True, False):
        cut = clip("abcdefghij" * 9, 100, 14, end=end)
        assert text_width(cut, 14) <= 100 and cut.endswith("…") == end and cut.startswith("…") != end
