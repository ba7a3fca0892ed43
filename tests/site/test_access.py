"""The course's pages for who reads by ear, by the keyboard or without some of the colours."""

from html.parser import HTMLParser
from itertools import pairwise

import pytest
from axe_playwright_python.sync_playwright import Axe
from pages import DRAWN, PAGES, explorers

MODEL = ".page-model"


def ready(page) -> None:
    """Everything drawn, and every fold open."""
    explorers(page)
    if page.query_selector(MODEL):
        page.locator(MODEL).scroll_into_view_if_needed()
        page.wait_for_selector(f"{MODEL}[aria-busy=false]", timeout=30_000)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


def violations(page, **options) -> list[tuple]:
    """What axe finds outside plotly's drawings, but for what it calls minor: the rule, and the first places."""
    options |= {"preload": False, "resultTypes": ["violations"]}  # offline it cannot fetch the page's own styles
    found = Axe().run(page, context={"exclude": [".stage"]}, options=options).response["violations"]
    return [
        (each["id"], [node["html"][:90] for node in each["nodes"][:3]]) for each in found if each["impact"] != "minor"
    ]


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_that_matters(open_page, name):
    page = open_page(name)
    ready(page)
    light = violations(page)
    page.emulate_media(color_scheme="dark")
    assert light + violations(page, runOnly=["color-contrast"]) == []


class Elements(HTMLParser):
    """Every element of a page in its order, as tag and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag


@pytest.fixture
def elements(folder):
    """The elements of a page by its name."""
    return lambda name: Elements((folder / f"{name}.html").read_text()).found


@pytest.mark.parametrize("name", PAGES)
def test_no_heading_skips_a_level(elements, name):
    levels = [int(tag[1]) for tag, _ in elements(name) if tag in ("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_has_words(elements, name):
    pictures = 0
    for tag, given in elements(name):
        if tag == "img":
            pictures += 1
            assert given.get("alt"), given
        if tag == "svg" or "explorer" in (given.get("class") or "").split():
            pictures += 1
            assert given.get("aria-label") or given.get("aria-hidden") == "true", given
    assert pictures


@pytest.mark.parametrize("name", PAGES)
def test_every_link_within_the_site_leads_somewhere(folder, elements, name):
    for tag, given in elements(name):
        target = given.get("href") or ""
        if tag != "a" or "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        assert (folder / (file or f"{name}.html")).is_file(), target
        if anchor:
            ids = {attributes.get("id") for _, attributes in elements(file.removesuffix(".html") or name)}
            assert anchor in ids, target


FOCUSED = """() => { const at = document.activeElement;
    const seen = [at, at.nextElementSibling].some(e => e && getComputedStyle(e).outlineStyle !== "none"
        && parseFloat(getComputedStyle(e).outlineWidth) >= 2);
    return [at.id || at.dataset.part || at.type || at.className.baseVal || at.className || at.tagName, seen]; }"""


def stops(page, wanted: str, most: int = 80) -> list[str]:
    """Tab until what is wanted has the focus; each stop on the way shows that it has it."""
    found = []
    while page.evaluate("wanted => !document.activeElement.matches(wanted)", wanted):
        page.keyboard.press("Tab")
        stop, seen = page.evaluate(FOCUSED)
        assert seen, stop
        found.append(stop)
        assert len(found) < most, found
    return found


def test_the_first_page_is_used_by_the_keyboard_alone(open_page):
    page = open_page("index")
    ready(page)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = false")
    before = page.inner_text(f"{MODEL} .prediction")
    for wanted in (".skip", "#find", "#theme", ".start .button", ".rs-picture a", f"{MODEL} textarea"):
        stops(page, wanted)
    page.keyboard.press("Control+A")
    page.keyboard.type("The cat sat on the")
    page.wait_for_function(f"document.querySelector('{MODEL} .prediction').textContent !== {before!r}")
    for wanted in ("[data-part=example]", "[data-part=more]", f"{MODEL} input", "[data-part=head]", f"{MODEL} summary"):
        stops(page, wanted)


def test_an_explorer_is_moved_by_the_keyboard_alone(open_page):
    page = open_page("00_start_here")
    stops(page, ".explorer input[type=range]")
    explorer = page.evaluate_handle("document.activeElement.closest('.explorer')").as_element()
    page.wait_for_function("e => e.dataset.shown !== undefined", arg=explorer)
    for wanted in ("input[type=range]", "select"):
        stops(page, f".explorer {wanted}")
        before = page.evaluate(DRAWN, explorer)
        page.keyboard.press("ArrowLeft" if wanted.startswith("input") else "ArrowDown")
        assert page.evaluate(DRAWN, explorer) != before


def test_the_skip_link_leads_to_the_text(open_page):
    page = open_page("00_start_here")
    stops(page, ".skip")
    page.keyboard.press("Enter")
    stops(page, "main *", most=2)
