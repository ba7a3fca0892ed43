"""The course's pages as a reader meets them: built, opened from a disk in Chromium, with the network unplugged."""

import gzip
import statistics

import pytest
from pages import CHAPTERS, DRAWN, PAGES, ROOT, explorers

SCREENSHOTS = ROOT / "build" / "browser"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_under_a_megabyte_and_names_no_other_host(folder, name):
    text = (folder / f"{name}.html").read_bytes()
    assert len(gzip.compress(text)) < 1_000_000
    loaded = [line for line in text.decode().splitlines() if "src=" in line and "://" in line.split("src=")[1][:9]]
    assert loaded == []


MOVE = """input => { const began = performance.now();
    input.value = input.type === "range" ? (Number(input.value) === Number(input.max) ? 0 : Number(input.value) + 1)
        : (input.selectedIndex + 1) % input.options.length;
    input.dispatchEvent(new Event("input", {bubbles: true}));
    return performance.now() - began; }"""


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_control_of_every_explorer_changes_its_figure(open_page, name, record_property):
    page = open_page(name)
    times = []
    found = explorers(page)
    assert found
    for explorer in found:
        for control in explorer.query_selector_all("input, select"):
            if page.evaluate("i => i.type === 'range' ? i.max === '0' : i.options.length < 2", control):
                continue
            before = page.evaluate(DRAWN, explorer)
            times.append(page.evaluate(MOVE, control))
            assert explorer.query_selector(".problem").inner_text() or page.evaluate(DRAWN, explorer) != before
    record_property("milliseconds", (statistics.median(times), max(times)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1024, 390])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_window(open_page, name, width, scheme):
    page = open_page(name, viewport={"width": width, "height": 768}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=str(SCREENSHOTS / f"site-{name}-{width}-{scheme}.png"))


@pytest.mark.parametrize("name", CHAPTERS)
def test_without_javascript_pictures_words_and_code_are_there(open_page, name):
    page = open_page(name, java_script_enabled=False)
    pictures = page.query_selector_all(".stage img")
    assert pictures and all(each.evaluate("image => image.naturalWidth") for each in pictures)
    words = page.query_selector_all(".explorer .words")
    assert words and all(each.text_content().strip() for each in words)
    assert page.query_selector("pre") is not None


def test_paper_shows_every_figure_whole_and_in_light_colours(open_page):
    page = open_page("00_start_here", color_scheme="dark")
    page.evaluate(
        """addEventListener("beforeprint", () => {
            window.ink = getComputedStyle(document.body).color;
            window.widest = Math.max(...[...document.querySelectorAll(".main-svg")].map(each => each.clientWidth));
        })"""
    )
    page.pdf(path=str(SCREENSHOTS / "site-00_start_here.pdf"))
    assert page.evaluate("[...document.querySelectorAll('.explorer')].every(e => e.dataset.shown !== undefined)")
    assert page.evaluate("window.ink") == "rgb(27, 31, 36)"
    assert 600 < page.evaluate("window.widest") <= 700


def test_search_finds_a_section_and_leads_there(open_page):
    page = open_page("index")
    page.fill("#find", "rotation")
    page.wait_for_selector("#found a")
    page.click("#found a")
    page.wait_for_load_state()
    assert page.url.split("#")[0].endswith(tuple(f"{name}.html" for name in CHAPTERS))


def test_the_theme_is_chosen_by_a_button(open_page):
    page = open_page("index", color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(paper)
    page.click("#theme")
    assert page.evaluate(paper) != before


def test_the_chosen_theme_is_kept_on_the_next_page(open_page):
    page = open_page("index", color_scheme="light")
    page.click("#theme")
    page.click(".start .button")
    page.wait_for_load_state()
    assert page.url.endswith("00_start_here.html")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"


def test_a_part_of_the_picture_leads_to_the_chapter_about_it(open_page):
    page = open_page("index")
    page.click(".rs-wide a:has(.rs-mlp) >> nth=-1")
    page.wait_for_load_state()
    assert page.url.endswith("03_mlp_virtual_weights.html")


def test_the_model_answers_on_the_first_page(open_page):
    page = open_page("index")
    page.locator(".page-model").scroll_into_view_if_needed()
    page.wait_for_selector(".page-model[aria-busy=false]", timeout=30_000)
    assert "Mary" in page.inner_text(".page-model .prediction")


def test_the_readme_shows_the_picture_that_the_code_draws():
    import picture

    drawn = picture.drawn()
    for name, text in (("stream.svg", drawn.svg), ("stream-tall.svg", drawn.tall)):
        words = text[text.index("<title") : text.index("</desc>")]
        assert words in (ROOT / "docs" / name).read_text(), "run python site/picture.py"
